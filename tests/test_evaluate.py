"""The public functions of `facever.evaluate`: what they take, and what reaches the result."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import facever
from facever import EmbeddingSet, evaluate
from facever.errors import EvaluationError, GalleryError
from facever.gallery.gallery import Gallery


@pytest.fixture
def faces():
    """Forty images of eight people, by three cameras, with lengths that differ; two failed."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(8), 5)
    vectors = rng.standard_normal((8, 6))[who] + 0.8 * rng.standard_normal((40, 6))
    made = EmbeddingSet.from_arrays(
        vectors,
        [f"p{code}" for code in who],
        fingerprint="model-1",
        camera=(np.arange(40) % 3).tolist(),
        subset=np.where(np.arange(40) % 4 == 0, "query", "gallery"),
    )
    rows = made.rows.copy()
    rows.loc[[3, 11], "error"] = "truncated"
    units = made.vectors.copy()
    units[[3, 11]] = 0
    known = pd.DataFrame({"identity": ["p2"], "dataset": ["elsewhere"]})
    return replace(
        made,
        vectors=units,
        rows=rows,
        meta=replace(made.meta, dataset="made up"),
        trained_on=known,
    )


def columns(faces):
    """The same rows as plain columns, and what they do not say themselves."""
    rows = faces.rows
    table = {
        "vectors": faces.vectors,
        "identity": faces.identities,
        "norm": rows["norm"].to_numpy(),
        "acquired": faces.acquired,
        "camera": rows["camera"].tolist(),
        "subset": rows["subset"].tolist(),
    }
    told = {"fingerprint": "model-1", "dataset": "made up", "trained_on": faces.trained_on}
    return table, told


def test_a_set_and_its_columns_have_one_result(faces):
    table, told = columns(faces)
    options = {"far": [0.1], "exclude": ["camera"], "groups": ["subset"], "detail": True}
    for similarity in ("cosine", "dot", "euclidean"):
        own = replace(faces, meta=replace(faces.meta, metric=similarity))
        found = evaluate.verification(own, **options).to_dict()
        again = evaluate.verification(table, similarity=similarity, **options, **told).to_dict()
        assert again == found
        assert (found["fingerprint"], found["dataset"]) == ("model-1", "made up")
        assert found["overlap"]["first"] == ["p2"]
    found = evaluate.calibrate(faces, method="isotonic").to_dict()
    assert evaluate.calibrate(table, method="isotonic", **told).to_dict() == found
    found = evaluate.retrieval(faces, camera="camera")
    again = evaluate.retrieval(table, camera="camera")
    assert again.map_plain == found.map_plain
    assert again.failed_gallery == found.failed_gallery == 2
    point = evaluate.verification(faces, far=[0.1]).operating_point(0.1)
    other = replace(faces, meta=replace(faces.meta, dataset="other"))
    carried = evaluate.transfer(point, other, exclude=["camera"]).to_dict()
    told |= {"dataset": "other"}
    assert evaluate.transfer(point, table, exclude=["camera"], **told).to_dict() == carried
    assert carried["warnings"][0].startswith("the model was trained on 1 of the 8 people")


def test_two_sides_are_sets_or_columns(faces):
    table, told = columns(faces)
    halves = faces.select(np.arange(40) % 2 == 0), faces.select(np.arange(40) % 2 == 1)
    parts = [{name: np.asarray(v)[k::2] for name, v in table.items()} for k in (0, 1)]
    found = evaluate.verification(halves[0], against=halves[1], far=[0.1]).to_dict()
    again = evaluate.verification(parts[0], against=parts[1], far=[0.1], **told).to_dict()
    assert {**again, "dataset": ""} == {**found, "dataset": ""}
    gallery = halves[1].select(halves[1].identities < "p5")
    enrolled = {name: v[parts[1]["identity"] < "p5"] for name, v in parts[1].items()}
    found = evaluate.identification(halves[0], gallery, fpir=[0.2], calibrate="isotonic")
    again = evaluate.identification(parts[0], enrolled, fpir=[0.2], calibrate="isotonic", **told)
    assert again.to_dict() == found.to_dict()
    assert again.operating_point(0.2).fingerprint == found.calibration.fingerprint == "model-1"
    ranked = evaluate.retrieval(halves[0], against=halves[1])
    assert evaluate.retrieval(parts[0], against=parts[1]).map_plain == ranked.map_plain
    other = replace(faces, vectors=faces.vectors[:, ::-1].copy())
    compared = evaluate.compare(faces, other, far=[0.1]).to_dict()
    turned = {**table, "vectors": other.vectors}
    assert evaluate.compare(table, turned, far=[0.1]).to_dict() == {**compared, "warnings": []}


def test_rankings_in_one_set_are_those_of_its_two_parts(faces):
    queries, gallery = (evaluate.rows_where(faces, [f"subset={p}"]) for p in ("query", "gallery"))
    one = evaluate.retrieval(faces, camera="camera", similarity="dot")
    two = evaluate.retrieval(queries, against=gallery, camera="camera", similarity="dot")
    for name in ("map_plain", "map_trapezoid", "minp", "failed_gallery", "answerable", "overlap"):
        assert getattr(one, name) == getattr(two, name)
    assert np.flatnonzero(faces.rows["subset"] == "query")[two.each.rows].tolist() == (
        one.each.rows.tolist()
    )
    other = replace(gallery, meta=replace(gallery.meta, fingerprint="model-2"))
    with pytest.raises(EvaluationError, match="different models"):
        evaluate.retrieval(queries, against=other)


