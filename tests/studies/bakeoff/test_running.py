"""A whole bake-off on a tiny data set: runs, resume, refusals, results."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.data.sources import load as load_data
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError, ModelError
from facever.evaluate import compare
from facever.evaluation.one_to_one.verification import verification
from facever.models.loading import load_model
from facever.models.onnx.adding import add_model
from facever.studies.bakeoff import BakeoffResult, bakeoff
from facever.studies.bakeoff.judging import known_people
from facever.studies.bakeoff.running import trained
from facever.training import trainer
from facever.training.config import TrainConfig

Configs = Callable[..., dict[str, TrainConfig]]
Done = tuple[Path, BakeoffResult]
COSFACE = "cosface:scale=16,margin=0.2"


def run_folder(folder: Path, label: str, seed: int) -> Path:
    return folder / "runs" / label.replace(":", "-").replace(",", "-") / f"seed-{seed}"


def test_every_run_is_an_ordinary_run_folder(done: Done) -> None:
    folder, result = done
    assert [(run.label, run.seed) for run in result.runs] == [
        ("softmax", 0), (COSFACE, 0), ("softmax", 1), (COSFACE, 1),
    ]  # fmt: skip
    for run in result.runs:
        assert Path(run.path) == run_folder(folder, run.label, run.seed)
        assert (Path(run.path) / "model.safetensors").is_file()
        assert run.updates == 4
        assert run.curve_name == "development auc"
        assert [step for step, _ in run.curve] == [2, 4]
    assert [head.metric for head in result.heads] == ["dot", "cosine"]


def test_same_batches_and_start_for_every_head(done: Done) -> None:
    """The first batch of a seed is the same picture, and another seed's is another."""
    folder, _ = done
    pictures = {
        (label, seed): (run_folder(folder, label, seed) / "train_batch.png").read_bytes()
        for label in ("softmax", COSFACE)
        for seed in (0, 1)
    }
    assert pictures["softmax", 0] == pictures[COSFACE, 0]
    assert pictures["softmax", 0] != pictures["softmax", 1]


def test_figures_are_those_of_the_test_people_alone(done: Done) -> None:
    folder, result = done
    run = result.runs[1]
    held = EmbeddingSet.load(run_folder(folder, COSFACE, 0) / "embeddings")
    assert set(held.identities) == {"p08", "p09", "p10", "p11"}
    own = verification(held.vectors, held.identities, far=[0.05])
    assert run.judged.figures["tar@5e-2"] == own.at(0.05).tar
    assert (result.genuine, result.impostor) == (own.trials.genuine, own.trials.impostor)
    # The threshold of the accuracy: best on the development people.
    people = EmbeddingSet.load(run_folder(folder, COSFACE, 0) / "development")
    assert set(people.identities) == {"p05", "p06", "p07"}
    scores = people.vectors @ people.vectors.T
    same = people.identities[:, None] == people.identities[None, :]
    upper = np.triu_indices(len(people), 1)
    scores, same = scores[upper], same[upper]
    balanced = [
        ((scores > t)[same].mean() + (scores <= t)[~same].mean()) / 2 for t in [-2.0, *scores]
    ]
    reached = ((scores > run.judged.threshold)[same].mean()
               + (scores <= run.judged.threshold)[~same].mean()) / 2  # fmt: skip
    assert reached == pytest.approx(max(balanced))


def test_the_interval_over_people_is_that_of_compare(done: Done, configs: Configs) -> None:
    folder, _ = done
    single = bakeoff(configs(), folder, ["subset=test"], seeds=1, far=[0.05])
    sets = [
        EmbeddingSet.load(run_folder(folder, label, 0) / "embeddings")
        for label in ("softmax", COSFACE)
    ]
    expected = compare(*sets, far=[0.05]).points[0].difference
    verdict = next(v for v in single.verdicts if v.figure == "tar@5e-2")
    assert verdict.people.interval.low == pytest.approx(expected.low)
    assert verdict.people.interval.high == pytest.approx(expected.high)
    assert verdict.seeds is None
    assert verdict.resolved["seeds"] is False


def test_results_are_written_and_say_what_was_refused(done: Done) -> None:
    folder, result = done
    assert json.loads((folder / "bakeoff.json").read_text())["baseline"] == "softmax"
    assert result.refused == {1e-4: 10_000}
    text = result.to_text()
    assert "FAR 0.0001 is refused: it needs 10,000 impostor trials" in text
    assert "only 4 test people" in text
    page = (folder / "bakeoff.html").read_text()
    assert "only 4 test people" in page
    assert page.count("<svg") == 3  # two figures compared, and the learning curves
    assert COSFACE in page


