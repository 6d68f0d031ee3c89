"""tools/experiments/htg.py: the statistics of its tables, its forks, and that it goes on."""

import signal

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.errors import EvaluationError, TrainingError
from facever.training.interruption import Interrupted
from facever.training.run import Run


def record(value, **more):
    return {"figures": {"mAP": value, "AUC": value}, "people": [0, 0, 1], **more}


def test_over_the_seeds_that_both_arms_have(tools):
    base = {0: record(0.9), 1: record(0.30), 2: record(0.34), 5: record(0.31)}
    other = {1: record(0.35), 2: record(0.36), 5: record(0.39), 7: record(0.1)}
    found = tools.judged.difference_over_seeds(base, other, "mAP")
    test = stats.ttest_rel([0.35, 0.36, 0.39], [0.30, 0.34, 0.31])
    low, high = test.confidence_interval(0.95)
    assert found.mean == pytest.approx(0.05)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(test.pvalue)
    assert found.interval.method == "paired Student t over seeds"
    assert tools.judged.difference_over_seeds({1: base[1]}, other, "mAP") is None


def test_over_the_people_of_the_queries(tools):
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 4)
    ability = random.normal(0.1, 0.2, 60)[people]
    base, other = {}, {}
    for seed in range(3):
        first = random.random(240)
        second = first + ability + random.normal(0, 0.05, 240)
        for arm, values in ((base, first), (other, second)):
            arm[seed] = {
                "figures": {"mAP": values.mean(), "AUC": 0.5},
                "people": people.tolist(),
                "each": {"mAP": values.tolist()},
            }
    other[9] = other[0]  # a seed that the base has not
    found = tools.judged.interval_over_people(base, other, "mAP")
    differences = np.mean(
        [np.subtract(other[s]["each"]["mAP"], base[s]["each"]["mAP"]) for s in range(3)], axis=0
    )
    means = differences.reshape(60, 4).mean(1)  # of each person: they are what is drawn
    reach = stats.t.ppf(0.975, 59) * means.std(ddof=1) / np.sqrt(60)
    assert found.low == pytest.approx(means.mean() - reach, abs=0.15 * reach)
    assert found.high == pytest.approx(means.mean() + reach, abs=0.15 * reach)
    assert found.method == "paired identity bootstrap"
    assert tools.judged.interval_over_people(base, other, "AUC") is None
    assert tools.judged.interval_over_people({0: base[0]}, {1: other[1]}, "mAP") is None


def test_over_drawn_populations(tools):
    draws = np.random.default_rng(1).normal(0.5, 0.01, 2000)
    gains = np.linspace(0.0, 0.2, 2000)
    base = {s: record(0.5, people=400, draws={"mAP": draws.tolist()}) for s in (0, 1)}
    other = {
        s: record(0.6, people=400, draws={"mAP": (draws + gains * factor).tolist()})
        for s, factor in ((0, 0.5), (1, 1.5))
    }
    found = tools.judged.interval_over_people(base, other, "mAP")
    assert (found.low, found.high) == pytest.approx((0.005, 0.195), abs=1e-3)


def test_other_test_people_are_refused(tools):
    with pytest.raises(EvaluationError) as error:
        tools.judged.interval_over_people(
            {0: record(0.1)}, {0: record(0.2, people=[0, 1, 1])}, "mAP"
        )
    assert str(error.value) == ("the arms were judged on different people: judge both on the same")


def test_retrieval_of_each_query(tools):
    angles = np.deg2rad([0, 40, -20, 50, 10, 5])
    rows = pd.DataFrame(
        {
            "path": list("abcdef"),
            "identity": ["x", "y", "x", "y", "y", "x"],
            "camera": [1, 1, 2, 2, 2, 1],
            "subset": ["query", "query", *["gallery"] * 4],
            "norm": 1.0,
            "error": None,
        }
    )
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = tools.judged.judge_retrieval(EmbeddingSet(vectors, rows, EmbeddingMeta("f", 2)))
    # x: e (y) comes before c; f is its own camera's. y: d, then e.
    assert found["each"] == {"rank-1": [0.0, 1.0], "mAP": pytest.approx([1 / 2, 1.0])}
    assert found["figures"] == pytest.approx({"rank-1": 0.5, "mAP": 3 / 4})
    assert len(set(found["people"])) == 2


# ---------------------------------------------------------------- a whole small ablation


