"""`facever evaluate` on templates, lists, cohorts and other sets."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from facever.cli.evaluate import app
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.operating_point import OperatingPoint


@pytest.fixture
def make_set(tmp_path):
    """A function (name, people, seed) -> the folder of an embedding set."""

    def make(name, people="p", seed=0):
        rng = np.random.default_rng(seed)
        names = np.repeat([f"{people}{i:02d}" for i in range(20)], 6)
        vectors = np.repeat(rng.standard_normal((20, 8)), 6, axis=0)
        made = EmbeddingSet.from_arrays(
            vectors + rng.standard_normal((120, 8)),
            names,
            fingerprint="f",
            path=[f"{k}.jpg" for k in range(120)],
            template=[f"{each}-{k % 2}" for k, each in enumerate(names)],
            clip=(np.arange(120) // 4).tolist(),
            half=np.where(np.arange(120) < 60, "one", "two"),
        )
        made.save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def pairs(tmp_path):
    names = np.repeat(np.arange(20), 6)
    i, j = np.triu_indices(120, 1)
    keep = (names[i] == names[j]) | ((i + j) % 17 == 0)
    frame = pd.DataFrame({"a": i[keep], "b": j[keep]}).map("{}.jpg".format)
    path = tmp_path / "pairs.csv"
    frame.assign(same=(names[i] == names[j])[keep], fold=(i + j)[keep] % 3).to_csv(
        path, index=False
    )
    return path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def values(*words):
    return json.loads(run(*words, "--json").stdout)


def test_templates(make_set, tmp_path):
    faces = make_set("faces")
    found = values("verification", faces, "--templates", "template", "--media", "clip")
    assert (found["kind"], found["trials"]["genuine"]) == ("1:1-template", 20)
    point = tmp_path / "point.json"
    words = ("verification", faces, "--templates", "template", "--quality", "norm")
    run(*words, "--save-operating-point", point, "--at-far", "0.1")
    assert OperatingPoint.load(point).kind == "1:1-template"
    listed = tmp_path / "templates.csv"
    listed.write_text("template,path\na,0.jpg\na,1.jpg\nb,2.jpg\nc,6.jpg\n")
    assert values("verification", faces, "--templates", listed)["trials"] == {
        "genuine": 1,
        "impostor": 2,
    }
    with pytest.raises(EvaluationError, match=r"^--media and --quality require --templates"):
        run("verification", faces, "--quality", "norm")


def test_a_cohort(make_set):
    faces, others = make_set("faces"), make_set("others", people="q", seed=1)
    words = ("verification", faces, "--cohort", others)
    assert values(*words, "--cohort-top", "9")["normalisation"].startswith(
        "adaptive S-norm over the top 9 of 120 images of 20 other people"
    )
    assert values(*words, "--snorm", "s")["normalisation"].startswith("S-norm over 120 images")
    cases = [
        ((*words,), "^top 200 of a cohort of 120: give 2 to 120$"),
        ((*words, "--cohort-top", "0"), "^top 0 of a cohort of 120"),
        ((*words, "--snorm", "s", "--cohort-top", "9"), "^S-norm uses the whole cohort"),
        ((*words, "--snorm", "z"), "^unknown score normalisation 'z'"),
        (("verification", faces, "--snorm", "s"), "^--snorm and --cohort-top require --cohort"),
        (
            ("verification", faces, "--cohort", faces, "--snorm", "s"),
            "^the cohort shares 20 people",
        ),
        (
            (*words, "--cohort-top", "9", "--save-operating-point", "x", "--at-far", "0.1"),
            "^normalised scores give no operating point",
        ),
    ]
    for wrong, message in cases:
        with pytest.raises(EvaluationError, match=message):
            run(*wrong)


def test_a_cohort_of_another_model(make_set):
    faces, others = make_set("faces"), EmbeddingSet.load(make_set("others", people="q"))
    EmbeddingSet.from_arrays(others.vectors, others.identities, fingerprint="g").save(
        faces.parent / "g"
    )
    with pytest.raises(
        EvaluationError, match=r"^the cohort is of another model \(g\) than the emb"
    ):
        run("verification", faces, "--cohort", faces.parent / "g")


def test_comparison_on_a_list(make_set, pairs):
    first, second = make_set("faces"), make_set("again", seed=1)
    found = values("compare", first, second, "--pairs", pairs, "--far", "0.1", "0.02")
    assert [point["far_target"] for point in found["operating_points"]] == [0.1, 0.02]
    assert found["trials_of"] == "pairs"
    assert set(found["accuracy"]) >= {"first", "second", "difference", "interval", "resolved"}
    halves = values("compare", first, second, "--where", "half=one", "--far", "0.1")
    assert halves["trials"] == {"genuine": 150, "impostor": 1620}
    pooled = values("compare", first, second, "--templates", "template", "--far", "0.1")
    assert pooled["trials"]["genuine"] == 20


def test_transfer(make_set, pairs, tmp_path):
    first, second = make_set("faces"), make_set("others", people="q", seed=1)
    found = values("transfer", first, second, "--far", "0.1", "0.01")
    assert [point["fmr_target"] for point in found["operating_points"]] == [0.1, 0.01]
    point = tmp_path / "point.json"
    run("verification", first, "--save-operating-point", point, "--at-far", "0.1", "--far", "0.1")
    alone = values("transfer", point, second)
    assert alone["operating_points"][0]["fmr"] == found["operating_points"][0]["fmr"]
    listed = values("transfer", point, second, "--pairs", pairs)
    assert (listed["trials_of"], listed["trials"]["genuine"]) == ("pairs", 300)
    half = values("transfer", point, second, "--where", "half=two")
    assert half["trials"]["genuine"] == 150
    assert "FMR here  95%" in run("transfer", point, second).stdout
    with pytest.raises(
        EvaluationError, match=r"^an operating point includes its rate and similarity"
    ):
        run("transfer", point, second, "--far", "0.1")


def test_calibration_of_lists_and_files(make_set, pairs, tmp_path):
    faces = make_set("faces")
    found = values("calibration", faces, "--pairs", pairs, "--prior", "0.01")
    assert found["prior"] == 0.01
    assert sum(found["people"].values()) == 20
    rng = np.random.default_rng(0)
    who, other = rng.integers(30, size=(2, 2000))
    other = np.where(rng.random(2000) < 0.4, who, other)
    scores = tmp_path / "scores.npz"
    np.savez(scores, score=rng.standard_normal(2000) + (who == other), label=who == other,
             identity_a=who, identity_b=other)  # fmt: skip
    assert values("calibration", scores)["people"] == {"fitted": 15, "judged": 15}
    with pytest.raises(EvaluationError, match=r"is a file of scores: omit --pairs, --similarity"):
        run("calibration", scores, "--similarity", "dot")
