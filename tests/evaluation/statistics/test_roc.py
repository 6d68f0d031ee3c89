import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from facever.evaluation.scoring.trials import Histogram, ListedTrials
from facever.evaluation.statistics.roc import Roc


def draw(genuine=150, impostor=400, ties=False, seed=0, distance=1.5):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(distance, 1, genuine), rng.normal(0, 1, impostor)])
    if ties:
        scores = np.round(scores * 3) / 3
    same = np.arange(len(scores)) < genuine
    order = rng.permutation(len(scores))
    return scores[order].astype(np.float32), same[order]


def points(scores, same):
    """Return (FMR, FNMR) at every threshold, by a loop."""
    thresholds = [-np.inf, *sorted(set(scores.tolist()))]
    return [((scores[~same] > t).mean(), (scores[same] <= t).mean()) for t in thresholds]


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_that_of_scikit_learn_and_of_its_definition(ties):
    scores, same = draw(ties=ties)
    auc = Roc(ListedTrials(scores, same)).auc()
    assert auc.value == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    g, n = scores[same][:, None], scores[~same][None, :]
    assert auc.value == pytest.approx((g > n).mean() + (g == n).mean() / 2, abs=1e-12)
    assert auc.bound == 0


@pytest.mark.parametrize("ties", [False, True])
def test_every_point_is_one_of_scikit_learns_curve(ties):
    scores, same = draw(ties=ties)
    curve = Roc(ListedTrials(scores, same)).curve(points=10_000)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    expected = set(zip(fpr.round(12), tpr.round(12), strict=True))
    assert set(zip(curve.fmr.round(12), (1 - curve.fnmr).round(12), strict=True)) == expected
    assert (np.diff(curve.thresholds) > 0).all()


def test_a_thinned_curve_keeps_real_points_and_both_ends():
    scores, same = draw(3000, 9000)
    curve = Roc(ListedTrials(scores, same)).curve(points=100)
    assert 30 < len(curve.fmr) <= 102
    for threshold, fmr, fnmr in zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True):
        assert fmr == (scores[~same] > threshold).mean()
        assert fnmr == (scores[same] <= threshold).mean()
    assert (curve.fmr[0], curve.fnmr[0], curve.fmr[-1], curve.fnmr[-1]) == (1, 0, 0, 1)
    assert (np.diff(curve.fmr) <= 0).all()
    values = curve.thinned(10).to_dict()
    assert values["threshold"][0] is None
    assert len(values["threshold"]) == len(values["fmr"]) == len(values["fnmr"]) == 10
    at = [curve.thresholds.tolist().index(threshold) for threshold in values["threshold"][1:]]
    assert values["fnmr"] == [0, *curve.fnmr[at]]
    assert values["fmr"][-1] == curve.fmr[-1]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_eer_is_between_the_two_neighbouring_points(ties, seed):
    scores, same = draw(31, 57, ties, seed)
    eer = Roc(ListedTrials(scores, same)).eer().value
    curve = points(scores, same)
    at = next(p for p, (fmr, fnmr) in enumerate(curve) if fnmr >= fmr)
    (a, b), (c, d) = curve[at - 1], curve[at]
    share = (a - b) / ((a - b) + (d - c))
    assert eer == pytest.approx(a + share * (c - a), abs=1e-12)


@pytest.mark.parametrize("passes", [0, 1, 16])
@pytest.mark.parametrize("seed", range(5))
def test_eer_hull_is_that_of_qhull(seed, passes, monkeypatch):
    monkeypatch.setattr("facever.evaluation.statistics.roc._PASSES", passes)
    scores, same = draw(31, 57, seed == 3, seed)
    value = Roc(ListedTrials(scores, same)).eer_hull()
    curve = np.array([*points(scores, same), (1.0, 1.0)])
    hull = curve[ConvexHull(curve).vertices]
    edges = zip(hull, np.roll(hull, -1, axis=0), strict=True)
    crossings = []
    for (a, b), (c, d) in edges:
        if (a - b) * (c - d) <= 0 and abs((a - b) - (c - d)) > 1e-12:
            share = (a - b) / ((a - b) - (c - d))
            crossings.append(a + share * (c - a))
    assert value == pytest.approx(min(crossings), abs=1e-12)
    assert value <= Roc(ListedTrials(scores, same)).eer().value + 1e-12


def test_two_gaussians_give_their_closed_forms():
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    genuine, impostor = norm.ppf(quantiles, 2.0), norm.ppf(quantiles)
    scores = np.concatenate([genuine, impostor])
    roc = Roc(ListedTrials(scores, np.arange(40_000) < 20_000))
    assert roc.auc().value == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=1e-4)
    assert roc.eer().value == pytest.approx(norm.cdf(-1), abs=1e-4)
    assert roc.eer_hull() == pytest.approx(norm.cdf(-1), abs=1e-3)


def test_separated_and_reversed_classes_are_the_extremes():
    scores, same = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])
    perfect = Roc(ListedTrials(scores, same))
    assert (perfect.auc().value, perfect.eer().value, perfect.eer_hull()) == (1, 0, 0)
    wrong = Roc(ListedTrials(-scores, same))
    assert (wrong.auc().value, wrong.eer().value, wrong.eer_hull()) == (0, 1, 0.5)


def test_one_value_everywhere_is_chance():
    roc = Roc(ListedTrials(np.ones(10), np.arange(10) < 4))
    assert (roc.auc().value, roc.eer().value, roc.eer_hull()) == (0.5, 0.5, 0.5)


class Coarse(ListedTrials):
    @property
    def histogram(self):
        return self.in_bins


@pytest.mark.parametrize("bins", [4, 16, 300])
def test_the_bounds_of_coarse_bins_hold(bins):
    for seed in range(4):
        scores, same = draw(300, 900, seed=seed)
        edges = np.linspace(-6, 7, bins + 1)
        counts = [np.histogram(scores[side], edges)[0] for side in (same, ~same)]
        exact, coarse = ListedTrials(scores, same), Coarse(scores, same)
        coarse.whole, coarse.in_bins = False, Histogram(edges, *counts)
        for name in ("auc", "eer"):
            rate, value = getattr(Roc(coarse), name)(), getattr(Roc(exact), name)().value
            assert abs(rate.value - value) <= rate.bound
            assert rate.bound < 6 / bins
