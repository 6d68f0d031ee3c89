import json
import os

import numpy as np
import pytest

from facever.errors import ConfigError, EvaluationError
from facever.operating_point import Interval, OperatingPoint, TrialCounts


def make(**changes):
    values = {
        "threshold": 0.25,
        "target_rate": 1e-3,
        "achieved_rate": 9e-4,
        "trials": TrialCounts(genuine=10, impostor=5000),
        "interval": Interval(low=1e-4, high=2e-3, method="clopper-pearson"),
        "dataset": "lfw",
        "fingerprint": "abc",
    }
    return OperatingPoint(**{**values, **changes})


def test_accepts_is_strict():
    point = make()
    assert not point.accepts(0.25)
    assert point.accepts(0.25000001)
    assert not point.accepts(-1.0)


def test_a_float32_score_is_compared_with_the_threshold_itself():
    """In float32 the threshold would be rounded to the score, or to that above it."""
    score = np.float32(0.5) + np.float32(2**-24)
    assert make(threshold=float(score) - 1e-9).accepts(score) is True
    assert make(threshold=float(score) + 1e-9).accepts(score) is False
    assert make(threshold=float(score)).accepts(score) is False


@pytest.mark.parametrize("point", [make(), make(kind="1:N", score_rule="max", gallery_size=7)])
def test_save_and_load_are_inverse(tmp_path, point):
    path = tmp_path / "deep" / "point.json"
    point.save(path)
    assert OperatingPoint.load(path) == point
    assert point.created.endswith("+00:00")


def test_one_to_n_needs_its_rule_and_size_and_one_to_one_refuses_them():
    with pytest.raises(ValueError, match="1:N operating point needs score_rule and gallery_size"):
        make(kind="1:N", score_rule="max")
    with pytest.raises(ValueError, match="do not belong to kind 1:1-image"):
        make(gallery_size=3)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "point.json"
    with pytest.raises(EvaluationError, match=r"no operating point at .*point\.json"):
        OperatingPoint.load(path)
    path.write_text("threshold: 1")
    with pytest.raises(EvaluationError, match="not JSON"):
        OperatingPoint.load(path)
    path.write_text("[0.3]")
    with pytest.raises(EvaluationError, match=r"point\.json .*not a JSON object"):
        OperatingPoint.load(path)
    make().save(path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "treshold": 1}))
    with pytest.raises(ConfigError, match="unknown key 'treshold'; did you mean 'threshold'"):
        OperatingPoint.load(path)
    del values["threshold"]
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="'threshold' is missing"):
        OperatingPoint.load(path)


def test_a_threshold_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        make(threshold=float("nan"))


def test_an_interval_holds_what_lies_within_it_and_its_ends():
    interval = Interval(low=-0.1, high=0.0, method="m")
    held = {value: interval.holds(value) for value in (-0.11, -0.1, -0.05, 0.0, 0.01)}
    assert held == {-0.11: False, -0.1: True, -0.05: True, 0.0: True, 0.01: False}


def test_templates_belong_to_searches_and_templates():
    assert make().templates == "all"
    assert make(kind="1:1-template", templates="other").templates == "other"
    searched = {"kind": "1:N", "score_rule": "max", "gallery_size": 7}
    assert make(**searched, templates="medoids:3").templates == "medoids:3"
    with pytest.raises(ValueError, match="templates 'mean' do not belong to kind 1:1-image"):
        make(templates="mean")
    with pytest.raises(ValueError, match="unknown template policy 'median'"):
        make(**searched, templates="median")


def test_a_file_of_before_templates_is_of_all_images(tmp_path):
    path = tmp_path / "point.json"
    make().save(path)
    values = json.loads(path.read_text())
    del values["templates"]
    path.write_text(json.dumps(values))
    assert OperatingPoint.load(path).templates == "all"


