"""Learning rates: each group has the factor that it was given, at every update."""

import math
from pathlib import Path

import pytest
import torch

from facever.errors import ConfigError
from facever.heads import create_head
from facever.training.computing.optimization import (
    NetworkOptimizerConfig,
    Schedule,
    ScheduleConfig,
    make_optimizer,
    parameter_groups,
)
from facever.training.interruption import Interrupted
from facever.training.saving.checkpoint import load_checkpoint, save_checkpoint
from facever.training.train import train
from facever.training.trainer import Trainer

LR, EPOCHS, PER_EPOCH, WARM_UP = 0.02, 6, 5, 2


def cosine(update: int) -> float:
    return 0.001 + (LR - 0.001) * (1 + math.cos(math.pi * update / (EPOCHS * PER_EPOCH))) / 2


def squared(update: int) -> float:
    return 0.001 + (LR - 0.001) * (1 - update / (EPOCHS * PER_EPOCH)) ** 2


def multistep(update: int) -> float:  # timm decays at the update before the epoch of the decay
    return LR * 0.1 ** sum(update + 1 >= epoch * PER_EPOCH for epoch in (3, 5))


def constant(update: int) -> float:
    return LR


@pytest.mark.parametrize(
    ("config", "after_warm_up"),
    [
        ({"name": "constant"}, constant),
        ({"name": "cosine", "min_lr": 0.001}, cosine),
        ({"name": "polynomial", "min_lr": 0.001, "power": 2}, squared),
        ({"name": "multistep", "decay_epochs": [3, 5]}, multistep),
    ],
)
@pytest.mark.parametrize("factor", [10.0, 0.1, 1.0])
def test_the_heads_have_the_factor_at_every_update(config, after_warm_up, factor) -> None:
    head = create_head("softmax", embedding_size=4, identities=3, bias=True)
    embedder = torch.nn.Linear(5, 4)
    groups = parameter_groups(embedder, [head], weight_decay=0.05, head_lr_scale=factor)
    optimizer = make_optimizer(groups, NetworkOptimizerConfig(name="sgd", lr=LR))
    schedule = Schedule(
        optimizer, ScheduleConfig(warmup_epochs=WARM_UP, **config), EPOCHS, PER_EPOCH
    )
    own = {id(parameter): 1.0 for parameter in embedder.parameters()}
    own |= {id(parameter): factor for parameter in head.parameters()}
    for update in range(EPOCHS * PER_EPOCH):
        schedule.set(update)
        risen = update / (WARM_UP * PER_EPOCH)
        wanted = LR * (0.01 + 0.99 * risen) if risen < 1 else after_warm_up(update)
        found = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        assert found.keys() == own.keys()
        for parameter, rate in found.items():
            assert rate == pytest.approx(wanted * own[parameter], rel=1e-9), (update, parameter)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0, 0.05, 0]


def head_rates(trainer: Trainer) -> set[float]:
    """Return the heads' rates over the embedder's."""
    first, *others = trainer.step._optimizer.param_groups
    return {round(group["lr"] / first["lr"], 6) for group in others if group["lr_scale"] != 1}


def interrupted(config, folder: Path, interrupt_before) -> Trainer:
    trainer = Trainer.start(config, folder)
    interrupt_before(trainer, 3)
    with pytest.raises(Interrupted):
        trainer.fit()
    return trainer


def test_a_run_that_began_with_the_factor_twice_keeps_it(
    make_config, tmp_path: Path, interrupt_before, capsys
) -> None:
    """Its optimizer's groups have `initial_lr` = lr x factor, as earlier versions wrote them."""
    config = make_config(optimizer={"lr": 0.003, "head_lr_scale": 10.0})
    run = interrupted(config, tmp_path / "run", interrupt_before).run
    state = load_checkpoint(run.last)
    for group in state["step"]["optimizer"]["param_groups"]:
        group["initial_lr"] = 0.003 * group["lr_scale"]
    save_checkpoint(run.last, state)
    for update in (5, 6):  # a resume of a resume too
        resumed = Trainer.resume(run.path)
        said = [line for line in capsys.readouterr().err.splitlines() if "head_lr_scale" in line]
        assert len(said) == 1
        assert "100 times" in said[0]
        interrupt_before(resumed, update)
        with pytest.raises(Interrupted):
            resumed.fit()
        assert head_rates(resumed) == {100.0}


def test_a_run_with_the_factor_once_resumes_without_a_word(
    make_config, tmp_path: Path, interrupt_before, capsys
) -> None:
    config = make_config(optimizer={"lr": 0.003, "head_lr_scale": 10.0})
    whole = train(config, tmp_path / "whole")
    parts = interrupted(config, tmp_path / "parts", interrupt_before).run
    resumed = Trainer.resume(parts.path)
    assert "head_lr_scale" not in capsys.readouterr().err
    resumed.fit()
    assert head_rates(resumed) == {10.0}
    assert parts.model.read_bytes() == whole.model.read_bytes()


def test_the_backbone_has_a_rate_of_its_own(make_config, tmp_path: Path) -> None:
    config = make_config(optimizer={"lr": 0.003, "backbone_lr_scale": 0.1}, epochs=1)
    trainer = Trainer.start(config, tmp_path / "run")
    trainer.step.update(list(trainer._batches)[:1], 1)
    backbone = {id(parameter) for parameter in trainer.embedder.backbone.parameters()}
    rates = {
        (id(parameter) in backbone): group["lr"] / trainer.step.learning_rate()
        for group in trainer.step._optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates == {True: pytest.approx(0.1), False: pytest.approx(1.0)}
    held = [p for group in trainer.step._optimizer.param_groups for p in group["params"]]
    wanted = [*trainer.embedder.parameters(), *trainer._heads.parameters()]
    assert {id(p) for p in held} == {id(p) for p in wanted if p.requires_grad}
    assert len(held) == len({id(p) for p in held})


def test_a_power_belongs_to_the_polynomial_schedule(make_config) -> None:
    with pytest.raises(ConfigError, match=r"schedule.*'cosine'.*power.*polynomial"):
        make_config(schedule={"name": "cosine", "power": 2})
