"""`facever evaluate retrieval` and `facever evaluate identification`."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from facever.cli.evaluate import app
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import identification, retrieval
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.reranking import Reranking
from facever.evaluation.score_calibration import ScoreCalibration
from facever.operating_point import OperatingPoint
from facever.studies.index_tuning import tune


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of embeddings: queries and gallery in one; probes and people enrolled in two."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 8))
    who = np.repeat(np.arange(40), 6)
    vectors = centres[who] + 0.8 * rng.standard_normal((240, 8))
    subset = np.where(np.arange(240) % 6 == 0, "query", "gallery")
    faces = EmbeddingSet.from_arrays(
        vectors,
        [f"p{i:02d}" for i in who],
        fingerprint="f",
        subset=subset,
        camera=rng.integers(3, size=240),
    )
    folder = tmp_path_factory.mktemp("embeddings")
    faces.save(folder / "all")
    faces.select(faces.rows.subset == "query").save(folder / "probes")
    faces.select((faces.rows.subset == "gallery") & (faces.rows.identity < "p25")).save(
        folder / "people"
    )
    return folder


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_retrieval_takes_reranking_and_expansion(folders):
    faces = EmbeddingSet.load(folders / "all")
    given = run(
        "retrieval", folders / "all", "--camera", "camera", "--rerank", "--k1", 8, "--lambda", 0.2,
        "--expand", 3, "--alpha", 2, "--expand-gallery", "--json",
    )  # fmt: skip
    found = retrieval(
        faces,
        camera="camera",
        rerank=Reranking(8, 6, 0.2),
        expand=Expansion(3, 2.0, gallery=True),
    )
    assert json.loads(given.stdout) == json.loads(json.dumps(found.to_dict()))
    plain = json.loads(run("retrieval", folders / "all", "--json").stdout)
    assert plain["reranking"] is plain["expansion"] is None
    assert plain == json.loads(json.dumps(retrieval(faces).to_dict()))
    text = run("retrieval", folders / "all", "--rerank", "--k2", 3).stdout
    assert "k-reciprocal re-ranking (k1 20, k2 3, lambda 0.3)" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--k2", "3"], "--k2 requires --rerank"),
        (["--lambda", "0.1"], "--lambda requires --rerank"),
        (["--alpha", "3"], "--alpha requires --expand K"),
        (["--expand-gallery"], "--expand-gallery requires --expand K"),
        (["--rerank", "--lambda", "2"], "must be from 0 to 1"),
    ],
)
def test_options_that_do_not_belong_are_refused(folders, words, message):
    with pytest.raises(EvaluationError) as raised:
        run("retrieval", folders / "all", *words)
    assert message in str(raised.value)


def test_identification_takes_several_rates_and_ranks(folders):
    sides = folders / "probes", folders / "people"
    given = run("identification", *sides, "--fpir", "0.2", "0.1", "--rank", "1", "3", "--json")
    sets = [EmbeddingSet.load(folder) for folder in sides]
    found = identification(*sets, fpir=[0.2, 0.1], ranks=[1, 3])
    assert json.loads(given.stdout) == json.loads(json.dumps(found.to_dict()))


def test_an_operating_point_is_saved_and_judged(folders, tmp_path):
    sides = folders / "probes", folders / "people"
    path = tmp_path / "point.json"
    run("identification", *sides, "--fpir", "0.2", "--save-operating-point", path)
    point = OperatingPoint.load(path)
    assert (point.kind, point.gallery_size, point.fingerprint) == ("1:N", 25, "f")
    given = run("identification", *sides, "--operating-point", path, "--json")
    (realised,) = json.loads(given.stdout)["realised"]
    assert realised["fpir"] == point.achieved_rate
    assert realised["threshold"] == point.threshold


def test_the_former_option_of_indexes_answers_as_before(folders):
    given = run(
        "identification", folders / "probes", folders / "people", "--fpir", "0.2", "--index",
        "flat", "HNSW8", "IVF2,Flat:nprobe=2", "--candidates", "7", "--json",
    )  # fmt: skip
    assert "use facever gallery tune" in given.stderr
    values = json.loads(given.stdout)
    sets = [EmbeddingSet.load(folders / name) for name in ("people", "probes")]
    found = tune(*sets, ["HNSW8", "IVF2,Flat:nprobe=2"], fpir=0.2, candidates=7, ranks=[1, 10])
    assert values["indexes"]["candidates"] == 7
    assert values.keys() == {*found.exact.to_dict(), "indexes"}
    names = ["Flat", "HNSW8", "IVF2,Flat:nprobe=2"]
    rows = json.loads(json.dumps(found.to_dict()))["rows"]
    for name, row, own in zip(names, values["indexes"]["rows"], rows, strict=True):
        assert (row["index"], row["bytes"]) == (name, own["memory_bytes"])
        assert row["operating_points"] == own["operating_points"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--candidates", "5"], "--candidates requires --index"),
        (["--index", "HNSW8", "--rule", "mean"], "--index uses the thresholds of exact"),
        (["--index", "HNSW8", "--templates", "mean"], "omit --rule, --templates"),
        (["--index", "HNSW8", "--calibrate", "isotonic"], "--operating-point and --calibrate"),
        (["--prior", "0.5"], "--prior and --save-calibration require --calibrate METHOD"),
        (["--save-calibration", "c.json"], "require --calibrate METHOD"),
        (["--calibrate", "isotonic", "--save-calibration", "c.json"], "needs --prior"),
    ],
)
def test_options_of_indexes_that_do_not_fit_are_refused(folders, words, message):
    with pytest.raises(EvaluationError, match=message):
        run("identification", folders / "probes", folders / "people", *words)


def test_thresholds_and_calibrations_for_a_gallery_with_templates(folders, tmp_path):
    sides = folders / "probes", folders / "people"
    point, calibration = tmp_path / "point.json", tmp_path / "calibration.json"
    given = run(
        "identification", *sides, "--fpir", "0.2", "--templates", "mean", "--calibrate", "isotonic",
        "--prior", "0.4", "--save-operating-point", point, "--save-calibration", calibration,
        "--json",
    )  # fmt: skip
    sets = [EmbeddingSet.load(folder) for folder in sides]
    found = identification(*sets, fpir=[0.2], templates="mean", calibrate="isotonic", prior=0.4)
    assert json.loads(given.stdout) == json.loads(json.dumps(found.to_dict()))
    assert OperatingPoint.load(point).templates == "mean"
    stored = ScoreCalibration.load(calibration)
    assert stored.model_copy(update={"created": ""}) == found.calibration.stored().model_copy(
        update={"created": ""}
    )
