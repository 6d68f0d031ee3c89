"""Training in several processes is training in one: losses, gradients, states, resumes."""

import copy
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facever.config import parse
from facever.core.processes import all_sum, rank, world
from facever.errors import ConfigError, TrainingError
from facever.heads import create_head
from facever.models.embedder import Embedder
from facever.models.saving import save_embedder
from facever.training.computing.parallel import (
    DataParallel,
    arrange_norms,
    gradient_norm,
    share_overflow,
)
from facever.training.config import DistributedConfig, TrainConfig
from facever.training.interruption import Interrupted
from facever.training.monitoring.means import Means
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.saving.pieces import load_pieces
from facever.training.trainer import Trainer
from tests.processes import Answers, in_processes

Values = dict[str, Any]

IN_SHARDS = {"stored": "sharded", "logits": "streamed"}
PAIRS = {"size": 12, "images_per_identity": 2}
UPDATES = 5

OF_ONE = {
    "cosface/pair_cosine",
    "rbf/pair_cosine",
    "center/pair_cosine",
    "center/positive_distance",
    "center_2/pair_cosine",
    "center_2/positive_distance",
}
"""Figures that are means over something else than images, of each process's own."""


def values(people: Path, **changes: Any) -> Values:
    """Return a small configuration whose BatchNorm is frozen and which draws nothing at random."""
    return {
        "data": {"root": str(people), "development_share": 0.3},
        "model": {
            "backbone": "test_resnet",
            "embedding_size": 16,
            "preprocessing": {"size": [32, 32]},
        },
        "heads": [{"name": "cosface", "scale": 16}],
        "batch": {"size": 12},
        "distributed": {"batch_norm": "frozen"},
        "optimizer": {"lr": 0.003},
        "schedule": {"warmup_epochs": 0.5},
        "epochs": 3,
        "device": "cpu",
        "workers": 0,
        "log_every": 2,
        "tensorboard": False,
        "operating_point_far": 0.02,
        **changes,
    }


@contextmanager
def exact() -> Iterator[None]:
    """Compute in float64, so that the order of sums does not matter."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def updated(config: Values, folder: Path) -> Values:
    """Make a few updates in float64; return the figures of all, and the state."""
    with exact():
        trainer = Trainer.start(parse(TrainConfig, config), folder)
        means, told = Means(), []
        for number, batches in zip(range(UPDATES), _groups(trainer), strict=False):
            means.note(trainer.step.update(batches, number))
            told.append({k: v for k, v in means.take().items() if k not in OF_ONE})
        trainer._batches.close()
    return {"told": told, "state": copy.deepcopy(trainer.step.state_dict())}


def _groups(trainer: Trainer) -> Iterator[list[Any]]:
    for trainer.position.epoch in range(UPDATES):
        yield from trainer._groups()


def assert_close(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_close(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_close(*pair, f"{where}.{place}")
    elif isinstance(one, Tensor) and one.is_floating_point():
        torch.testing.assert_close(
            one, other, rtol=1e-8, atol=1e-10, equal_nan=True, msg=lambda m: f"{where}: {m}"
        )
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-8, abs=1e-10, nan_ok=True), where
    elif isinstance(one, Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


# ---------------------------------------------------------------------- what is trained


def _players(**changes: Any) -> Values:
    slow = {"optimizer": {"name": "sgd", "lr": 0.01}}
    return {"pretraining": 0, "margin": 0.5, "generator": slow, "discriminator": slow, **changes}


def configurations(people: Path, holes: Path) -> dict[str, Values]:
    """Return what must come out the same on any number of processes.

    Half of the images of `holes / "half"` cannot be read, so that the processes have unequal
    numbers of them, and sometimes none; of `holes / "quarter"` every fourth.
    """
    broken = {"root": str(holes / "half"), "development_share": 0.0}
    several = [
        {"name": "cosface", "scale": 16},
        {"name": "rbf"},
        {"name": "center", "weight": 0.1},
        {"name": "center", "weight": 0.01, "reduction": "sum"},
    ]
    return {
        "unequal": values(holes, data=broken, batch={"size": 6}, accumulation=2, heads=several),
        "pairs": values(
            people,
            batch=PAIRS,
            heads=[{"name": "softmax"}, {"name": "triplet", "mining": "batch_hard"}],
            ema_decay=0.9,
        ),
        "unequal pairs": values(
            holes,
            data={"root": str(holes / "quarter"), "development_share": 0.0},
            batch={"size": 12, "images_per_identity": 3},
            heads=[{"name": "softmax"}, {"name": "contrastive"}],
        ),
        "frozen at first": values(
            people,
            model={
                **values(people)["model"],
                "pretrained": str(holes / "pretrained.safetensors"),
                "frozen_epochs": 1,
            },
        ),
        "before norm": values(people, heads=[{"name": "softmax", "input": "before_norm"}]),
        "adversarial": values(
            people, batch=PAIRS, heads=[{"name": "softmax"}], adversarial=_players()
        ),
    }


@pytest.fixture(scope="module")
def holes(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The people twice: half, and a quarter, of whose images cannot be read."""
    root = tmp_path_factory.mktemp("holes")
    for number, path in enumerate(sorted(people.rglob("*.png"))):
        for name, unreadable in {
            "half": number % 5 > 1 and number % 7 != 1,
            "quarter": number % 4 == 3,
        }.items():
            copied = root / name / path.relative_to(people)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(b"no image" if unreadable else path.read_bytes())
    embedder = Embedder(parse(TrainConfig, values(people)).model)
    save_embedder(embedder, root / "pretrained.safetensors", metric="cosine")
    return root


