"""Two models compared: on all pairs, on lists, with what either could not embed."""

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


def model_of(spread, seed=0, people=60, noise=0):
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((people, 8)), 4, axis=0)
    rows = centres + spread * rng.standard_normal(centres.shape)
    rows += 0.01 * np.random.default_rng(noise).standard_normal(rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


NAMES = np.repeat(np.arange(60), 4)


def test_the_measured_points_are_those_of_each_model_alone():
    one, two = model_of(0.8), model_of(0.5)
    result = compare(one, two, NAMES, far=[1e-2, 1e-6])
    point = result.points[0]
    assert point.first == verification(one, NAMES, far=[1e-2]).at(1e-2)
    assert point.second == verification(two, NAMES, far=[1e-2]).at(1e-2)
    assert result.refused == {1e-6: 1_000_000}
    assert point.difference.low < point.second.tar - point.first.tar < point.difference.high


def test_a_clear_difference_is_resolved_and_its_sign_is_right():
    result = compare(model_of(0.8), model_of(0.4), NAMES, far=[1e-2])
    assert result.points[0].resolved
    assert result.points[0].difference.low > 0
    turned = compare(model_of(0.4), model_of(0.8), NAMES, far=[1e-2])
    assert turned.points[0].difference.high < 0
    assert result.to_dict()["operating_points"][0]["resolved"] is True
    assert "resolved" in result.to_text()


def test_a_model_is_not_told_apart_from_itself():
    one = model_of(0.6)
    point = compare(one, one, NAMES, far=[1e-2]).points[0]
    assert (point.difference.low, point.difference.high) == (0, 0)
    assert not point.resolved
    twin = compare(one, model_of(0.6, noise=1), NAMES, far=[1e-2])
    assert not twin.points[0].resolved
    assert "not resolved" in twin.to_text()


def test_pairing_makes_the_interval_of_like_models_narrow():
    one, two = model_of(0.6), model_of(0.6, noise=1)
    paired = compare(one, two, NAMES, far=[1e-2]).points[0].difference
    alone = verification(one, NAMES, far=[1e-2]).at(1e-2).interval
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_results_are_json_and_bad_input_is_one_line():
    one = model_of(0.6)
    json.dumps(compare(one, one, NAMES, far=[1e-2]).to_dict())
    with pytest.raises(EvaluationError, match="240 identities for 200 vectors"):
        compare(one, one[:200], NAMES)
    with pytest.raises(EvaluationError, match="no genuine trials"):
        compare(one, one, np.arange(240))


def test_rates_of_few_errors_are_flagged():
    result = compare(model_of(0.9), model_of(0.8), NAMES, far=[0.1, 1e-3])
    common, rare = result.points
    assert (common.few, rare.few) == (False, True)
    assert (
        rare.first.false_accepts
        < 30
        <= min(common.first.false_rejects, common.second.false_rejects)
    )
    apart = compare(model_of(0.5), model_of(0.35), NAMES, far=[0.1]).points[
        0
    ]  # few false rejects only
    assert apart.first.false_accepts >= 30 > apart.second.false_rejects
    assert apart.few
    shown = result.to_dict()["operating_points"]
    assert [point["few_errors"] for point in shown] == [False, True]
    assert shown[1]["second"]["false_accepts"] == rare.second.false_accepts
    text = result.to_text()
    for point in (rare.first, rare.second):
        assert f"{point.false_accepts} (few)" in text
    assert "(few): fewer than 30 errors" in text
    assert "interval of TAR at FAR 1e-1, TAR at FAR 1e-3: paired identity bootstrap" in text


def test_the_level_is_that_of_every_interval():
    result = compare(model_of(0.8), model_of(0.5), NAMES, far=[1e-2], level=0.8)
    point = result.points[0]
    levels = {point.difference.level, point.first.interval.level, point.second.far_interval.level}
    assert levels == {0.8}


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


def test_a_list_does_not_tell_a_model_apart_from_itself(faces, folded):
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
