from dataclasses import replace

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import verification
from facever.evaluation.one_to_one.measure import measure, moving_threshold
from facever.evaluation.scoring import streaming
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import budget, most_wanted
from facever.evaluation.statistics.intervals import dyadic_rate


@pytest.fixture
def trials(make_faces):
    vectors, names = make_faces(200, people=25)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return StreamedTrials(AllPairs(make_scorer(vectors), codes), 10)


def test_the_threshold_moves_as_much_as_the_dyadic_variance_says(trials):
    moving = moving_threshold(trials, 0.02)
    allowed = budget(0.02, trials.impostor)
    found = dyadic_rate(trials.error_sums(trials.threshold(allowed)), trials.dyads)
    assert np.linalg.norm(moving.linear) == pytest.approx(found.variance**0.5 / found.rate)
    direction = moving.linear @ found.per_person
    assert direction == pytest.approx(
        np.linalg.norm(moving.linear) * np.linalg.norm(found.per_person)
    )


def test_the_steps_are_those_of_the_fmr_at_each_threshold(trials):
    moving = moving_threshold(trials, 0.02)
    allowed = budget(0.02, trials.impostor)
    assert (np.diff(moving.steps) > 0).all()
    assert 0 in moving.steps
    assert moving.steps[0] < -0.3
    assert moving.steps[-1] > 0.3
    for step, accepted in zip(moving.steps, moving.accepted.T, strict=True):
        threshold = trials.threshold(round(allowed * np.exp(step)))
        assert accepted.sum() == trials.true_accepts(threshold)
    assert moving.genuine.sum() == trials.genuine


def test_no_false_accepts_leave_the_threshold_where_it_is():
    eye = np.concatenate([np.eye(4), np.eye(4)]).astype(np.float32)
    ties = StreamedTrials(AllPairs(make_scorer(eye), np.arange(8) % 4), 10)
    moving = moving_threshold(ties, 0.05)
    assert moving.steps.tolist() == [0]
    assert not moving.linear.any()


def test_without_intervals_trials_count_as_independent(trials):
    with_, without = (measure(trials, [0.02], protocol="x", intervals=i) for i in (True, False))
    assert without.at(0.02).interval.method == "clopper-pearson"
    assert "too narrow" in without.at(0.02).interval.note
    assert with_.at(0.02).threshold == without.at(0.02).threshold
    assert without.auc_interval is None


def test_what_is_kept_covers_the_fars_and_their_intervals():
    assert most_wanted([1e-2, 1e-3], 1_000_000) == 10_000 + 2_500 + 1_000
    assert most_wanted([1e-9], 1_000) == 1_000


@pytest.mark.parametrize("whole", [True, False])
def test_a_rate_asked_for_later_is_what_it_would_have_been(make_faces, monkeypatch, whole):
    if not whole:
        monkeypatch.setattr(streaming, "WHOLE", 0)
    faces = make_faces(150, people=15)
    at_once, later = verification(*faces, far=[0.1, 0.01, 0.003]), verification(*faces, far=[0.1])
    for far in (0.01, 0.003):
        assert later.at(far) == at_once.at(far)
        stored = later.operating_point(far)
        assert (stored.threshold, stored.target_rate) == (at_once.at(far).threshold, far)
    if whole:
        assert later.at(0.3) == verification(*faces, far=[0.3]).at(0.3)
    else:
        with pytest.raises(
            EvaluationError, match=r"FAR 0\.3 is above the largest .* 0\.1, .*add it to"
        ):
            later.at(0.3)
    with pytest.raises(EvaluationError, match="FAR of 1e-06 needs 1,000,000 impostor trials"):
        later.at(1e-6)
    with pytest.raises(EvaluationError, match="not between 0 and 1"):
        later.at(2)
    with pytest.raises(EvaluationError, match="was not measured"):
        replace(later, measure_at=None).at(0.05)
