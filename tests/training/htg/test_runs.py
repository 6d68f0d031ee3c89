"""Whole trainings with adversaries: off, resumed, exported, logged, refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from facever.core.run_folder import read_metrics
from facever.errors import ConfigError
from facever.models.saving import load_embedder
from facever.training.htg.step import AdversarialStep
from facever.training.interruption import Interrupted
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.steps import EmbeddingStep
from facever.training.train import train
from facever.training.trainer import Trainer

PK = {"size": 8, "images_per_identity": 2}
HTG = {"pretraining": 0.4, "mining": "random"}


@pytest.fixture
def htg(make_config) -> Callable[..., Any]:
    """Return a function that makes a small configuration with adversaries, with changes."""

    def make(**changes: Any) -> Any:
        given = {"heads": [{"name": "softmax"}], "batch": PK, "adversarial": HTG, **changes}
        return make_config(**given)

    return make


def test_off_is_exactly_the_plain_run(make_config, htg, tmp_path: Path, figures) -> None:
    off = train(htg(adversarial=None, epochs=2), tmp_path / "off")
    plain = train(make_config(heads=[{"name": "softmax"}], batch=PK, epochs=2), tmp_path / "plain")
    assert type(Trainer.resume(off.path).step) is EmbeddingStep
    assert off.model.read_bytes() == plain.model.read_bytes()
    assert figures(off) == figures(plain)
    assert "adversarial: null" in off.config.read_text()


def test_pretraining_alone_is_the_plain_triplet_training(make_config, htg, tmp_path: Path) -> None:
    triplet = {"name": "triplet", "mining": "batch_hard", "margin": 0.2, "distance": "squared"}
    ours = htg(adversarial={"pretraining": 1, "mining": "batch_hard"}, epochs=2)
    plain = make_config(heads=[{"name": "softmax"}, triplet], batch=PK, epochs=2)
    losses, states = [], []
    for name, config in (("ours", ours), ("plain", plain)):
        run = train(config, tmp_path / name)
        losses.append([x["loss"] for x in read_metrics(run.metrics) if x["kind"] == "train"])
        states.append(load_checkpoint(run.last)["step"]["embedder"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, value in states[1].items():
        torch.testing.assert_close(states[0][name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resume_is_bit_for_bit(
    htg, tmp_path: Path, accumulation: int, figures, assert_same, interrupt_before
) -> None:
    config = htg(accumulation=accumulation, epochs=2, log_every=4)
    whole = train(config, tmp_path / "whole")
    trainer = Trainer.start(config, tmp_path / "parts")
    total = trainer.config.epochs * trainer._updates_per_epoch
    begins = trainer.step.pretraining
    assert 0 < begins < total - 1
    for stop in sorted({begins - 1, begins, total - 2}):
        interrupt_before(trainer, stop)
        torch.manual_seed(99)
        with pytest.raises(Interrupted):
            trainer.fit()
        trainer = Trainer.resume(tmp_path / "parts")
    parts = trainer.fit()
    assert parts.model.read_bytes() == whole.model.read_bytes()
    assert figures(parts) == figures(whole)
    one, other = load_checkpoint(parts.last), load_checkpoint(whole.last)
    for state in (one, other):
        assert state.pop("seconds") > 0
    assert_same(one, other)


def test_the_model_is_the_embedder_alone(htg, tmp_path: Path, assert_same) -> None:
    run = train(htg(epochs=2), tmp_path / "run")
    with safe_open(run.model, framework="pt") as file:
        names = set(file.keys())
        metadata = json.dumps(file.metadata())
    embedder, card = load_embedder(run.path)
    assert names == set(embedder.state_dict())
    for word in ("generator", "discriminator", "offset"):
        assert not [name for name in names if word in name]
        assert word not in metadata
    assert card.metric == "cosine"  # softmax alone would be compared by dot products
    state = load_checkpoint(run.last)
    assert set(state["step"]["generator"]) == {"network", "optimizer"}
    assert set(state["ema"]) == names
    assert set(load_checkpoint(run.best)["embedder"]) == names


def test_bf16_trains_the_adversaries_in_float32(htg, tmp_path: Path) -> None:
    trainer = Trainer.start(htg(precision="bf16", epochs=2), tmp_path / "run")
    run = trainer.fit()
    assert read_metrics(run.metrics)[-1]["auc"] > 0.5
    for player in (trainer.step.generator, trainer.step.discriminator):
        assert {value.dtype for value in player.network.parameters()} == {torch.float32}


def test_figures_are_logged_from_the_update_on_that_has_them(htg, tmp_path: Path) -> None:
    config = htg(epochs=2, log_every=3, adversarial={"pretraining": 0.5})
    trainer = Trainer.start(config, tmp_path / "run")
    begins, told = trainer.step.pretraining, {}
    update = trainer.step.update

    def noted(batches: Any, number: int, *rest: Any) -> dict[str, torch.Tensor]:
        told[number] = update(batches, number, *rest)
        return told[number]

    trainer.step.update = noted
    lines = [x for x in read_metrics(trainer.fit().metrics) if x["kind"] == "train"]
    before = [line for line in lines if line["step"] <= begins]
    after = [line for line in lines if line["step"] > begins]
    assert before
    assert "adversarial/offset" not in before[-1]
    assert {f"adversarial/{name}" for name in FIGURES} <= after[0].keys()
    first = range(before[-1]["step"], after[0]["step"])
    assert first[0] < begins  # its window has updates of both kinds
    known = [float(told[i]["adversarial/offset"]) for i in first if i >= begins]
    assert after[0]["adversarial/offset"] == pytest.approx(sum(known) / len(known))


def test_the_watch_of_a_training_knows_its_adversaries(htg, tmp_path: Path) -> None:
    for given, kinds in ((HTG, ["generator-still"]), (None, [])):
        trainer = Trainer.start(htg(adversarial=given), tmp_path / f"run-{len(kinds)}")
        found = [trainer._watch.look(n, {"adversarial/offset": 0.0}) for n in range(0, 100, 10)]
        assert [alarm.kind for alarms in found for alarm in alarms] == kinds


FIGURES = (
    *("discriminator", "generator_triplet", "generator_classification", "triplet", "heads"),
    *("mined_violation", "mined_margin", "generated_violation", "generated_margin"),
    *("real_accuracy", "generated_accuracy", "told_apart", "real_kept", "generated_kept"),
    *("offset", "generator_grad_norm", "discriminator_grad_norm", "pair_cosine"),
)

ARMS = {
    "random-negative triplet": ({"pretraining": 1, "mining": "random"}, {}),
    "batch-hard": ({"pretraining": 1, "mining": "batch_hard"}, {}),
    "HTG": ({"pretraining": 0}, {}),
    "HTG without D": ({"pretraining": 0, "without_discriminator": True}, {}),
    "HTG with biased softmax": ({"pretraining": 0}, {"bias": True}),
}


@pytest.mark.parametrize("arm", ARMS)
def test_the_arms_of_the_ablation_are_configurations(htg, tmp_path: Path, arm: str) -> None:
    adversarial, softmax = ARMS[arm]
    config = htg(adversarial=adversarial, heads=[{"name": "softmax", **softmax}], epochs=1)
    trainer = Trainer.start(config, tmp_path / "run")
    step = trainer.step
    assert isinstance(step, AdversarialStep)
    (batches, *_) = trainer._groups()
    stats = step.update(batches, 0)
    assert ("adversarial/offset" in stats) == ("HTG" in arm)
    assert ("adversarial/discriminator" in stats) == ("HTG" in arm and "without" not in arm)
    assert (step.heads.heads[0].bias is not None) == ("biased" in arm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch": {"size": 8}},
            "adversarial training compares images of one identity: set "
            "batch.images_per_identity to 2 or more",
        ),
        (
            {"heads": [{"name": "triplet"}]},
            "adversarial training needs a head with a prototype for each identity: add "
            "{name: softmax} to heads",
        ),
        (
            {"model": {"backbone": "test_resnet", "embedding_size": 2}},
            "adversarial training needs embeddings of 4 components or more, not 2: set "
            "model.embedding_size",
        ),
        ({"adversarial": {"pretrainig": 0.5}}, "did you mean 'pretraining'"),
        ({"adversarial": {"generator": {"optimizer": {"name": "adamx"}}}}, "unknown optimizer"),
        (
            {"adversarial": {"generator": {"optimizer": {"head_lr_scale": 1.0}}}},
            "unknown key 'adversarial.generator.optimizer.head_lr_scale'",
        ),
    ],
)
def test_bad_configurations(htg, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Trainer.start(htg(**changes), tmp_path / "run")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