def starts(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that fills with the folders of runs that begin anew."""
    started: list[Path] = []
    original = trainer.Trainer.start.__func__  # type: ignore[attr-defined]

    def start(cls: type, config: TrainConfig, path: Path, data: Path | None = None) -> object:
        started.append(path)
        return original(cls, config, path, data)

    monkeypatch.setattr(trainer.Trainer, "start", classmethod(start))
    return started


def test_finished_runs_are_kept_and_more_may_be_asked_for(
    done: Done, configs: Configs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(done[0], folder)
    started = starts(monkeypatch)
    again = bakeoff(configs(), folder, ["subset=test"], seeds=2, far=[0.05, 1e-4])
    assert started == []
    assert again.verdicts == done[1].verdicts
    more = bakeoff(
        configs("softmax", COSFACE, "cosine"), folder, ["subset=test"], seeds=1, baseline=COSFACE
    )
    assert started == [folder / "runs" / "cosine" / "seed-0"]
    assert {verdict.label for verdict in more.verdicts} == {"softmax", "cosine"}


class Killed(Exception):  # noqa: N818
    pass


def test_a_killed_run_goes_on_and_ends_the_same(
    done: Done, configs: Configs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = {label: c for label, c in configs().items() if label == "softmax"}
    other = configs()[COSFACE]
    both = {**config, COSFACE: other}
    updates = 0
    update = trainer.Trainer._update

    def dying(self: trainer.Trainer, *args: object) -> None:
        nonlocal updates
        updates += 1
        if updates == 4:  # in the second epoch of the first run
            raise Killed
        update(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.Trainer, "_update", dying)
    with pytest.raises(Killed):
        bakeoff(both, tmp_path, ["subset=test"], seeds=1, far=[0.05])
    half = tmp_path / "runs" / "softmax" / "seed-0"
    assert (half / "checkpoints" / "last.pt").is_file()
    assert not (half / "model.safetensors").exists()
    monkeypatch.setattr(trainer.Trainer, "_update", update)
    started = starts(monkeypatch)
    result = bakeoff(both, tmp_path, ["subset=test"], seeds=1, far=[0.05])
    assert [path.parent.name for path in started] == ["cosface-scale=16-margin=0.2"]
    whole = {run.label: run for run in done[1].runs if run.seed == 0}
    for run in result.runs:
        assert run.judged.figures["tar@5e-2"] == whole[run.label].judged.figures["tar@5e-2"]
        assert run.judged.figures["accuracy"] == whole[run.label].judged.figures["accuracy"]


def test_a_run_that_never_saved_begins_anew(configs: Configs, tmp_path: Path) -> None:
    from facever.config import dump
    from facever.training.run import Run

    config = configs()["softmax"]
    run = Run.create(tmp_path / "run")
    dump(config, run.config)
    assert trained(run, config, None).model.is_file()


def test_a_changed_configuration_is_refused_before_anything_is_trained(
    done: Done, configs: Configs, tmp_path: Path
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(done[0], folder)
    changed = configs("cosine", "softmax", changes=("epochs=3",))
    with pytest.raises(ConfigError) as raised:
        bakeoff(changed, folder, ["subset=test"], seeds=1)
    said = str(raised.value)
    assert said.startswith(f"{folder}/runs/softmax/seed-0 was trained with epochs = 2, not 3")
    assert "choose another folder" in said
    assert not (folder / "runs" / "cosine").exists()


@pytest.mark.parametrize(
    ("test", "error", "message"),
    [
        ([], ConfigError, "no test images: give --test COLUMN=VALUE"),
        (["subset=test", "a.csv", "b.csv"], ConfigError, "--test has 2 pair lists"),
        (["subset=tset"], DataError, "no image has subset tset"),
        (["subst=test"], DataError, "unknown column 'subst'; did you mean 'subset'?"),
        (
            ["subset=test,train"],
            DataError,
            "5 people of --test subset=test,train are used for training",
        ),
        (["subset=development"], DataError, "3 people of --test subset=development are used for"),
        (["lfw-view1"], DataError, "LFW's list pairsDevTest.txt is not in"),
        (["pairs.csv"], DataError, "no table at pairs.csv"),
    ],
)
def test_bad_test_parts(
    configs: Configs, tmp_path: Path, test: list[str], error: type, message: str
) -> None:
    with pytest.raises(error) as raised:
        bakeoff(configs(), tmp_path / "out", test)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_pair_list_of_people_who_are_trained_on_is_refused_first(
    configs: Configs, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("a,b,same\n8_0.png,8_1.png,1\n0_0.png,9_0.png,0\n")
    with pytest.raises(
        DataError, match=r"names 0_0.png, which is not a test image: .* used for training"
    ):
        bakeoff(configs(), tmp_path / "out", [str(pairs)])
    assert not (tmp_path / "out").exists()


def test_nobody_judges_whom_any_seed_sets_aside_for_choices(
    configs: Configs, listed: Path, tmp_path: Path
) -> None:
    """Single images are not trained on here, but each seed draws its own development people."""
    whole = Manifest.from_csv(listed)
    single = {"p00", "p01"}
    kept = [name not in single or k % 4 == 0 for k, name in enumerate(whole.frame["identity"])]
    whole.select(np.flatnonzero(kept)).save(tmp_path / "some.csv")
    changes = (f"data.root={tmp_path / 'some.csv'}", "data.train={}", "data.development=null",
               "data.development_share=0.3", "batch.min_images=2")  # fmt: skip
    both = configs(changes=changes)
    manifest = load_data(tmp_path / "some.csv")
    known = [
        known_people(manifest, both["softmax"].model_copy(update={"seed": seed})) & single
        for seed in range(4)
    ]
    assert not known[0]
    assert any(known)
    with pytest.raises(DataError, match="people of --test identity=p00,p01 are used for training"):
        bakeoff(both, tmp_path / "out", ["identity=p00,p01"], seeds=4)


def test_bad_wishes(configs: Configs, tmp_path: Path) -> None:
    for heads, options, message in (
        (("cosine",), {}, "a bake-off needs two heads or more"),
        ((), {"seeds": 0}, "--seeds 0: it must be 1 or more"),
        ((), {"baseline": "cosface"}, "unknown baseline 'cosface'"),
    ):
        with pytest.raises(ConfigError, match=message):
            bakeoff(configs(*heads), tmp_path, ["subset=test"], **options)  # type: ignore[arg-type]


def test_a_pair_list_judges(done: Done, configs: Configs, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    shutil.copytree(done[0], folder)
    rows = [(f"{i}_{a}.png", f"{j}_{b}.png", int(i == j)) for i in range(8, 12)
            for j in range(i, 12) for a in range(2) for b in range(2, 4)]  # fmt: skip
    pairs = tmp_path / "pairs.csv"
    pd.DataFrame(rows, columns=["a", "b", "same"]).to_csv(pairs, index=False)
    result = bakeoff(configs(), folder, [str(pairs)], seeds=2, far=[0.05])
    assert (result.genuine, result.impostor, result.people) == (16, 24, 4)
    assert result.figures == ["accuracy", "tar@5e-2"]
    run = result.runs[1]
    held = EmbeddingSet.load(Path(run.path) / "embeddings")
    place = {path: row for row, path in enumerate(held.rows["path"])}
    scores = np.array([held.vectors[place[a]] @ held.vectors[place[b]] for a, b, _ in rows])
    same = np.array([bool(row[2]) for row in rows])
    above = scores > run.judged.threshold
    balanced = (above[same].mean() + (~above)[~same].mean()) / 2
    assert run.judged.figures["accuracy"] == pytest.approx(balanced)


def test_without_development_people_the_threshold_comes_from_training(
    configs: Configs, tmp_path: Path
) -> None:
    changes = ("data.development=null", "data.development_share=0", "epochs=1")
    result = bakeoff(configs(changes=changes), tmp_path, ["subset=test"], seeds=1, far=[0.05])
    people = EmbeddingSet.load(Path(result.runs[0].path) / "development")
    assert set(people.identities) == {f"p0{k}" for k in range(5)}
    assert result.runs[0].curve_name == "accuracy in training"
    assert len(result.runs[0].curve) == 2


def test_a_head_that_needs_pairs_says_so(configs: Configs) -> None:
    with pytest.raises(ConfigError, match=r"head 'triplet' .*images_per_identity to 2"):
        configs("cosine", "triplet")
    both = configs("cosine", "triplet", changes=("batch.images_per_identity=4",))
    assert {c.batch.images_per_identity for c in both.values()} == {4}


def test_each_head_is_trained_in_the_same_number_format(configs: Configs, tmp_path: Path) -> None:
    automatic = {
        label: config.model_copy(update={"precision": "auto"})
        for label, config in configs().items()
    }
    with pytest.raises(ConfigError) as refused:
        bakeoff(automatic, tmp_path / "out", [])
    assert "precision=fp32" in str(refused.value)


def test_models_from_elsewhere_are_judged_on_the_same_trials(
    done: Done, configs: Configs, make_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "bakeoff"
    shutil.copytree(done[0], folder)
    added = add_model(make_onnx(size=(32, 32)), tmp_path / "m.onnx", mean=120, std=50)
    names = [str(added.path), str(run_folder(folder, "softmax", 0))]
    result = bakeoff(
        configs(), folder, ["subset=test"], seeds=2, far=[0.05], references=[*names, names[0]]
    )
    onnx, run = result.references
    assert [onnx.label, run.label] == names
    held = load_data(configs()["softmax"].data.root, None)
    test = held.select(np.flatnonzero(held.frame["subset"] == "test"))
    own = load_model(added.path).embed_images(test)
    wanted = verification(own.vectors, own.identities, far=[0.05])
    assert onnx.judged.figures["tar@5e-2"] == wanted.at(0.05).tar
    assert onnx.fingerprint == added.fingerprint
    assert onnx.overlap.startswith("unknown")
    # A run is judged as it is in the bake-off.
    assert run.judged.figures == result.runs[0].judged.figures
    assert "none" in run.overlap
    mean = np.mean([one.judged.figures["accuracy"] for one in result.of("softmax")])
    difference = onnx.differences["accuracy"]
    assert difference.mean == pytest.approx(onnx.judged.figures["accuracy"] - mean)
    assert difference.interval.low <= difference.mean <= difference.interval.high
    written = json.loads((folder / "bakeoff.json").read_text())
    assert [one["label"] for one in written["references"]] == names
    assert all(name in (folder / "bakeoff.html").read_text() for name in names)
    with pytest.raises(ModelError, match=r"no\.onnx"):
        bakeoff(configs(), folder, ["subset=test"], seeds=2, references=["no.onnx"])