# ---------------------------------------------------------------------- cases


def case_counts(config: Values, folder: Path) -> list[int]:
    """Return how many readable images this process has in each batch of an epoch."""
    trainer = Trainer.start(parse(TrainConfig, config), folder)
    return [len(batch.labels) for batches in trainer._groups() for batch in batches]


def case_indices(config: Values, folder: Path) -> list[list[int]]:
    trainer = Trainer.start(parse(TrainConfig, config), folder)
    return [batch.indices.tolist() for batches in trainer._groups() for batch in batches]


def case_local_statistics(config: Values, folder: Path) -> dict[str, Any]:
    """Return running statistics after an update, and what each process's own would be."""
    config = {**config, "distributed": {"batch_norm": "local"}}
    trainer = Trainer.start(parse(TrainConfig, config), folder)
    own = copy.deepcopy(trainer.embedder).train()
    batches = next(iter(trainer._groups()))
    own(batches[0].images)
    trainer.step.update(batches, 0)
    return {"after": dict(trainer.embedder.named_buffers()), "own": dict(own.named_buffers())}


def case_local_pairs(config: Values, folder: Path) -> tuple[float, float]:
    """Return the first loss as it is told, and as the mean of the processes' own triplets."""
    config = {
        **config,
        "heads": [{"name": "triplet"}],
        "distributed": {"batch_norm": "frozen", "pairs": "local"},
    }
    trainer = Trainer.start(parse(TrainConfig, config), folder)
    batch = next(iter(trainer._groups()))[0]
    head = create_head("triplet", embedding_size=16, identities=10)
    with torch.no_grad():
        own = head(trainer.embedder.eval()(batch.images), batch.labels).loss
    means = Means()
    means.note(trainer.step.update([batch], 0))
    return means.take()["loss"], float(all_sum(own.clone()) / world())


def case_adversarial_alone(config: Values, folder: Path) -> Values:
    """Every process has its own triplets, and one of them has no image at all."""
    config = {**config, "distributed": {"batch_norm": "frozen", "pairs": "local"}}
    with exact():
        trainer = Trainer.start(parse(TrainConfig, config), folder)
        batch = next(iter(trainer._groups()))[0]
        if rank() == 1:
            batch = batch._replace(
                images=batch.images[:0], labels=batch.labels[:0], indices=batch.indices[:0]
            )
        means = Means()
        means.note(trainer.step.update([batch], 0))
    return {"told": means.take(), "state": trainer.step.state_dict()}


def case_no_image_of_one(config: Values, folder: Path) -> Values:
    """Local BatchNorm, and a process without an image in the first batch."""
    config = {**config, "distributed": {"batch_norm": "local"}, "heads": [{"name": "rbf"}]}
    trainer = Trainer.start(parse(TrainConfig, config), folder)
    batch = next(iter(trainer._groups()))[0]
    if rank() == 1:
        batch = batch._replace(
            images=batch.images[:0], labels=batch.labels[:0], indices=batch.indices[:0]
        )
    before = copy.deepcopy(dict(trainer.embedder.named_buffers()))
    trainer.step.update([batch], 0)
    step = trainer.step.state_dict()
    return {"embedder": step["embedder"], "heads": step["heads"], "before": before}


def case_stopped(config: Values, folder: Path) -> str:
    """Train until a SIGTERM reaches the last process alone, in update 3."""
    with exact():
        trainer = Trainer.start(parse(TrainConfig, config), folder)
        update = trainer.step.update

        def interrupted(batches: Any, number: int, *rest: Any) -> dict[str, Tensor]:
            if number == 3 and rank() == world() - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return update(batches, number, *rest)

        trainer.step.update = interrupted  # type: ignore[method-assign]
        try:
            trainer.fit()
        except Interrupted as stopped:
            return f"{stopped} ({stopped.exit_status})"
    return "not stopped"


