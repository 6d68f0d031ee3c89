"""A run that is given another number of epochs: what follows from it, and what is refused."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import facever
from facever.config import load
from facever.core.processes import is_main
from facever.core.run_folder import read_metrics
from facever.errors import ConfigError
from facever.training.config import TrainConfig
from facever.training.interruption import Interrupted
from facever.training.run import Run
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.train import train
from facever.training.trainer import Trainer
from tests.processes import in_processes

CONSTANT = {"name": "constant", "warmup_epochs": 0.5}
HTG = {
    "heads": [{"name": "softmax"}],
    "batch": {"size": 8, "images_per_identity": 2},
    "adversarial": {"pretraining": 0.5, "mining": "random"},
}
ONCE = {"batch": {"size": 8}, "ema_decay": None, "augmentation": None}


def begins(run: Run) -> int:
    """The update after which the adversaries of a run begin."""
    return Trainer.resume(run.path).step.pretraining


@pytest.mark.parametrize("kind", ["plain", "htg"])
def test_a_prolonged_run_is_one_of_that_length(
    kind: str, make_config, tmp_path: Path, figures, assert_same
) -> None:
    changes: dict[str, Any] = {
        "schedule": CONSTANT,
        "patience": 50,
        **(HTG if kind == "htg" else {}),
    }
    parts = train(make_config(epochs=2, **changes), tmp_path / "parts")
    start = begins(parts) if kind == "htg" else 0
    torch.manual_seed(99)  # what else this process draws must not matter
    parts = train(resume=parts, epochs=4)
    config = load(TrainConfig, parts.config)
    assert config.epochs == 4
    assert parts.to_dict()["epochs"] == 4
    if kind == "htg":
        assert start == begins(parts) > 0
        changes["adversarial"] = config.adversarial.model_dump(mode="json")
    whole = train(make_config(epochs=4, **changes), tmp_path / "whole")
    assert parts.model.read_bytes() == whole.model.read_bytes()
    assert figures(parts) == figures(whole)
    one, other = load_checkpoint(parts.last), load_checkpoint(whole.last)
    for state in (one, other):
        state.pop("seconds")
    assert_same(one, other)


def case_prolonged(config: TrainConfig, folder: Path) -> tuple[bytes, dict[str, Any], bool]:
    """Train an epoch, then another; return the model, the state and whether this one talks."""
    run = train(config, folder)
    run = train(resume=run, epochs=2)
    state = load_checkpoint(run.last)
    state.pop("seconds")
    return run.model.read_bytes(), state, is_main()


def case_whole(config: TrainConfig, folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Train both epochs at once."""
    run = train(config.model_copy(update={"epochs": 2}), folder)
    state = load_checkpoint(run.last)
    state.pop("seconds")
    return run.model.read_bytes(), state


def test_two_processes_prolong_a_run(make_config, tmp_path: Path, assert_same) -> None:
    config = make_config(epochs=1, schedule={"name": "constant", "warmup_epochs": 0.0})
    cases = {
        "parts": partial(case_prolonged, config, tmp_path / "parts"),
        "whole": partial(case_whole, config, tmp_path / "whole"),
    }
    two = in_processes(2, cases)
    (model, state, first), (_, _, second) = two("parts")
    assert (first, second) == (True, False)
    whole, other = two("whole")[0]
    assert model == whole
    assert_same(state, other)


def test_an_interrupted_run_is_prolonged_and_shortened(
    make_config, tmp_path: Path, interrupt_before, figures, capsys
) -> None:
    config = make_config(epochs=6, schedule=CONSTANT, **ONCE)
    trainer = Trainer.start(config, tmp_path / "run")
    interrupt_before(trainer, trainer._updates_per_epoch + 1)
    with pytest.raises(Interrupted):
        trainer.fit()
    for epochs in (1, 0):
        with pytest.raises(ConfigError, match=r"epochs|greater"):
            Trainer.resume(tmp_path / "run", epochs=epochs)
    assert load(TrainConfig, trainer.run.config).epochs == 6

    longer = Trainer.resume(tmp_path / "run", epochs=9)
    interrupt_before(longer, trainer._updates_per_epoch + 2)
    with pytest.raises(Interrupted):
        longer.fit()
    assert load(TrainConfig, trainer.run.config).epochs == 9  # the next resume knows
    assert Trainer.resume(tmp_path / "run").config.epochs == 9

    done = Trainer.resume(tmp_path / "run", epochs=2).fit()
    whole = train(make_config(epochs=2, schedule=CONSTANT, **ONCE), tmp_path / "whole")
    assert done.model.read_bytes() == whole.model.read_bytes()
    assert figures(done) == figures(whole)
    said = capsys.readouterr().err
    assert (
        "9 epochs instead of 6, 1 are trained; learning rates do not depend on the length" in said
    )


