import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student

from facever.evaluation.scoring import streaming
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import ListedTrials
from facever.evaluation.statistics import curve_intervals as module
from facever.evaluation.statistics.curve_intervals import SAMPLED, curve_intervals
from facever.evaluation.statistics.roc import Roc


def listed(pairs):
    """All pairs of people's rows as listed trials with a person on each side."""
    parts = [*pairs.genuine_scores()], [*pairs.impostor_scores()]
    scores = np.concatenate([part.scores for side in parts for part in side])
    a, b = (
        np.concatenate([getattr(part, name) for side in parts for part in side]) for name in "ab"
    )
    same = np.arange(len(scores)) < pairs.genuine
    return ListedTrials(scores, same, (a, b), (pairs.first.codes[a], pairs.second.codes[b]))


def make_pairs(make_faces, rows=90, people=12, two_sets=False, columns=0, spread=1.0):
    vectors, names = make_faces(rows, people, spread=spread)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    excluded = np.random.default_rng(1).integers(6, size=(rows, columns))
    if not two_sets:
        return AllPairs(make_scorer(vectors), codes, excluded=excluded)
    one, two = slice(rows // 3), slice(rows // 3, None)
    return AllPairs(
        make_scorer(vectors[one], others=vectors[two]),
        codes[one],
        codes[two],
        excluded=excluded[one],
        other_excluded=excluded[two],
    )


def crowd(people, each=3, two_sets=False):
    """People of whom some look like many others, so that trials which share a person are alike."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((people, 16))
    centres[:, 0] += 1.5 * rng.exponential(size=people)
    vectors = np.repeat(centres, each, axis=0) + 0.8 * rng.standard_normal((people * each, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    codes = np.repeat(np.arange(people), each)
    if not two_sets:
        return AllPairs(make_scorer(vectors), codes)
    probe = np.arange(len(codes)) % each == 0
    scorer = make_scorer(vectors[probe], others=vectors[~probe])
    return AllPairs(scorer, codes[probe], codes[~probe])


def variance_by_loop(trials, impostor_parts, genuine_parts):
    """Sum the products of the parts of every two trials that share a person.

    At least of every two of the same people.
    """
    people = [
        *zip(*trials.people_of(trials.top), strict=True),
        *zip(*trials.people_of(trials.genuine_scores), strict=True),
    ]
    parts = np.concatenate([impostor_parts, genuine_parts])
    touches = np.zeros((len(parts), trials.dyads.people))
    for row, pair in zip(touches, people, strict=True):
        row[list(pair)] = 1
    common = touches @ touches.T
    same = (common == touches.sum(axis=1)) & (common == touches.sum(axis=1)[:, None])
    own = (touches.sum(axis=1) == 1) & (common > 0)
    alone = np.where(own | own.T, own & own.T, same)
    return max(float(parts @ (common > 0) @ parts), float(parts @ alone @ parts))


def expected(rate, variance, people):
    inflated = variance * people / (people - 1)
    reach = student.ppf(0.975, people - 1) * np.sqrt(inflated) / (rate * (1 - rate))
    return expit([logit(rate) - reach, logit(rate) + reach])


@pytest.mark.parametrize("two_sets", [False, True])
def test_the_variance_of_the_auc_is_that_of_a_loop_over_all_pairs_of_trials(make_faces, two_sets):
    trials = listed(make_pairs(make_faces, 60, two_sets=two_sets))
    roc = Roc(trials)
    auc = roc.auc().value
    genuine, impostor = trials.genuine_scores.scores, trials.top.scores
    wins = (genuine[:, None] > impostor) + (genuine[:, None] == impostor) / 2
    variance = variance_by_loop(
        trials,
        (wins.mean(axis=0) - auc) / len(impostor),
        (wins.mean(axis=1) - auc) / len(genuine),
    )
    interval = curve_intervals(trials, roc)[0]
    people = int((trials.dyads.per_person > 0).sum())
    assert [interval.low, interval.high] == pytest.approx(expected(auc, variance, people))
    assert (interval.method, interval.note) == ("dyadic logit", None)


def test_the_variance_of_the_eer_is_that_of_its_two_rates_weighted_by_their_slopes(make_faces):
    trials = listed(make_pairs(make_faces, 60, spread=1.3))
    roc = Roc(trials)
    eer, (at, weight) = roc.eer().value, module._crossing(roc)
    genuine, impostor = trials.genuine_scores.scores, trials.top.scores
    variance = variance_by_loop(
        trials,
        weight * ((impostor > at) - (impostor > at).mean()) / len(impostor),
        (1 - weight) * ((genuine <= at) - (genuine <= at).mean()) / len(genuine),
    )
    interval = curve_intervals(trials, roc)[1]
    assert [interval.low, interval.high] == pytest.approx(expected(eer, variance, 12))
    assert interval.low < eer < interval.high


@pytest.mark.parametrize("ratio", [1, 3])
def test_the_weight_of_the_fmr_is_its_share_of_the_slopes(ratio):
    # impostor scores spread out more: their density at the crossing is smaller
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, ratio, 200_000), rng.normal(3 + ratio, 1, 200_000)])
    at, weight = module._crossing(Roc(ListedTrials(scores, np.arange(400_000) >= 200_000)))
    # both tails are equal where |t| / ratio = 3 + ratio - t; the slopes are phi / ratio and phi
    assert at == pytest.approx(ratio * (3 + ratio) / (1 + ratio), abs=0.05)
    assert weight == pytest.approx(ratio / (1 + ratio), abs=0.02)


@pytest.mark.parametrize("two_sets", [False, True])
def test_a_sample_of_all_rows_gives_what_all_trials_give(monkeypatch, two_sets):
    pairs = crowd(300, two_sets=two_sets)
    whole = StreamedTrials(pairs, 10)
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(module, "_ROWS", 64)
    streamed = StreamedTrials(pairs, 10)
    for one, two in zip(
        curve_intervals(whole, Roc(whole)), curve_intervals(streamed, Roc(streamed)), strict=True
    ):
        assert two.note == SAMPLED
        assert two.low == pytest.approx(one.low, abs=0.05 * (one.high - one.low))
        assert two.high == pytest.approx(one.high, abs=0.05 * (one.high - one.low))


@pytest.mark.parametrize(("two_sets", "columns"), [(False, 0), (False, 1), (True, 0), (True, 2)])
def test_the_sums_by_person_are_those_of_all_trials(make_faces, monkeypatch, two_sets, columns):
    pairs = make_pairs(make_faces, 300, 40, two_sets, columns)
    exact = module._by_people(StreamedTrials(pairs, 10), VALUES)
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(module, "_ROWS", 64)
    sampled = module._by_people(StreamedTrials(pairs, 10), VALUES)
    for one, two in zip(exact, sampled, strict=True):
        parts = one.per_person / one.trials
        mean = two.parts.mean(axis=0)  # the two samples are all rows together
        assert mean == pytest.approx(parts, abs=0.03 * np.abs(parts).max())
        assert two.people == one.people


VALUES = [lambda scores: scores.astype(float) ** 2, lambda scores: (scores > 0.2).astype(float)]


@pytest.mark.parametrize("two_sets", [False, True])
def test_a_part_of_the_rows_estimates_the_same(monkeypatch, two_sets):
    pairs = crowd(400, two_sets=two_sets)
    exact = module._by_people(StreamedTrials(pairs, 10), VALUES)
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(module, "_COLUMNS", 100)
    sampled = module._by_people(StreamedTrials(pairs, 10), VALUES)
    for one, two in zip(exact, sampled, strict=True):
        for half in two.parts:
            assert abs(half.sum()) < 1e-6 * np.abs(half).sum()
            assert np.corrcoef(one.per_person, half)[0, 1] > 0.8
        ratio = two.variance_with(np.zeros(400)) / one.variance_with(0.0)
        assert 0.9 < ratio < 1.2


def test_bounds_of_bins_widen_the_interval(make_faces, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    streamed = StreamedTrials(make_pairs(make_faces, 200, 20), 10)
    roc = Roc(streamed)
    narrow = curve_intervals(streamed, roc)[0]
    rate = module.Rate(roc.auc().value, roc.auc().bound + 0.01)
    monkeypatch.setattr(roc, "auc", lambda: rate)
    wide = curve_intervals(streamed, roc)[0]
    assert wide.low == pytest.approx(narrow.low - 0.01)
    assert wide.high == pytest.approx(min(1, narrow.high + 0.01))


def test_separated_classes_and_unknown_people_have_no_interval():
    scores, same = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])
    unknown = ListedTrials(scores[::-1], same)
    assert curve_intervals(unknown, Roc(unknown)) == (None, None)
    people = np.array([0, 1, 2, 3]), np.array([1, 2, 2, 3])
    separated = ListedTrials(scores, same, people=people)
    assert curve_intervals(separated, Roc(separated)) == (None, None)