def ablation(tools, faces, folder):
    overrides = [*tools.small, f"data.root={faces}"]
    return tools.htg.Ablation(
        tools.folder / "htg_lfw.yaml", overrides, folder, pretraining_epochs=1
    )


@pytest.fixture(scope="module")
def done(tools, faces, tmp_path_factory):
    made = ablation(tools, faces, tmp_path_factory.mktemp("results"))
    for seed, arms in (
        (0, ("batch-hard", "htg", "htg-biased-softmax")),
        (1, ("batch-hard", "htg")),
    ):
        for arm in arms:
            made.run(arm, seed)
    return made


def test_arms_begin_with_the_shared_pretraining(tools, done, faces, tmp_path, monkeypatch):
    shared = done.pretrained("htg", 0)
    assert shared.path == done.pretrained("batch-hard", 0).path
    assert shared.path != done.pretrained("batch-hard", 1).path
    trained = torch.load(shared.last, weights_only=True)["step"]
    begun = {}
    for arm in ("batch-hard", "htg-biased-softmax"):
        config = done._config(*tools.htg.ARMS[arm], "seed=1000")
        trainer = tools.htg.Trainer.start(config, tmp_path / arm)
        assert not torch.equal(
            trainer.step.heads.state_dict()["parts.softmax.prototypes.weight"],
            trained["heads"]["parts.softmax.prototypes.weight"],
        )
        tools.htg.fork(trainer.step, shared)
        begun[arm] = trainer.step
    for step in begun.values():
        for name, tensor in trained["embedder"].items():
            assert torch.equal(step.embedder.state_dict()[name], tensor), name
        weight = step.heads.state_dict()["parts.softmax.prototypes.weight"]
        assert torch.equal(weight, trained["heads"]["parts.softmax.prototypes.weight"])
    assert not begun["htg-biased-softmax"].heads.state_dict()["parts.softmax.bias"].any()
    other = done._config("heads=[{name: cosine}, {name: center}]")
    trainer = tools.htg.Trainer.start(other, tmp_path / "other")
    with pytest.raises(TrainingError, match=r"has other heads than"):
        tools.htg.fork(trainer.step, shared)


def test_each_network_has_a_pretraining_of_its_own(tools, done, monkeypatch):
    monkeypatch.setattr(tools.htg, "trained", lambda run, config: (run.path, config.model.local))
    found = {arm: done.pretrained(arm, 0) for arm in tools.htg.ARMS}
    assert found["keypoints"] == found["keypoints-htg"]
    assert found["batch-hard"] == found["htg"]
    names = ("batch-hard", "keypoints", "keypoints-by-channel", "keypoints-one")
    assert len({found[arm][0] for arm in names}) == 4
    assert [found[arm][1] for arm in names] == [
        done._config(*tools.htg.ARMS[arm]).model.local for arm in names
    ]


