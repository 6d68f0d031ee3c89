"""Two embedding sets compared: on all pairs, on lists, with what either could not embed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluate import (
    compare,
    compare_retrieval,
    retrieval,
    same_images,
    template_set,
    verification,
)


@pytest.fixture
def other(faces, make_faces):
    """The same images by a better model."""
    return replace(faces, vectors=make_faces(160, people=20, spread=0.7)[0])


@pytest.fixture
def folded(faces):
    """A list in three folds of unequal size."""
    rng = np.random.default_rng(1)
    names = faces.identities
    i, j = np.triu_indices(160, 1)
    same = np.flatnonzero(names[i] == names[j])
    chosen = np.concatenate([same, rng.choice(np.flatnonzero(names[i] != names[j]), len(same))])
    chosen = np.unique(chosen)
    paths = faces.rows["path"].to_numpy()
    folds = rng.choice(3, size=len(chosen), p=[0.5, 0.3, 0.2])
    frame = pd.DataFrame({"a": paths[i[chosen]], "b": paths[j[chosen]]})
    return PairList(frame.assign(same=names[i[chosen]] == names[j[chosen]], fold=folds), "folds")


def rankings(first, second, **options):
    """Compare the rankings of two models on the images that both could embed."""
    return compare_retrieval(*(retrieval(side, **options) for side in same_images(first, second)))


def test_images_that_either_could_not_embed_are_left_out_for_both(failing, faces, other):
    one, two = failing(faces, [103]), failing(other, [109])
    found = compare(one, two, far=[1e-2]).to_dict()
    kept = np.setdiff1d(np.arange(160), [103, 109])
    arrays = (faces.vectors[kept], other.vectors[kept], faces.identities[kept])
    alone = compare(*arrays, far=[1e-2]).to_dict()
    lost = found.pop("failure_to_acquire")
    assert alone.pop("failure_to_acquire")["failed"] == 0
    assert found == alone
    assert (lost["images"], lost["failed"]) == (160, 2)
    assert lost["genuine_trials"] + lost["impostor_trials"] == 159 + 158


def test_a_list_is_compared_at_every_far_and_by_accuracy(faces, other, folded):
    found = compare(faces, other, pairs=folded, far=[0.1, 0.02, 1e-6])
    single = [verification(each, pairs=folded, far=[0.1, 0.02]) for each in (faces, other)]
    assert found.protocol == "pairs"
    for point, far in zip(found.points, (0.1, 0.02), strict=True):
        assert (point.first, point.second) == (single[0].at(far), single[1].at(far))
        assert point.difference.low <= point.second.tar - point.first.tar <= point.difference.high
    assert found.refused == {1e-6: 1_000_000}
    accuracy = found.accuracy
    assert (accuracy.first, accuracy.second) == (single[0].accuracy, single[1].accuracy)
    gained = accuracy.second.mean - accuracy.first.mean
    middle = (accuracy.difference.low + accuracy.difference.high) / 2
    assert middle == pytest.approx(gained)
    assert accuracy.resolved == (accuracy.difference.low > 0)
    assert gained > 0
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["accuracy"]["difference"] == gained
    assert values["trials_of"] == "pairs"
    assert "accuracy" in found.to_text()
    assert "TAR at FAR 2e-2" in found.to_text()


def test_a_model_is_not_told_apart_from_itself(faces, folded):
    accuracy = compare(faces, faces, pairs=folded, far=[0.1]).accuracy
    assert (accuracy.difference.low, accuracy.difference.high) == (0, 0)
    assert not accuracy.resolved


def test_a_pair_that_either_lacks_is_in_neither_accuracy(failing, faces, other, folded):
    whole = compare(faces, other, pairs=folded, far=[0.1])
    found = compare(failing(faces, [3]), other, pairs=folded, far=[0.1])
    lost = ((folded.frame["a"] == "3.jpg") | (folded.frame["b"] == "3.jpg")).sum()
    counts = [each.trials.genuine + each.trials.impostor for each in (whole, found)]
    assert counts[0] - counts[1] == lost > 0
    assert found.failures.genuine + found.failures.impostor == lost


def test_templates_are_compared_too(faces, other):
    sets = [template_set(each, "identity") for each in (faces, other)]
    with pytest.raises(EvaluationError, match=r"^no genuine trials"):
        compare(*sets)
    columns = [each.rows.identity + each.rows.subset for each in (faces, other)]
    sets = [
        template_set(replace(each, rows=each.rows.assign(template=column)))
        for each, column in zip((faces, other), columns, strict=True)
    ]
    found = compare(*sets, far=[0.05])
    single = [verification(each, far=[0.05]).at(0.05) for each in sets]
    assert [found.points[0].first, found.points[0].second] == single


def test_whom_a_model_was_trained_on_is_said(faces, other):
    known = replace(
        other, trained_on=pd.DataFrame({"identity": ["p001"], "dataset": ["somewhere"]})
    )
    found = compare(faces, known, far=[0.05])
    assert found.warnings == [
        "second: the model was trained on 1 of the 20 people (p001; from somewhere)"
    ]


def test_other_rows_are_refused(faces):
    with pytest.raises(EvaluationError, match=r"^the two embedding sets have 160 and 159 rows: "):
        compare(faces, faces.select(np.arange(159)))
    turned = faces.select(np.arange(160)[::-1])
    with pytest.raises(EvaluationError, match=r"differ in the column identity: embed the same"):
        compare(faces, turned)
    moved = faces.rows.assign(path=faces.rows.path[::-1].tolist())
    with pytest.raises(EvaluationError, match="differ in the column path"):
        compare(faces, replace(faces, rows=moved))


def test_rankings_are_compared_on_what_both_embedded(failing, faces, other):
    one, two = failing(faces, [4]), failing(other, [109])
    found = rankings(one, two, camera="camera")
    both = [retrieval(failing(each, [4, 109]), camera="camera") for each in (faces, other)]
    measure = found.measures["map_plain"]
    assert (measure.first, measure.second) == (
        pytest.approx(both[0].map_plain),
        pytest.approx(both[1].map_plain),
    )
    assert found.to_dict()["failure_to_acquire"] == {"queries": 1, "gallery": 1}
    assert found.to_dict()["cross_camera"]
    with pytest.raises(EvaluationError, match=r"^the two embedding sets have 160 and 159 rows: "):
        rankings(faces, faces.select(np.arange(159)))


def test_rankings_of_people_of_the_training_are_warned_of(faces, other):
    known = replace(
        other, trained_on=pd.DataFrame({"identity": ["p001"], "dataset": ["somewhere"]})
    )
    assert rankings(faces, known).warnings == [
        "second: the model was trained on 1 of the 20 people (p001; from somewhere)"
    ]
