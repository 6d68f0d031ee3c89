"""Number format and layout by trial: the faster one is taken, and nothing else changes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from facever.config import load
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.training import trainer as trainer_module
from facever.training.computing import trial
from facever.training.computing.trial import Way, settle
from facever.training.config import TrainConfig, require_same
from facever.training.run import Run
from facever.training.train import train
from facever.training.trainer import Trainer

CPU = torch.device("cpu")
FP32 = Way("fp32", "contiguous")
BF16, WIDE = Way("bf16", "contiguous"), Way("bf16", "channels_last")


def clock_of(*seconds: float) -> trial.Clock:
    """Return a clock that runs the action and reads these times, over and over."""
    read = iter(seconds * trial.ROUNDS)

    def clock(action: Callable[[], None]) -> float:
        action()
        return next(read)

    return clock


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ((1.0, 0.5, 0.4), WIDE),
        ((1.0, 0.4, 0.5), BF16),
        ((1.0, 0.96, 0.97), FP32),  # not clearly faster: what was always taken
        ((0.5, 1.0, 1.0), FP32),
    ],
)
def test_the_clearly_fastest_is_taken(make_config, seconds, chosen: Way) -> None:
    config = make_config(precision="auto", model=wide_enough(make_config))
    named, tried = settle(config, Embedder(config.model), CPU, clock_of(*seconds))
    assert tried is not None
    assert tried.chosen == chosen
    assert (named.precision, named.memory_format) == (chosen.precision, chosen.layout)
    assert dict(tried.seconds) == dict(zip((FP32, BF16, WIDE), seconds, strict=True))
    assert str(tried).startswith(f"computes in {chosen} (forward + backward of a batch: fp32 cont")


def test_checkpointing_is_tried_as_it_will_be_used(make_config, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(trial, "checkpoint_gradients", seen.append)
    config = make_config(precision="auto", gradient_checkpointing=True)
    embedder = Embedder(config.model)
    _, tried = settle(config, embedder, CPU)
    assert tried is not None
    assert len(seen) == len(tried.seconds) + len(tried.left_out)
    assert embedder not in seen


def wide_enough(make_config) -> dict[str, object]:
    model = make_config().model.model_dump()
    return {**model, "preprocessing": {"size": [96, 96]}}


def test_nothing_but_the_configuration_changes(make_config) -> None:
    config = make_config(precision="bf16", model=wide_enough(make_config))
    embedder = Embedder(config.model)
    state = {name: value.clone() for name, value in embedder.state_dict().items()}
    random = torch.get_rng_state()
    named, tried = settle(config, embedder, CPU)
    assert tried is not None
    assert set(tried.seconds) == {BF16, WIDE}
    assert named.precision == "bf16"
    assert named.memory_format in ("contiguous", "channels_last")
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(state[name], value) for name, value in embedder.state_dict().items())
    assert all(parameter.grad is None for parameter in embedder.parameters())


def test_without_a_choice_there_is_no_trial(make_config) -> None:
    for changes in ({}, {"precision": "bf16", "memory_format": "contiguous"}):
        config = make_config(**changes)
        assert settle(config, Embedder(config.model), CPU) == (config, None)
    config = make_config(precision="auto", memory_format="channels_last")
    named, tried = settle(config, Embedder(config.model), CPU)
    assert (named.precision, tried) == ("bf16", None)  # the only one that cannot crash


def test_bf16_is_left_out_where_it_reads_memory_that_was_never_written(make_config) -> None:
    config = make_config(precision="auto")  # of 32 pixels one is left after five halvings
    _, tried = settle(config, Embedder(config.model), CPU, clock_of(1.0))
    assert tried is not None
    assert tried.chosen == FP32
    assert set(tried.left_out) == {BF16, WIDE}
    assert "maps one pixel wide, where bf16 is wrong on the CPU" in str(tried)


def test_a_run_keeps_its_choice(make_config, tmp_path: Path, monkeypatch) -> None:
    model = wide_enough(make_config)
    config = make_config(precision="auto", model=model, epochs=1, ema_decay=None)
    given = clock_of(1.0, 0.5, 0.4)
    monkeypatch.setattr(trial, "_clock", lambda device: given)
    run = train(config, tmp_path / "run")
    saved = load(TrainConfig, run.config)
    assert (saved.precision, saved.memory_format) == ("bf16", "channels_last")
    written = json.loads(Run(run.path).environment.read_text())["trial"]
    assert written["update_seconds"] == {str(FP32): 1.0, str(BF16): 0.5, str(WIDE): 0.4}
    require_same(config, saved, run.path)
    with pytest.raises(ConfigError, match="was trained with precision = bf16, not fp32"):
        require_same(make_config(model=model, epochs=1, ema_decay=None), saved, run.path)

    def again(*_: object) -> None:
        raise AssertionError("a resume must not measure")

    monkeypatch.setattr(trainer_module, "settle", again)
    assert Trainer.resume(run.path)._precision.name == "bf16"
    run.config.write_text(run.config.read_text().replace("precision: bf16", "precision: auto"))
    with pytest.raises(ConfigError) as refused:
        Trainer.resume(run.path)
    assert str(refused.value) == (
        "precision is 'auto' in a run that has begun: write what it was trained in, fp32 or bf16"
    )