def test_cosine_is_computed_for_the_new_length(make_config, tmp_path: Path, capsys) -> None:
    schedule = {"name": "cosine", "warmup_epochs": 0.0}
    run = train(make_config(epochs=2, schedule=schedule, log_every=1, **ONCE), tmp_path / "run")
    run = train(resume=run, epochs=4)
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "instead of" in line]
    assert "schedule (cosine)" in said
    assert str(run.path) in said
    whole = train(make_config(epochs=4, schedule=schedule, log_every=1, **ONCE), tmp_path / "whole")
    rates = [
        [x["lr"] for x in read_metrics(one.metrics) if x["kind"] == "train"] for one in (run, whole)
    ]
    half = len(rates[0]) // 2
    assert rates[0][half:] == rates[1][half:]
    assert rates[0][:half] != rates[1][:half]


def test_a_run_that_was_stopped_early_gets_its_patience_back(
    make_config, tmp_path: Path, capsys
) -> None:
    changes = {"patience": 2, "optimizer": {"lr": 1e-9}, "schedule": CONSTANT, **ONCE}
    run = train(make_config(epochs=40, **changes), tmp_path / "run")
    assert run.stopped_early
    ended = run.epochs
    assert train(resume=run).epochs == ended  # as it was
    assert train(resume=run, epochs=50).epochs > ended
    assert "patience is counted anew" in capsys.readouterr().err


def test_a_run_can_end_where_it_is(make_config, tmp_path: Path, interrupt_before) -> None:
    """After its third epoch, which was not to be looked at, since every second one is."""
    changes = {"evaluate_every": 2, "schedule": CONSTANT, **ONCE}
    trainer = Trainer.start(make_config(epochs=5, **changes), tmp_path / "run")
    update, per_epoch = trainer._save_last, trainer._updates_per_epoch

    def stop_after_three() -> None:
        update()
        if trainer.position.update == 3 * per_epoch and trainer.position.epoch == 3:
            raise KeyboardInterrupt

    trainer._save_last = stop_after_three  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    run = train(resume=tmp_path / "run", epochs=3)
    whole = train(make_config(epochs=3, **changes), tmp_path / "whole")
    assert run.model.read_bytes() == whole.model.read_bytes()


def test_all_but_epochs_is_refused(make_config, tmp_path: Path) -> None:
    run = train(make_config(epochs=1, **ONCE), tmp_path / "run")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    saved = load(TrainConfig, run.config)
    for changes, named in (
        ({"optimizer": {"lr": 1.0}}, "optimizer.lr"),
        ({"epochs": 3, "seed": 1}, "seed"),
        ({"epochs": "many"}, "'epochs' is 'many'"),
        ({"epochs": 0}, "epochs"),
        ({"recipe": saved, "seed": 4}, "seed = 0, not 4"),
        ({"out": tmp_path / "other"}, "omit --out"),
    ):
        with pytest.raises(ConfigError, match=named) as refused:
            train(**{"resume": run, **changes})
        assert "\n" not in str(refused.value)
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert train(saved, resume=run, epochs=2).epochs == 2  # its own configuration, and longer


def test_a_shorter_run_keeps_room_for_the_warm_up(
    make_config, tmp_path: Path, interrupt_before
) -> None:
    config = make_config(epochs=6, schedule={"warmup_epochs": 3.0}, **ONCE)
    trainer = Trainer.start(config, tmp_path / "run")
    interrupt_before(trainer, 1)
    with pytest.raises(Interrupted):
        trainer.fit()
    with pytest.raises(ConfigError, match=r"schedule.warmup_epochs is 3"):
        train(resume=tmp_path / "run", epochs=2)


def test_python_takes_a_recipe_and_changes(people: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = facever.train(
        "folder",
        data=people,
        epochs=1,
        model={"backbone": "test_resnet", "preprocessing": {"size": (32, 32)}},
        batch={"size": 8},
        **{"optimizer.lr": 1e-3},
        workers=0,
        tensorboard=False,
        device="cpu",
    )
    config = load(TrainConfig, run.config)
    assert run.path == Path("runs/folder")
    assert (config.epochs, config.optimizer.lr, config.data.root) == (1, 1e-3, str(people))
    assert config.data.development_share == 0.15  # the recipe's
    assert config.model.embedding_size == 256
    assert config.heads[0].name == "cosface"
    assert json.loads(json.dumps(run.to_dict()))["updates"] == run.position.update
    assert facever.load_model(run).dimension == 256
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        facever.train("folder", data=people, epoch=1)
    with pytest.raises(ConfigError, match="did you mean 'folder'"):
        facever.train("fodler", data=people)


def test_the_former_name_still_trains() -> None:
    from facever.training import trainer

    with pytest.warns(DeprecationWarning, match=r"facever\.train"):
        assert trainer.train is train
