import json

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import compare, verification


def faces(spread, seed=0, people=60, noise=0):
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((people, 8)), 4, axis=0)
    rows = centres + spread * rng.standard_normal(centres.shape)
    rows += 0.01 * np.random.default_rng(noise).standard_normal(rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


NAMES = np.repeat(np.arange(60), 4)


def test_the_measured_points_are_those_of_each_model_alone():
    one, two = faces(0.8), faces(0.5)
    result = compare(one, two, NAMES, far=[1e-2, 1e-6])
    point = result.points[0]
    assert point.first == verification(one, NAMES, far=[1e-2]).at(1e-2)
    assert point.second == verification(two, NAMES, far=[1e-2]).at(1e-2)
    assert result.refused == {1e-6: 1_000_000}
    assert point.difference.low < point.second.tar - point.first.tar < point.difference.high


def test_a_clear_difference_is_resolved_and_its_sign_is_right():
    result = compare(faces(0.8), faces(0.4), NAMES, far=[1e-2])
    assert result.points[0].resolved
    assert result.points[0].difference.low > 0
    turned = compare(faces(0.4), faces(0.8), NAMES, far=[1e-2])
    assert turned.points[0].difference.high < 0
    assert result.to_dict()["operating_points"][0]["resolved"] is True
    assert "resolved" in result.to_text()


def test_a_model_is_not_told_apart_from_itself():
    one = faces(0.6)
    point = compare(one, one, NAMES, far=[1e-2]).points[0]
    assert (point.difference.low, point.difference.high) == (0, 0)
    assert not point.resolved
    twin = compare(one, faces(0.6, noise=1), NAMES, far=[1e-2])
    assert not twin.points[0].resolved
    assert "not resolved" in twin.to_text()


def test_pairing_makes_the_interval_of_like_models_narrow():
    one, two = faces(0.6), faces(0.6, noise=1)
    paired = compare(one, two, NAMES, far=[1e-2]).points[0].difference
    alone = verification(one, NAMES, far=[1e-2]).at(1e-2).interval
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_results_are_json_and_bad_input_is_one_line():
    one = faces(0.6)
    json.dumps(compare(one, one, NAMES, far=[1e-2]).to_dict())
    with pytest.raises(EvaluationError, match="240 identities for 200 vectors"):
        compare(one, one[:200], NAMES)
    with pytest.raises(EvaluationError, match="no genuine trials"):
        compare(one, one, np.arange(240))


def test_rates_of_few_errors_are_flagged():
    result = compare(faces(0.9), faces(0.8), NAMES, far=[0.1, 1e-3])
    common, rare = result.points
    assert (common.few, rare.few) == (False, True)
    assert (
        rare.first.false_accepts
        < 30
        <= min(common.first.false_rejects, common.second.false_rejects)
    )
    apart = compare(faces(0.5), faces(0.35), NAMES, far=[0.1]).points[0]  # few false rejects only
    assert apart.first.false_accepts >= 30 > apart.second.false_rejects
    assert apart.few
    shown = result.to_dict()["operating_points"]
    assert [point["few_errors"] for point in shown] == [False, True]
    assert shown[1]["second"]["false_accepts"] == rare.second.false_accepts
    text = result.to_text()
    for point in (rare.first, rare.second):
        assert f"{point.false_accepts} (few)" in text
    assert "(few): fewer than 30 errors, which do not carry a rate" in text
    assert "interval of TAR at FAR 1e-1, TAR at FAR 1e-3: paired identity bootstrap" in text


def test_the_level_is_that_of_every_interval():
    result = compare(faces(0.8), faces(0.5), NAMES, far=[1e-2], level=0.8)
    point = result.points[0]
    levels = {point.difference.level, point.first.interval.level, point.second.far_interval.level}
    assert levels == {0.8}