def test_all_arms_get_the_same_updates_and_batches(tools, done):
    records = tools.records.read_records(done.folder, tools.htg.ARMS)
    assert {arm: sorted(found) for arm, found in records.items()} == {
        "batch-hard": [0, 1], "htg": [0, 1], "htg-biased-softmax": [0],
    }  # fmt: skip
    updates = {one["updates"] for found in records.values() for one in found.values()}
    assert updates == {2 * (8 * 5 // 16)}  # epochs, each of the batches that the images fill
    first = [
        Run(done.folder / "runs" / "seed-0" / arm).batch_picture.read_bytes()
        for arm in ("batch-hard", "htg")
    ]
    assert first[0] == first[1]
    assert first[0] != done.pretrained("htg", 0).batch_picture.read_bytes()
    found = records["htg"][0]
    assert list(found["figures"]) == ["TAR at FAR 1e-2", "TAR at FAR 1e-3", "AUC"]
    assert found["people"] == 13
    assert len(found["draws"]["TAR at FAR 1e-2"]) == 2000


def test_it_goes_on_where_it_stopped(tools, done, faces, tmp_path, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("seed-*.json")}
    done.run("htg", 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # a record is kept
    monkeypatch.setattr(tools.htg.Trainer, "fit", None)  # nothing may be trained again
    kept = tools.records.record_file(done.folder, "htg", 1)
    text = kept.read_text()
    kept.unlink()
    done.run("htg", 1)  # the training is kept too: it is only judged again
    assert kept.read_text() == text


def test_a_training_that_was_stopped_goes_on_from_its_fork(tools, done, tmp_path, monkeypatch):
    shared = done.pretrained("htg", 0)
    config = done._config(*tools.htg.ARMS["htg"], "seed=1000")
    stopped = Run(tmp_path / "stopped")
    trainer = tools.htg.Trainer.start(config, stopped.path)
    tools.htg.fork(trainer.step, shared)
    trainer._save_last()
    whole = tools.htg.trained(stopped, config, shared)
    unbroken = Run(done.folder / "runs" / "seed-0" / "htg")
    assert whole.model.read_bytes() == unbroken.model.read_bytes()


def test_tables(tools, done):
    text = tools.htg.tables(tools.records.read_records(done.folder, tools.htg.ARMS))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    tar = {row[0].strip("| "): row for row in rows[1:4]}
    assert list(tar) == ["batch-hard", "htg", "htg-biased-softmax"]
    assert tar["batch-hard"][4] == ""  # the control itself
    assert tar["htg"][4] == "batch-hard"
    values = [
        [
            tools.records.read_records(done.folder, tools.htg.ARMS)[arm][seed]["figures"][
                "TAR at FAR 1e-2"
            ]
            for seed in (0, 1)
        ]
        for arm in ("batch-hard", "htg")
    ]
    assert tar["htg"][5].startswith(f"{np.mean(values[1]) - np.mean(values[0]):+.3f} [")
    assert tar["htg"][7].startswith("[")
    assert tar["htg-biased-softmax"][1] == "1"
    assert tar["htg-biased-softmax"][5:7] == ["-", "-"]  # a single seed has no interval
    assert text.count("###") == 3
    assert "batch-hard | 2 |" in text


def test_every_arm_is_a_configuration_of_both_data_sets(tools, tmp_path):
    for name in ("htg_market.yaml", "htg_lfw.yaml"):
        made = tools.htg.Ablation(tools.folder / name, [], tmp_path, 1)
        arms = {arm: made._config(*overrides) for arm, overrides in tools.htg.ARMS.items()}
        assert arms["random-negative"].adversarial.mining == "random"
        assert {arm for arm, config in arms.items() if config.adversarial.pretraining == 0} == {
            "htg", "htg-without-d", "htg-biased-softmax", "keypoints-htg",
        }  # fmt: skip
        assert arms["htg-without-d"].adversarial.without_discriminator
        assert arms["htg-biased-softmax"].heads[0].bias
        assert not arms["htg"].heads[0].bias
        assert [arm for arm, config in arms.items() if config.model.local] == [
            "keypoints", "keypoints-htg", "keypoints-by-channel", "keypoints-one",
        ]  # fmt: skip
        assert tools.htg.CONTROL["keypoints-htg"] == "keypoints"
        assert arms["keypoints-by-channel"].model.local.pairing == "channel"
        assert arms["keypoints-one"].model.local.keypoints == 1


def test_generator_and_discriminator_alone(tools):
    players = tools.htg_players
    random = np.random.default_rng(0)
    centres = random.normal(size=(20, 1, 16)) * 4
    features = (centres + random.normal(size=(20, 5, 16))).reshape(100, 16)
    labels = torch.arange(20).repeat_interleave(5)
    given = torch.tensor(features, dtype=torch.float32), labels, 40
    setting = {"beta": 0.3, "gamma": 0.1, "rate_g": 3e-4, "rate_d": 1e-2}
    found = players.played(*given, seed=1, **setting)
    assert tuple(found) == players.FIGURES
    assert found == players.played(*given, seed=1, **setting)
    assert (
        found["real_accuracy"]
        > 0.5
        > players.played(*given, seed=1, **{**setting, "rate_d": 1e-9})["real_accuracy"]
    )
    assert found["real_kept"] > 0.9
    assert found["offset"] > 0


# ---------------------------------------------------------------- the command


def test_an_error_is_one_line_and_status_two(tools, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended, tools.records.resumable():
        tools.records.read_records(tmp_path, tools.htg.ARMS)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: no records in {tmp_path}\n"


def test_a_stop_ends_by_the_status_of_its_signal(tools, capsys):
    with pytest.raises(SystemExit) as ended, tools.records.resumable():
        raise Interrupted(signal.SIGTERM, "RUN")
    assert ended.value.code == 128 + signal.SIGTERM
    assert "the same command goes on" in "".join(capsys.readouterr())
