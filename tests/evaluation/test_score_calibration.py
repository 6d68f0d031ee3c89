import json

import numpy as np
import pytest
from scipy.special import expit

from facever.errors import ConfigError, EvaluationError
from facever.evaluate import calibrate
from facever.evaluation.score_calibration import ScoreCalibration
from facever.operating_point import TrialCounts


def make(**changes):
    values = {
        "method": "logistic",
        "scores": (0.0, 0.5),
        "llrs": (-4.0, 2.0),
        "prior": 0.5,
        "trials": TrialCounts(genuine=10, impostor=5000),
    }
    return ScoreCalibration(**{**values, **changes})


def test_probabilities_at_its_prior():
    assert make().probability([0.0, 0.25, 1.0]) == pytest.approx(expit([-4, -1, 8]))
    rare = make(prior=0.01)
    assert rare.probability([0.5]) == pytest.approx(expit(2 + np.log(0.01 / 0.99)))
    steps = make(method="isotonic", scores=(0.1, 0.2, 0.4), llrs=(-1.0, -1.0, 3.0))
    assert steps.probability([-9, 0.1, 0.3, 9]) == pytest.approx(expit([-1, -1, 1, 3]))


@pytest.mark.parametrize(
    "one",
    [
        make(dataset="lfw", fingerprint="abc"),
        make(kind="1:N", score_rule="mean", gallery_size=9, templates="medoids:2"),
        make(method="isotonic", scores=(0.25,), llrs=(1.5,)),
    ],
)
def test_save_and_load_are_inverse(tmp_path, one):
    one.save(tmp_path / "deep" / "calibration.json")
    assert ScoreCalibration.load(tmp_path / "deep" / "calibration.json") == one
    assert one.created.endswith("+00:00")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llrs": (2.0, -4.0)}, "llrs must not decrease"),
        ({"llrs": (2.0, 2.0)}, "must be an increasing line with two knots"),
        ({"scores": (0.0, 0.5, 1.0), "llrs": (0.0, 1.0, 2.0)}, "an increasing line with two knots"),
        ({"scores": (0.5, 0.5)}, "scores must be in ascending order"),
        ({"scores": (0.5, 0.4)}, "scores must be in ascending order"),
        ({"scores": (0.5,)}, "1 scores and 2 llrs: give one"),
        ({"scores": (), "llrs": ()}, "0 scores and 0 llrs: give one"),
        ({"method": "isotonic", "llrs": (1.0, 0.9)}, "llrs must not decrease"),
        ({"method": "linear"}, "'logistic' or 'isotonic'"),
        ({"prior": 0.0}, "greater than 0"),
        ({"prior": 1.0}, "less than 1"),
        ({"llrs": (0.0, float("inf"))}, "finite"),
        ({"kind": "1:N"}, "a 1:N calibration needs score_rule and gallery_size"),
        ({"templates": "mean"}, "templates 'mean' do not belong to kind 1:1-image"),
    ],
)
def test_what_is_no_calibration_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "c.json"
    with pytest.raises(EvaluationError, match=r"^no calibration at .*c\.json$"):
        ScoreCalibration.load(path)
    path.write_text("[]")
    with pytest.raises(EvaluationError, match="is not a calibration: not a JSON object"):
        ScoreCalibration.load(path)
    make().save(path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "llrs": [3, 1.0]}))
    with pytest.raises(ConfigError, match=r"c\.json: llrs must not decrease"):
        ScoreCalibration.load(path)
    path.write_text(json.dumps({**values, "prior": "half"}))
    with pytest.raises(ConfigError, match="'prior' is 'half'"):
        ScoreCalibration.load(path)


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_a_stored_map_is_the_fitted_one(make_faces, method):
    vectors, names = make_faces(300, people=40)
    found = calibrate(vectors, names, method=method, prior=0.2)
    stored = found.stored()
    scores = np.linspace(-1, 1, 501)
    assert stored.probability(scores) == pytest.approx(found.calibration.probability(scores, 0.2))
    if method == "isotonic":
        assert len(stored.scores) < len(found.calibration.scores) / 10  # the bends alone
