"""tools/experiments/htg_trial.py: arms from one pre-training, on the same batches."""

import json
from types import SimpleNamespace

import pytest
import torch

from facever.core.json_files import read_json
from facever.errors import TrainingError


@pytest.fixture(scope="module")
def trial(tools, faces, tmp_path_factory):
    """The experiment with few updates; its pre-training is there."""
    module = tools.htg_trial
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PLAYED": 6, "UPDATES": 5, "LAST": 2, "VIOLATING": 1.01}.items():
            patch.setattr(module, name, value)
        made = make(tools, faces, tmp_path_factory.mktemp("trial"))
        assert made.shared.model.is_file()
        yield made


def make(tools, faces, folder):
    overrides = [*tools.small, f"data.root={faces}", "precision=fp32"]
    return tools.htg_trial.Trial(tools.folder / "htg_trial_lfw.yaml", overrides, folder)


@pytest.fixture(scope="module")
def done(trial):
    trial.run(0)
    trial.run(1)
    return trial


def test_every_arm_starts_from_the_pre_training(tools, trial):
    shared = torch.load(trial.shared.last, weights_only=True)["step"]
    for arm in tools.htg_trial.ARMS.values():
        step = trial.step(arm, 0)
        for name, tensor in shared["embedder"].items():
            assert torch.equal(step.embedder.state_dict()[name], tensor), name
        for name, tensor in shared["heads"].items():
            assert torch.equal(step.heads.state_dict()[name], tensor), name


def test_the_adversaries_learn_from_features_and_the_embedder_does_not(tools, trial):
    module = tools.htg_trial
    config = trial._config(*module.ARMS["htg-random"])
    step = trial.step(module.ARMS["htg-random"], 0)
    before = [p.clone() for p in step.embedder.parameters()]
    generator = [p.clone() for p in step.generator.network.parameters()]
    judge = [p.clone() for p in step.discriminator.network.parameters()]
    found = trial.play(step, config, 0)
    assert all(map(torch.equal, before, step.embedder.parameters()))
    for old, player in ((generator, step.generator), (judge, step.discriminator)):
        assert not any(map(torch.equal, old, player.network.parameters()))
    assert found["mined"]["offset"] == 0
    assert found["generated"]["offset"] > 0
    again = trial.step(module.ARMS["htg-random"], 0)
    assert trial.play(again, config, 0) == found


def test_the_features_are_the_embedders(trial):
    features, labels = trial.features
    assert len(features) == len(labels) == 8 * 5
    assert labels.unique().tolist() == list(range(8))
    assert (features.norm(dim=1) - 1).abs().max() > 0.01  # not normalised


def test_an_untrained_generator_stays_as_it_was_made(tools, trial):
    module = tools.htg_trial
    arm = module.ARMS["htg-random-untrained"]
    step = trial.step(arm, 0)
    assert step.discriminator is None
    first = trial.step(module.ARMS["htg-random"], 0)
    step_of_training = {"untrained": step}
    trial._train(step_of_training, 0)
    for name, value in first.generator.network.named_parameters():
        now = dict(step.generator.network.named_parameters())[name]
        torch.testing.assert_close(now, value, rtol=0, atol=1e-25, msg=name)


def test_arms_differ_and_records_are_kept(tools, done):
    records = tools.records.read_records(done.folder, tools.htg_trial.ARMS)
    assert list(records) == list(tools.htg_trial.ARMS)
    assert all(sorted(of) == [0, 1] for of in records.values())
    weights = {
        arm: (done.folder / "runs" / "seed-0" / arm / "model.safetensors").read_bytes()
        for arm in records
    }
    assert len(set(weights.values())) == len(weights)
    assert "adversarial/generated_violation" not in records["random"][0]["last"]
    assert "adversarial/generated_violation" in records["htg-random"][0]["last"]
    assert "adversarial/told_apart" not in records["htg-random-without-d"][0]["last"]
    lost = tools.records.record_file(done.folder, "random", 1)
    before = json.loads(lost.read_text())
    others = {
        arm: tools.records.record_file(done.folder, arm, 1).stat().st_mtime_ns
        for arm in records
        if arm != "random"
    }
    lost.unlink()
    done.run(1)  # alone, it is trained on the same batches
    assert json.loads(lost.read_text())["figures"] == before["figures"]
    assert all(
        tools.records.record_file(done.folder, arm, 1).stat().st_mtime_ns == at
        for arm, at in others.items()
    )


def test_tables(tools, done):
    hard = done.hardness([0, 1])
    assert read_json(done.folder / "hardness.json") == hard
    untrained, trained = (hard["random"][f"G {kind}"] for kind in ("untrained", "with D"))
    assert untrained != trained
    assert hard["random"]["mined"]["margin_loss"] >= 0
    records = tools.records.read_records(done.folder, tools.htg_trial.ARMS)
    start = done.start()
    text = tools.htg_trial.tables(start, records, hard)
    assert f"pre-training alone | 1 | {start['AUC']:.3f} |" in text
    compared = text.split("### AUC, compared")[1].split("###")[0]
    rows = [line for line in compared.splitlines() if line.startswith("| htg-random | random |")]
    difference = sum(
        records["htg-random"][s]["figures"]["AUC"] - records["random"][s]["figures"]["AUC"]
        for s in (0, 1)
    )
    assert f"{difference / 2:+.3f} [" in rows[0]
    kept = tools.htg_trial.summary(start, records, hard)
    assert kept["arms"]["random"]["0"]["figures"] == records["random"][0]["figures"]
    assert "draws" not in json.dumps(kept)


def test_a_pre_training_that_is_too_short_is_refused(tools, trial, faces, monkeypatch):
    monkeypatch.setattr(tools.htg_trial, "VIOLATING", 0.0)
    again = make(tools, faces, trial.folder)
    with pytest.raises(TrainingError, match=r"random triplets .* more epochs"):
        _ = again.shared


def test_the_last_epochs_violations(tools, tmp_path):
    lines = [
        {"kind": "train", "step": 1, "epoch": epoch, "adversarial/mined_violation": share}
        for epoch, share in ((0, 0.9), (1, 0.2), (1, 0.4))
    ]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert tools.htg_trial.last_violation(SimpleNamespace(metrics=metrics)) == pytest.approx(0.3)
