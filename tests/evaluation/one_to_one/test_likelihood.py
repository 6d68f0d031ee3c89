import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from facever.errors import EvaluationError
from facever.evaluation.one_to_one.likelihood import cllr, cllr_min, fit


def gaussians(genuine=2000, impostor=20_000, distance=2.0, seed=0):
    """Two unit Gaussians: the log-likelihood ratio of a score s is distance · (s - distance/2)."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(distance, 1, genuine), rng.normal(0, 1, impostor)])
    return scores, np.arange(len(scores)) < genuine


def test_cllr_is_its_definition_and_one_bit_for_knowing_nothing():
    rng = np.random.default_rng(0)
    llrs, same = rng.normal(size=50), rng.random(50) < 0.4
    genuine = np.mean([np.log2(1 + np.exp(-x)) for x in llrs[same]])
    impostor = np.mean([np.log2(1 + np.exp(x)) for x in llrs[~same]])
    assert cllr(llrs, same) == pytest.approx((genuine + impostor) / 2)
    assert cllr(np.zeros(50), same) == pytest.approx(1)
    assert np.isfinite(cllr(np.full(50, 900.0), same))


def test_a_logistic_score_is_a_likelihood_ratio_whatever_the_training_odds():
    for impostor in (2_000, 40_000):
        scores, same = gaussians(impostor=impostor)
        llrs = fit(scores, same).llr([-1.0, 1.0, 3.0])
        assert llrs == pytest.approx([-4, 0, 4], abs=0.25)


@pytest.mark.parametrize("distance", [0.05, 2.0, 6.0])
@pytest.mark.parametrize("genuine", [3, 2000])
def test_the_logistic_fit_is_that_of_scikit_learn(distance, genuine):
    """Few or many trials, from classes that are hardly told apart to ones that hardly overlap."""
    scores, same = gaussians(genuine, 20_000, distance)
    scores[same.argmax()] = scores[~same].max() - 0.5  # they overlap
    theirs = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-10)
    theirs.fit(scores[:, None], same)
    expected = theirs.decision_function(scores[:, None]) - np.log(genuine / 20_000)
    assert fit(scores, same).llr(scores) == pytest.approx(expected, abs=1e-3, rel=1e-3)


@pytest.mark.timeout(10)
def test_classes_that_touch_in_one_score_have_a_fit():
    """The likelihood has no finite maximum: the slope is large and the fit still ends."""
    scores = np.array([0.0, 0.1, 0.2, 0.5, 0.5, 0.8, 0.9])
    same = np.array([False, False, False, False, True, True, True])
    llrs = fit(scores, same).llr([0.2, 0.8])
    assert llrs[0] < -10 < 10 < llrs[1]


def test_the_logistic_fit_is_the_maximum_of_the_likelihood():
    scores, same = gaussians(200, 900)

    def loss(line):
        z = line[0] + line[1] * scores
        return np.logaddexp(0, np.where(same, -z, z)).mean()

    best = minimize(loss, [0.0, 1.0], tol=1e-12).x
    expected = best[0] + best[1] * scores - np.log(200 / 900)
    assert fit(scores, same).llr(scores) == pytest.approx(expected, abs=1e-3)


def test_the_isotonic_fit_is_scikit_learns():
    scores, same = gaussians(100, 300)
    added = np.concatenate([scores, [-99, -99, 99, 99]])
    truth = np.concatenate([same, [True, False, True, False]])
    share = IsotonicRegression().fit(added, truth).predict(scores)
    expected = np.log(share / (1 - share)) - np.log(100 / 300)
    assert fit(scores, same, "isotonic").llr(scores) == pytest.approx(expected)


def test_no_score_makes_certain():
    scores, same = np.arange(10.0), np.arange(10) >= 6
    llrs = fit(scores, same, "isotonic").llr([-1e9, 0, 5, 6, 1e9])
    # of 4 genuine and 6 impostor trials, with one of each beyond either end
    ends = np.log(1 / 7) - np.log(4 / 6), np.log(5 / 1) - np.log(4 / 6)
    assert llrs == pytest.approx([ends[0]] * 3 + [ends[1]] * 2)


def test_the_minimal_cllr_is_below_every_rising_map():
    scores, same = gaussians(300, 900)
    least = cllr_min(scores, same)
    assert least <= cllr(fit(scores, same).llr(scores), same)
    assert least < cllr(fit(scores, same, "isotonic").llr(scores), same) < least + 0.01
    assert cllr_min(3 * scores**3, same) == pytest.approx(least)
    assert cllr_min(np.array([1.0, 2.0]), np.array([False, True])) == 0
    assert cllr_min(np.ones(6), np.arange(6) < 2) == pytest.approx(1)


def test_probabilities_follow_the_prior_that_is_given():
    scores, same = gaussians()
    calibration = fit(scores, same)
    assert calibration.probability([1.0], 0.5)[0] == pytest.approx(0.5, abs=0.06)
    assert calibration.probability([1.0], 0.01)[0] == pytest.approx(0.01, abs=0.002)
    for prior in (0, 1):
        with pytest.raises(EvaluationError, match=rf"^a prior of {prior} is not between 0 and 1$"):
            calibration.probability(scores, prior)


def test_bad_input_is_one_clear_line():
    scores, same = gaussians(50, 50)
    with pytest.raises(EvaluationError, match="genuine scores are not above impostor scores"):
        fit(-scores, same)
    apart = np.where(same, 2.0, 0.0) + np.linspace(0, 1, 100)
    with pytest.raises(EvaluationError, match=r"every genuine score is above .* method isotonic"):
        fit(apart, same)
    fit(np.where(np.arange(100) == 0, 0.5, apart), same)  # one that is not is enough
    with pytest.raises(EvaluationError, match="unknown calibration method 'platt'"):
        fit(scores, same, "platt")
    with pytest.raises(EvaluationError, match=r"^no impostor trials: at least two people"):
        fit(scores, np.ones(100, bool))