WRONG = {
    "threshold": [{"threshold": -2.0}, {"threshold": -1.0001}, {"threshold": 1.01}],
    "euclidean": [{"similarity": "euclidean", "threshold": 0.5}],
    "achieved_rate": [
        {"achieved_rate": 2e-3},
        {"interval": Interval(low=1e-3, high=2e-3, method="m")},
        {"interval": Interval(low=0, high=5e-4, method="m")},
    ],
    "miss_rate": [
        {"miss_rate": 1.5},
        {"miss_rate": 0.1, "miss_interval": Interval(low=0.2, high=0.3, method="m")},
        {"miss_rate": 0.4, "miss_interval": Interval(low=0.2, high=0.3, method="m")},
        {"miss_interval": Interval(low=0.2, high=0.3, method="m")},
    ],
    "trials": [
        {"trials": TrialCounts(genuine=0, impostor=0)},
        {"trials": TrialCounts(genuine=10, impostor=0)},
        {"trials": TrialCounts(genuine=0, impostor=5000)},
    ],
    "gallery_size": [{"kind": "1:N", "score_rule": "max", "gallery_size": 0}],
}


@pytest.mark.parametrize(
    ("key", "changes"), [(key, one) for key, several in WRONG.items() for one in several]
)
def test_fields_that_contradict_each_other_are_refused(tmp_path, key, changes):
    with pytest.raises(ValueError, match=key):
        make(**changes)
    copied = make().model_copy(update=changes)  # pydantic looks at no copy
    with pytest.raises(ConfigError, match=key):
        copied.checked()
    copied.save(tmp_path / "point.json")
    with pytest.raises(ConfigError, match=key):
        OperatingPoint.load(tmp_path / "point.json")


def test_an_interval_upside_down_is_refused():
    with pytest.raises(ValueError, match=r"high 0.1 .* low 0.2"):
        Interval(low=0.2, high=0.1, method="m")


def test_a_miss_rate_is_optional_and_told_with_its_trials(tmp_path):
    missed = Interval(low=0.1, high=0.4, method="clopper-pearson")
    point = make(miss_rate=0.2, miss_interval=missed)
    point.save(tmp_path / "point.json")
    assert OperatingPoint.load(tmp_path / "point.json") == point
    assert "FMR 0.0009 (95%: 0.0001 to 0.002) of 5,000" in point.rates
    assert "FNMR 0.2 (95%: 0.1 to 0.4) of 10" in point.rates
    without = make()
    without.save(tmp_path / "point.json")
    assert not {"miss_rate", "miss_interval"} & set(
        json.loads((tmp_path / "point.json").read_text())
    )
    assert OperatingPoint.load(tmp_path / "point.json").miss_rate is None
    assert "FNMR not recorded" in without.rates
    searched = make(kind="1:N", score_rule="max", gallery_size=7, miss_rate=0.2)
    assert searched.rates.startswith("FPIR 0.0009")
    assert "FNIR 0.2 of 10" in searched.rates


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": -1.0},
        {"threshold": 1.0 + 2.0**-23},  # a cosine of float32 rows
        {"similarity": "euclidean", "threshold": -30.0},
        {"similarity": "dot", "threshold": 30.0},
        {"achieved_rate": 0.3, "target_rate": 0.1 + 0.2, "interval": None},
        {"achieved_rate": 0.0, "interval": Interval(low=0, high=1e-3, method="m")},
    ],
)
def test_what_can_be_measured_is_taken(changes):
    point = make(**changes)
    assert point.checked() == point


def test_a_file_that_exhausts_a_parser_or_is_none_is_named(tmp_path):
    path = tmp_path / "point.json"
    for text in ("[" * 100_000, '{"threshold": ' + "1" * 30 + "}", '{"threshold": NaN}'):
        path.write_text(text)
        with pytest.raises(EvaluationError, match=r"point.json is not an operating point"):
            OperatingPoint.load(path)
    path.unlink()
    os.mkfifo(path)
    for where in (path, tmp_path):
        with pytest.raises(EvaluationError, match="cannot be read"):
            OperatingPoint.load(where)
