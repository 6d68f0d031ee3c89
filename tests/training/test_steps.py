"""Updates that leave something as it was: a frozen backbone, gradients too large for float16."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from facever.errors import ConfigError
from facever.models.saving import load_embedder
from facever.training.computing.parallel import clip_gradients, gradient_norm
from facever.training.interruption import Interrupted
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.train import train
from facever.training.trainer import Trainer

EPOCH = 4  # updates: 7 people x 5 images in batches of 8


def pretrained(make_config, folder: Path) -> str:
    return str(train(make_config(epochs=1), folder).model)


def start(make_config, weights: str, **changes):
    changes = {"epochs": 2, **changes}
    config = make_config(**changes)
    model = config.model.model_copy(update={"pretrained": weights, "frozen_epochs": 1.0})
    return config.model_copy(update={"model": model})


@pytest.mark.parametrize("heads", [[{"name": "cosface"}], [{"name": "softmax"}]])
def test_a_frozen_backbone_stays_bit_for_bit_then_learns(
    heads, make_config, tmp_path: Path, interrupt_before
) -> None:
    weights = pretrained(make_config, tmp_path / "before")
    before = load_embedder(Path(weights))[0].backbone.state_dict()
    trainer = Trainer.start(start(make_config, weights, heads=heads), tmp_path / "run")
    neck = {name: value.clone() for name, value in trainer.embedder.neck.state_dict().items()}
    interrupt_before(trainer, EPOCH - 1)  # the last one that is frozen
    with pytest.raises(Interrupted):
        trainer.fit()
    for name, value in trainer.embedder.backbone.state_dict().items():  # running statistics too
        assert torch.equal(value, before[name]), name
    assert not torch.equal(trainer.embedder.neck.linear.weight, neck["linear.weight"])
    resumed = Trainer.resume(tmp_path / "run")
    resumed.fit()
    last = load_checkpoint(resumed.run.last)["step"]["embedder"]
    kept = [name for name in before if torch.equal(last[f"backbone.{name}"], before[name])]
    assert not kept


def test_a_run_resumed_while_frozen_is_the_uninterrupted_one(
    make_config, tmp_path: Path, interrupt_before
) -> None:
    weights = pretrained(make_config, tmp_path / "before")
    whole = train(start(make_config, weights), tmp_path / "whole")
    for update in (2, EPOCH + 1):
        trainer = Trainer.start(start(make_config, weights), tmp_path / f"parts-{update}")
        interrupt_before(trainer, update)
        with pytest.raises(Interrupted):
            trainer.fit()
        Trainer.resume(trainer.run.path).fit()
        assert trainer.run.model.read_bytes() == whole.model.read_bytes()


def test_only_pretrained_weights_are_frozen(make_config) -> None:
    with pytest.raises(ConfigError, match=r"model\.frozen_epochs.*give model\.pretrained"):
        make_config(model={"backbone": "test_resnet", "frozen_epochs": 1})


def test_nothing_moves_on_where_gradients_overflow(make_config, tmp_path: Path) -> None:
    """Two of eight updates overflow: six are made, with the rates of the first six."""
    config = make_config(
        precision="fp16",
        epochs=2,
        clip_norm=None,
        schedule={"name": "polynomial", "warmup_epochs": 0},
        heads=[{"name": "asoftmax"}, {"name": "center", "weight": 1e-3}],
        log_every=1,
    )
    trainer = Trainer.start(config, tmp_path / "run")
    kept, states, averages = [], [], []
    update = trainer.step.update

    def watched(batches, number, agreement=None):
        scale = 2.0**100 if len(states) in (2, 3) else 1024.0
        trainer.step._precision.scaler = GradScaler("cpu", init_scale=scale)
        before = [value.clone() for value in trainer.step.heads.state_dict().values()]
        weight = trainer.embedder.neck.linear.weight.clone()
        averages.append([value.clone() for value in trainer._ema.module.parameters()])
        stats = update(batches, number, agreement)
        after = trainer.step.heads.state_dict().values()
        states.append((number, float(stats["overflow"]), trainer.step.learning_rate()))
        kept.append(
            torch.equal(weight, trainer.embedder.neck.linear.weight)
            and all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        )
        return stats

    trainer.step.update = watched
    trainer.fit()
    averages.append(list(trainer._ema.module.parameters()))
    moved = [not all(map(torch.equal, a, b)) for a, b in pairwise(averages)]
    made = [True, True, False, False, True, True, True, True]
    assert [number for number, _, _ in states] == [0, 1, 2, 2, 2, 3, 4, 5]
    assert [not overflow for _, overflow, _ in states] == made
    assert [not same for same in kept] == made
    assert moved == made
    assert states[-1][2] == pytest.approx(0.003 * (1 - 5 / (2 * EPOCH)))
    assert trainer.position.update == 6
    assert trainer.position.epoch == 2


@pytest.mark.parametrize("largest", [0.1, 5.0 - 1e-6, 5.0, 7.0])
def test_gradients_are_clipped_as_pytorch_does(largest: float) -> None:
    """Gradients of norm 5: above the largest, at it and below."""
    ours, theirs = ([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))] for _ in range(2))
    for parameters in (ours, theirs):
        parameters[0].grad, parameters[1].grad = torch.tensor([0.0, 3.0]), torch.tensor([4.0])
    norm = gradient_norm(ours)
    clip_gradients(ours, largest, norm)
    nn.utils.clip_grads_with_norm_(theirs, largest, norm)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.grad, other.grad)