def case_resumed(folder: Path) -> dict[str, Any]:
    with exact():
        run = Trainer.resume(folder).fit()
    all_sum(torch.zeros(()))  # rank 0 has written it
    return load_checkpoint(run.last)


def case_other_data(config: Values, folder: Path) -> str:
    trainer = Trainer(parse(TrainConfig, config), _run(folder))
    trainer._digest = lambda: f"of {rank()}"  # type: ignore[method-assign]
    try:
        trainer._require_same_data()
    except TrainingError as error:
        return str(error).replace(config["data"]["root"], "DATA")
    return "not refused"


def _run(folder: Path) -> Any:
    from facever.training.run import Run

    return Run(folder)


def case_refused(config: Values, folder: Path) -> list[str]:
    told = []
    heads = [{"name": "softmax"}]
    for batch in ({"size": 15}, {"size": 10, "images_per_identity": 2}):
        with pytest.raises(ConfigError) as error:
            Trainer.start(parse(TrainConfig, {**config, "heads": heads, "batch": batch}), folder)
        told.append(str(error.value))
    return told


def _parameters() -> list[nn.Parameter]:
    """Return a replicated parameter and one whose rows are spread, with gradients."""
    whole, part = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, 3))
    part.shard_of = 2 * world()  # type: ignore[attr-defined]
    whole.grad, part.grad = torch.tensor([1.0, 2.0]), torch.full((2, 3), 1.0 + rank())
    return [whole, part]


def case_norm() -> float:
    return float(gradient_norm(_parameters()))


def case_overflow() -> list[bool]:
    whole, part = _parameters()
    share_overflow([whole, part])
    before = bool(whole.grad.isfinite().all() and part.grad.isfinite().all())  # type: ignore[union-attr]
    if rank() == 0:
        part.grad[1, 1] = torch.inf  # type: ignore[index]
    share_overflow([whole, part])
    after = bool(whole.grad.isfinite().all() and part.grad.isfinite().all())  # type: ignore[union-attr]
    return [before, after]


def case_random_numbers() -> list[int]:
    """Return the first draw of dropout's generator."""
    return [int(torch.randint(2**31, ()))]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def two(people: Path, holes: Path, space: Path) -> Answers:
    """What two processes answer."""
    made = configurations(people, holes)
    pairs = made["pairs"]
    return in_processes(
        2,
        {
            **{
                name: partial(updated, config, space / f"two {name}")
                for name, config in made.items()
            },
            "counts": partial(case_counts, made["unequal"], space / "counts"),
            "indices": partial(case_indices, pairs, space / "indices"),
            "statistics": partial(case_local_statistics, pairs, space / "statistics"),
            "local pairs": partial(case_local_pairs, pairs, space / "local"),
            "adversarial alone": partial(
                case_adversarial_alone, made["adversarial"], space / "alone"
            ),
            "no image": partial(case_no_image_of_one, values(people), space / "no image"),
            "stopped": partial(case_stopped, pairs, space / "stopped"),
            "in shards": partial(
                case_stopped, values(people, prototypes=IN_SHARDS), space / "in shards"
            ),
            "other data": partial(case_other_data, pairs, space / "other"),
            "refused": partial(case_refused, pairs, space / "refused"),
            "norm": case_norm,
            "overflow": case_overflow,
        },
    )


@pytest.fixture(scope="module")
def three(two: Answers, space: Path) -> Answers:
    """What three processes make of a run that two began."""
    shutil.copytree(space / "stopped", space / "by three")
    shutil.copytree(space / "in shards", space / "shards of three")
    return in_processes(
        3,
        {
            "resumed": partial(case_resumed, space / "by three"),
            "in shards": partial(case_resumed, space / "shards of three"),
        },
    )


@pytest.fixture(scope="module")
def four(two: Answers, space: Path) -> Answers:
    """What four processes make of it."""
    shutil.copytree(space / "in shards", space / "shards of four")
    return in_processes(4, {"in shards": partial(case_resumed, space / "shards of four")})


# ---------------------------------------------------------------------- two are one


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["unequal", "pairs", "unequal pairs", "frozen at first", "before norm", "adversarial"],
)
def test_two_processes_are_one(
    two: Answers, people: Path, holes: Path, tmp_path: Path, name: str
) -> None:
    one = updated(configurations(people, holes)[name], tmp_path / "run")
    for answer in two(name):
        assert_close(answer["told"], one["told"])
        assert_close(answer["state"], one["state"])
    assert len(one["told"]) == UPDATES
    assert one["told"][-1]["loss"] != one["told"][0]["loss"]