def test_a_threshold_of_plain_vectors_is_taken_by_the_gallery_of_its_model(faces, tmp_path):
    held = faces.select(faces.acquired)
    arrays = held.vectors, held.identities
    measured = evaluate.verification(*arrays, far=[0.1], fingerprint="model-1")
    nameless = evaluate.verification(*arrays, far=[0.1])
    with Gallery.create(tmp_path / "gallery", fingerprint="model-1", dimension=6) as gallery:
        gallery.add_operating_point("ours", measured.operating_point(0.1))
        assert gallery.operating_points()["ours"].threshold == measured.at(0.1).threshold
        for point in (
            nameless.operating_point(0.1),
            nameless.operating_point(0.1).model_copy(update={"fingerprint": None}),
        ):
            with pytest.raises(GalleryError, match=r"has no fingerprint.*model-1.*finger"):
                gallery.add_operating_point("theirs", point)
    with pytest.raises(EvaluationError, match=r"the fingerprint of .* is model-1, not model-2"):
        evaluate.verification(faces, fingerprint="model-2")


def test_vectors_of_another_length_are_normalised_and_that_is_said_once(faces, capsys):
    held = faces.select(faces.acquired)
    scaled = held.vectors * np.linspace(1, 9, len(held))[:, None]
    found = evaluate.verification(scaled, held.identities, far=[0.1], detail=True)
    said = capsys.readouterr().err
    assert said.count("not of unit length") == 1
    assert "vector 1 has length" in said
    unit = evaluate.verification(held.vectors, held.identities, far=[0.1])
    assert found.at(0.1).threshold == pytest.approx(unit.at(0.1).threshold, abs=1e-6)
    assert found.trials == unit.trials
    lengths = {"vectors": scaled, "identity": held.identities}
    raw = evaluate.verification(lengths, far=[0.1], similarity="dot").at(0.1)
    products = scaled.astype(np.float32).astype(float) @ scaled.astype(np.float32).T.astype(float)
    i, j = np.triu_indices(len(held), 1)
    strangers = held.identities[i] != held.identities[j]
    assert raw.false_accepts == (products[i, j][strangers] > raw.threshold).sum()
    assert capsys.readouterr().err == ""
    with pytest.raises(EvaluationError, match="vector 2 has zero length"):
        scaled[2] = 0
        evaluate.verification(scaled, held.identities)


def test_scores_in_arrays_are_those_of_a_file(faces, tmp_path):
    held = faces.select(faces.acquired)
    i, j = np.triu_indices(len(held), 1)
    who = held.identities
    made = (held.vectors[i].astype(float) * held.vectors[j]).sum(axis=1)
    frame = pd.DataFrame({"score": made, "label": (who[i] == who[j]).astype(int)})
    frame.assign(identity_a=who[i], identity_b=who[j]).to_parquet(tmp_path / "scores.parquet")
    of_file = evaluate.scores(tmp_path / "scores.parquet", far=[0.1]).to_dict()
    pair = (who[i], who[j])
    for identities in (pair, np.stack(pair, axis=1)):
        found = evaluate.scores(made, frame["label"], identities=identities, far=[0.1])
        assert found.to_dict() == of_file
        assert evaluate.scores(made, identities=identities, far=[0.1]).to_dict() == of_file
        turned = evaluate.scores(1 - made, identities=identities, far=[0.1], distances=True)
        assert turned.at(0.1).true_accepts == found.at(0.1).true_accepts
    alone = evaluate.scores(made, frame["label"] == 1, far=[0.1])
    assert alone.at(0.1).threshold == found.at(0.1).threshold
    assert "identities=" in alone.warnings[0]
    fitted = evaluate.calibrate_scores(made, identities=pair, method="isotonic")
    again = evaluate.calibrate_scores(tmp_path / "scores.parquet", method="isotonic")
    assert fitted.to_dict() == again.to_dict()
    cases = [
        ((made,), {}, "scores without labels"),
        ((made, frame["label"][1:]), {}, "'label' is of shape"),
        ((made, frame["label"] + 1), {}, "'label' is '2'"),
        ((made, frame["label"]), {"identities": who}, r"an array \[T, 2\] or two arrays"),
        ((made, 1 - frame["label"]), {"identities": pair}, "contradicts its identities"),
        ((tmp_path / "scores.parquet", frame["label"]), {}, "has its own labels"),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            evaluate.scores(*arrays, **options)


def test_what_a_set_says_is_not_said_again(faces):
    for options, message in (
        ({"identities": faces.identities}, "has its own identities"),
        ({"dataset": "other"}, "the data set of the embedding set is made up, not other"),
        ({"trained_on": faces.trained_on}, "omit trained_on"),
    ):
        with pytest.raises(EvaluationError, match=message):
            evaluate.verification(faces, **options)
    with pytest.raises(EvaluationError, match="omit identities"):
        evaluate.verification(columns(faces)[0], faces.identities)


@pytest.mark.parametrize("name", evaluate.__all__)
def test_every_public_name_is_there(name):
    assert getattr(facever.evaluate, name) is not None


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, facever; facever.evaluate; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
    with pytest.raises(AttributeError, match="no attribute 'measure'"):
        _ = facever.evaluate.measure
