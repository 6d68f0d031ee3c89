"""Calibration of embedding sets: what failed is left out, lists take the place of all pairs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluate import calibrate, calibrate_scores, template_set, verification
from facever.evaluation.one_to_one.calibration import JudgedTrials, calibrate_trials
from facever.vectors.embedding_set import EmbeddingSet


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(160, people=20)
    return EmbeddingSet.from_arrays(vectors, names, path=[f"{i}.jpg" for i in range(160)])


def test_images_that_failed_are_left_out(faces):
    rows = faces.rows.copy()
    rows.loc[:2, "error"] = "truncated"
    vectors = faces.vectors.copy()
    vectors[:3] = 0
    found = calibrate(replace(faces, rows=rows, vectors=vectors), prior=0.1)
    alone = calibrate(faces.vectors[3:], faces.identities[3:], prior=0.1)
    assert found.to_dict() == {**alone.to_dict(), "fingerprint": "undeclared"}


def test_people_of_the_training_are_warned_of(faces):
    known = replace(faces, trained_on=pd.DataFrame({"identity": ["p001"], "dataset": ["made up"]}))
    i, j, _, same, _ = all_pairs(faces)
    paths = faces.rows["path"].to_numpy()
    listed = PairList(pd.DataFrame({"a": paths[i], "b": paths[j], "same": same}))
    for pairs, share in ((None, ""), (listed, ", in ")):
        (text,) = calibrate(known, pairs=pairs).to_dict()["warnings"]
        assert text.startswith(
            f"the model was trained on 1 of the 20 people (p001; from made up){share}"
        )
        assert calibrate(faces, pairs=pairs).warnings == []


def all_pairs(faces):
    i, j = np.triu_indices(160, 1)
    names = faces.identities
    codes = pd.factorize(names)[0]  # in the order of the rows, as a file names them
    scores = (faces.vectors[i].astype(float) * faces.vectors[j]).sum(axis=1).astype(np.float32)
    return i, j, scores, names[i] == names[j], (codes[i], codes[j])


def test_a_list_of_all_pairs_is_all_pairs(faces):
    i, j, _, same, _ = all_pairs(faces)
    paths = faces.rows["path"].to_numpy()
    listed = PairList(pd.DataFrame({"a": paths[i], "b": paths[j], "same": same}))
    found, whole = calibrate(faces, pairs=listed), calibrate(faces)
    assert found.cllr == pytest.approx(whole.cllr, abs=1e-6)
    assert found.trials == whole.trials
    for one, two in zip(found.reliability, whole.reliability, strict=True):
        assert (one.genuine, one.impostor) == (two.genuine, two.impostor)
        assert one.interval.low == pytest.approx(two.interval.low, rel=1e-6)


def test_scores_of_any_system(faces, tmp_path):
    i, j, scores, same, people = all_pairs(faces)
    path = tmp_path / "scores.parquet"
    frame = pd.DataFrame(
        {
            "score": scores,
            "label": same,
            "identity_a": faces.identities[i],
            "identity_b": faces.identities[j],
        }
    )
    frame.to_parquet(path)
    found = calibrate_scores(path, method="isotonic", prior=0.01)
    alone = calibrate_trials(JudgedTrials(scores, same, people), method="isotonic", prior=0.01)
    assert found.to_dict() == alone.to_dict()
    frame.drop(columns=["identity_a", "identity_b"]).to_parquet(path)
    with pytest.raises(
        EvaluationError, match=r"names no identities .*: a calibration is judged on"
    ):
        calibrate_scores(path)
    frame.assign(score=np.nan).to_parquet(path)
    with pytest.raises(EvaluationError, match=r"^12720 of 12720 scores are not finite"):
        calibrate_scores(path)


def test_a_stored_calibration_says_where_it_is_from(faces):
    meta = replace(faces.meta, dataset="made up", fingerprint="model-1")
    named = replace(faces, meta=meta, rows=faces.rows.assign(visit=np.arange(160) % 80))
    found = calibrate(named, prior=0.2)
    stored = found.stored()
    assert (stored.kind, stored.templates, stored.similarity) == ("1:1-image", "all", "cosine")
    assert (stored.dataset, stored.fingerprint, stored.prior) == ("made up", "model-1", 0.2)
    assert stored.trials == found.trials[0]
    assert stored.probability([0.1]) == pytest.approx(found.calibration.probability([0.1], 0.2))
    for quality, media, policy in ((None, None, "mean"), ("norm", None, "quality_mean"),
                                   ("visit", None, "other"), (None, "visit", "other")):  # fmt: skip
        rows = named.rows.assign(t=named.rows["identity"] + "-" + (np.arange(160) % 2).astype(str))
        pooled = template_set(replace(named, rows=rows), "t", quality=quality, media=media)
        one = calibrate(pooled, method="isotonic", prior=0.2).stored()
        assert (one.kind, one.templates) == ("1:1-template", policy)
        measured = verification(pooled, far=[0.1])
        assert measured.operating_point(0.1).templates == measured.to_dict()["templates"] == policy
    scores, same, people = all_pairs(faces)[2:]
    other = calibrate_trials(JudgedTrials(scores, same, people), prior=0.2)
    with pytest.raises(EvaluationError, match=r"^scores of another system make no calibration"):
        other.stored()