@pytest.mark.slow
def test_the_processes_have_unequal_numbers_of_images_and_sometimes_none(two: Answers) -> None:
    """Or the tests above would prove less than they say."""
    ours, others = two("counts")
    first = 2 * UPDATES
    pairs = list(zip(ours, others, strict=True))[:first]
    assert any((a == 0) != (b == 0) for a, b in pairs)
    assert any(a != b and a and b for a, b in pairs)


@pytest.mark.slow
def test_batches_are_disjoint_and_together_those_of_one(
    two: Answers, people: Path, tmp_path: Path
) -> None:
    ours, others = two("indices")
    whole = case_indices(values(people, batch=PAIRS), tmp_path / "run")
    assert [a + b for a, b in zip(ours, others, strict=True)] == whole
    identity = Trainer(
        parse(TrainConfig, values(people, batch=PAIRS)), _run(tmp_path / "none")
    ).train_manifest.labels()
    for a, b in zip(ours, others, strict=True):
        assert len(a) == len(b) == 6
        assert not set(identity[a]) & set(identity[b])


@pytest.mark.slow
def test_local_statistics_are_averaged(two: Answers) -> None:
    answers = two("statistics")
    seen = 0
    for name, value in answers[0]["after"].items():
        assert torch.equal(value, answers[1]["after"][name]), name
        own = [answer["own"][name] for answer in answers]
        if value.is_floating_point():
            torch.testing.assert_close(value, (own[0] + own[1]) / 2)
            seen += not torch.equal(own[0], own[1])
        else:
            assert value == 1
    assert seen > 4


@pytest.mark.slow
def test_local_pairs_stay_within_a_process(two: Answers) -> None:
    for told, wanted in two("local pairs"):
        assert told == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
def test_adversaries_go_on_where_a_process_has_no_image(two: Answers, assert_same) -> None:
    one, other = two("adversarial alone")
    assert_same(one["state"], other["state"])
    assert all(torch.isfinite(torch.tensor(list(one["told"].values()))))
    assert one["told"] == other["told"]
    assert one["told"]["adversarial/discriminator"] > 0.1


@pytest.mark.slow
def test_a_process_without_an_image_takes_part(two: Answers, assert_same) -> None:
    one, other = two("no image")
    assert_same(one, other)
    assert one["heads"]["parts.rbf.data_gamma"] > 0
    changed = [n for n, v in one["before"].items() if not torch.equal(v, one["embedder"].get(n, v))]
    assert len(changed) > 4


# ---------------------------------------------------------------------- stopped and resumed


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_with_a_checkpoint(two: Answers, space: Path) -> None:
    stopped = f"stopped by SIGTERM; continue with: facever train --resume {space / 'stopped'} (143)"
    assert two("stopped") == [stopped, stopped]
    state = load_checkpoint(space / "stopped" / "checkpoints" / "last.pt")
    assert state["position"]["update"] == 4
    assert len(state["random"]["others"]) == 1


@pytest.mark.slow
def test_a_run_of_two_goes_on_as_one_or_three(
    two: Answers, three: Answers, people: Path, space: Path, tmp_path: Path
) -> None:
    two("stopped")
    with exact():
        config = parse(TrainConfig, values(people, batch=PAIRS, **_of_pairs(people)))
        run = Trainer.start(config, tmp_path / "whole").fit()
    whole, point = load_checkpoint(run.last), json.loads(run.operating_point.read_text())
    one = case_resumed(space / "stopped")
    for state in (one, *three("resumed")):
        for part in ("embedder", "heads", "optimizer"):
            assert_close(state["step"][part], whole["step"][part], part)
        assert_close(state["ema"], whole["ema"])
        assert_close(state["position"], whole["position"])
        assert_close(state["sums"], whole["sums"])
        assert state["counts"] == whole["counts"]
    for folder in (space / "stopped", space / "by three"):  # all embed, the first one writes
        theirs = json.loads((folder / "operating_point.json").read_text())
        assert theirs["threshold"] == pytest.approx(point["threshold"], abs=1e-5)
        assert theirs["trials"] == point["trials"]


@pytest.mark.slow
def test_prototypes_in_shards_of_two_go_on_in_shards_of_one_three_or_four(
    two: Answers, three: Answers, four: Answers, people: Path, space: Path, tmp_path: Path
) -> None:
    two("in shards")
    begun = space / "in shards" / "checkpoints"
    assert written(begun) == {("last-4-1", 1), ("last-4-1", 2)}
    with exact():
        run = Trainer.start(parse(TrainConfig, values(people)), tmp_path / "whole").fit()
    whole = load_checkpoint(run.last)
    shutil.copytree(space / "in shards", space / "shards of one")
    case_resumed(space / "shards of one")
    three("in shards")
    four("in shards")
    for number, name in ((1, "one"), (3, "three"), (4, "four")):
        folder = space / f"shards of {name}" / "checkpoints"
        state = load_checkpoint(folder / "last.pt")
        last = state["position"]["update"]
        parts = {part for folder_name, part in written(folder)}
        assert parts == {part + 1 for part in range(number)}
        assert {name.split("-")[1] for name, _ in written(folder)} == {str(last)}
        load_pieces(folder, state["pieces"], state["step"])
        for part in ("embedder", "heads", "optimizer"):
            assert_close(state["step"][part], whole["step"][part], part)
        assert_close(state["position"], whole["position"])


def written(folder: Path) -> set[tuple[str, int]]:
    """Return of each file of pieces the folder, and the number of the process that wrote it."""
    files = folder.glob("*/*.safetensors")
    return {(path.parent.name, int(path.name.split("-")[1])) for path in files}


def _of_pairs(people: Path) -> Values:
    made = configurations(people, people)["pairs"]
    return {key: made[key] for key in ("heads", "ema_decay")}


# ---------------------------------------------------------------------- what is refused


@pytest.mark.slow
def test_what_cannot_be_shared_out_is_refused(two: Answers) -> None:
    for odd, identities in two("refused"):
        assert odd == (
            "batch.size 15 cannot be divided evenly among 2 processes: take a multiple of 2"
        )
        assert identities == (
            "batch.size 10 (5 identities x 2) cannot be divided evenly among 2 processes: "
            "take a multiple of 4"
        )


@pytest.mark.slow
def test_other_data_on_one_machine_are_refused(two: Answers) -> None:
    assert (
        two("other data")
        == [
            "process 1 finds other images or people in DATA than process 0: give all machines the "
            "same data"
        ]
        * 2
    )


def test_synchronised_statistics_need_a_gpu(people: Path, tmp_path: Path) -> None:
    config = values(people, distributed={"batch_norm": "synchronised"})
    with pytest.raises(ConfigError) as error:
        Trainer.start(parse(TrainConfig, config), tmp_path / "run")
    assert str(error.value) == (
        "distributed.batch_norm 'synchronised': PyTorch's synchronised BatchNorm needs a GPU; on "
        "the CPU take local or frozen"
    )
    assert not (tmp_path / "run").exists()


def test_synchronised_statistics_replace_batchnorm_and_keep_the_names(people: Path) -> None:

    config = parse(TrainConfig, values(people))
    embedder = Embedder(config.model)
    before = {name: value.clone() for name, value in embedder.state_dict().items()}
    parameters = list(embedder.parameters())
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    wanted = embedder.eval()(images)
    arrange_norms(embedder, DistributedConfig(batch_norm="synchronised"), torch.device("cuda"))
    norms = [part for part in embedder.modules() if isinstance(part, nn.SyncBatchNorm)]
    assert len(norms) > 4
    assert {type(p) for p in embedder.modules()}.isdisjoint({nn.BatchNorm1d, nn.BatchNorm2d})
    assert all(a is b for a, b in zip(embedder.parameters(), parameters, strict=True))
    for name, value in embedder.state_dict().items():
        assert torch.equal(value, before[name]), name
    torch.testing.assert_close(embedder.eval()(images), wanted)


def test_frozen_statistics_stay_also_in_one_process(people: Path) -> None:
    embedder = Embedder(parse(TrainConfig, values(people)).model)
    parallel = DataParallel(embedder, DistributedConfig(batch_norm="frozen"))
    before = {name: value.clone() for name, value in embedder.named_buffers()}
    parallel.train(0)
    assert embedder.training
    _, embeddings = parallel(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    embeddings.sum().backward()
    for name, value in embedder.named_buffers():
        assert torch.equal(value, before[name]), name
    assert embedder.neck.norm.weight.grad is not None  # its weights are trained


# ---------------------------------------------------------------------- shards


@pytest.mark.slow
def test_the_norm_counts_every_shard_once(two: Answers) -> None:
    wanted = (1.0 + 4.0 + 6 * 1.0 + 6 * 4.0) ** 0.5
    assert two("norm") == pytest.approx([wanted, wanted])


@pytest.mark.slow
def test_an_overflow_in_one_shard_is_one_of_all(two: Answers) -> None:
    assert two("overflow") == [[True, False], [True, False]]
