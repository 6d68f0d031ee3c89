import numpy as np
import pytest

from facever.evaluation.scoring import pairwise, streaming
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import NUMPY, BlockEngine, Float32Blocks
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import ListedTrials
from facever.evaluation.statistics.roc import Roc


@pytest.fixture
def always_stream(monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(pairwise, "_ROWS", 64)
    monkeypatch.setattr(pairwise, "_COLUMNS", 96)


def in_one_matrix(vectors, names, similarity="cosine"):
    """All pairs as listed trials: the oracle."""
    i, j = np.triu_indices(len(vectors), 1)
    scores = make_scorer(vectors, similarity).pairs(i, j)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return ListedTrials(scores, names[i] == names[j], (i, j), (codes[i], codes[j]))


def streamed(vectors, names, wanted, similarity="cosine"):
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return StreamedTrials(AllPairs(make_scorer(vectors, similarity), codes), wanted)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "dot"])
@pytest.mark.usefixtures("always_stream")
def test_the_kept_top_is_exactly_the_top(make_faces, similarity):
    vectors, names = make_faces(300, people=20)
    listed, stream = in_one_matrix(vectors, names, similarity), None
    stream = streamed(vectors, names, 500, similarity)
    assert not stream.whole
    assert len(stream.top) >= 500
    if similarity != "euclidean":  # whose two sides round differently
        assert np.array_equal(stream.top.scores, listed.top.scores[: len(stream.top)])
    assert len(stream.top) < 5000
    top = stream.numbered(stream.top)
    for score, i, j in zip(top.scores, top.a, top.b, strict=True):
        assert names[i] != names[j]
        pair = make_scorer(vectors, similarity).pairs(np.array([i]), np.array([j]))
        assert score == pytest.approx(pair[0], abs=1e-5)
    assert (stream.genuine, stream.impostor) == (listed.genuine, listed.impostor)


@pytest.mark.parametrize("k", [0, 7, 499, 5_000, 30_000, 41_000])
@pytest.mark.usefixtures("always_stream")
def test_thresholds_and_counts_are_exact_within_and_beyond_the_top(make_faces, k):
    vectors, names = make_faces(300, people=20)
    listed, stream = in_one_matrix(vectors, names), streamed(vectors, names, 500)
    threshold = stream.threshold(k)
    assert threshold == listed.threshold(k)
    assert stream.false_accepts(threshold) == listed.false_accepts(threshold) == k
    assert stream.true_accepts(threshold) == listed.true_accepts(threshold)
    just_below = np.nextafter(np.float32(threshold), np.float32(-2))
    assert stream.false_accepts(float(just_below)) == k + 1


@pytest.mark.usefixtures("always_stream")
def test_block_shapes_do_not_change_a_bit(make_faces, monkeypatch):
    vectors, names = make_faces(200, people=20, dimension=33)
    one = streamed(vectors, names, 700)
    monkeypatch.setattr(pairwise, "_ROWS", 13)
    monkeypatch.setattr(pairwise, "_COLUMNS", 201)
    two = streamed(vectors, names, 700)
    for k in (3, 100, 699, 9_000):
        assert one.threshold(k) == two.threshold(k)
    count = min(len(one.top), len(two.top))
    assert np.array_equal(one.top.scores[:count], two.top.scores[:count])


class NoisyBlocks(Float32Blocks):
    """Blocks as a much coarser arithmetic would give them."""

    def __init__(self, pairs, error, seed):
        super().__init__(pairs)
        self.error += error
        self._noise, self._random = error, np.random.default_rng(seed)

    def product(self, rows, columns):
        product = super().product(rows, columns)
        product += self._random.choice([-self._noise, self._noise], product.shape)
        return product


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("always_stream")
def test_coarse_arithmetic_in_the_screening_does_not_change_a_bit(make_faces, seed):
    vectors, names = make_faces(300, people=20, seed=seed)
    listed = in_one_matrix(vectors, names)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    pairs = AllPairs(make_scorer(vectors), codes)
    engine = BlockEngine(lambda pairs: NoisyBlocks(pairs, 0.03, seed), NUMPY.exact)
    stream = StreamedTrials(pairs, 500, engine)
    assert len(stream.top) >= 500
    assert np.array_equal(stream.top.scores, listed.top.scores[: len(stream.top)])
    for k in (1, 499, 5_000):
        assert stream.threshold(k) == listed.threshold(k)
        assert stream.false_accepts(stream.threshold(k)) == k
    for name in ("auc", "eer"):
        rate, exact = getattr(Roc(stream), name)(), getattr(Roc(listed), name)()
        assert abs(rate.value - exact.value) <= rate.bound < 0.1


@pytest.mark.usefixtures("always_stream")
def test_auc_and_eer_lie_within_their_stated_bounds(make_faces):
    for seed in range(3):
        vectors, names = make_faces(300, people=20, seed=seed, spread=1.5)
        exact, rough = Roc(in_one_matrix(vectors, names)), Roc(streamed(vectors, names, 100))
        for name in ("auc", "eer"):
            value, bound = getattr(rough, name)().value, getattr(rough, name)().bound
            assert 0 < bound < 1e-3
            assert abs(getattr(exact, name)().value - value) <= bound
        assert rough.eer_hull() == pytest.approx(exact.eer_hull(), abs=1e-4)


@pytest.mark.usefixtures("always_stream")
def test_the_streamed_curve_joins_exact_points_to_the_histogram(make_faces):
    vectors, names = make_faces(300, people=20)
    listed = in_one_matrix(vectors, names)
    curve = Roc(streamed(vectors, names, 500)).curve()
    assert (np.diff(curve.thresholds) > 0).all()
    assert (np.diff(curve.fmr) <= 0).all()
    assert (np.diff(curve.fnmr) >= 0).all()
    assert curve.fmr[0] == 1
    for threshold, fmr in zip(curve.thresholds, curve.fmr, strict=True):
        assert fmr * listed.impostor == pytest.approx(listed.false_accepts(threshold), abs=3)
        if fmr < 400 / listed.impostor:
            assert round(fmr * listed.impostor) == listed.false_accepts(threshold)


@pytest.mark.usefixtures("always_stream")
def test_more_scores_than_may_be_kept_take_a_second_walk(make_faces, monkeypatch):
    vectors, names = make_faces(300, people=20)
    listed = in_one_matrix(vectors, names)
    monkeypatch.setattr(streaming, "MOST_KEPT", 300)
    monkeypatch.setattr(streaming, "_LOWEST", 50)
    stream = streamed(vectors, names, 20_000)
    assert len(stream.genuine_scores) == 50
    assert len(stream.top) < 1000
    for k in (100, 5_000, 19_999):
        assert stream.threshold(k) == listed.threshold(k)
        assert stream.false_accepts(stream.threshold(k)) == k
    # genuine trials are too many to keep as well
    threshold = listed.threshold(2_000)
    assert stream.true_accepts(threshold) == listed.true_accepts(threshold)
    thresholds = np.array([-0.5, threshold, 0.9])
    for one, two in zip(
        stream.accepted_by_person(thresholds), listed.accepted_by_person(thresholds), strict=True
    ):
        assert np.array_equal(one, two)
    counts = stream.true_accepts_at(thresholds)
    assert counts.tolist() == [listed.true_accepts(t) for t in thresholds]
    lowest = stream.genuine_scores.scores
    assert np.array_equal(lowest, listed.genuine_scores.scores[: len(lowest)])
    Roc(stream).curve()


@pytest.mark.usefixtures("always_stream")
def test_a_collapsed_model_stays_in_memory_and_accepts_no_more_than_allowed(monkeypatch):
    monkeypatch.setattr(streaming, "MOST_KEPT", 200)
    rng = np.random.default_rng(0)
    vectors = np.ones((150, 16)) + 1e-9 * rng.standard_normal((150, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = rng.integers(10, size=150)
    stream = streamed(vectors, names, 1_000)
    assert stream.false_accepts(stream.threshold(1_000)) <= 1_000
    assert len(stream.top) <= 250
    assert Roc(stream).auc().value == pytest.approx(0.5, abs=1e-6)


def test_small_sets_are_whole_and_exact(make_faces):
    vectors, names = make_faces(120)
    listed, stream = in_one_matrix(vectors, names), streamed(vectors, names, 1)
    assert stream.whole
    assert np.array_equal(stream.top.scores, listed.top.scores)
    assert Roc(stream).auc() == Roc(listed).auc()
    assert stream.histogram.impostor.sum() == listed.impostor
    assert stream.histogram.genuine.sum() == listed.genuine


@pytest.mark.usefixtures("always_stream")
def test_streamed_cuts_are_those_of_the_list(make_faces):
    vectors, names = make_faces(200, people=20)
    listed, stream = in_one_matrix(vectors, names), streamed(vectors, names, 100)
    assert not stream.whole
    for k in (0, 1, 50, 99, 150, 3_000, listed.impostor - 1):  # within the kept top, and below it
        assert stream.cut(k) == listed.cut(k)
        assert stream.false_accepts(stream.cut(k)) == listed.false_accepts(listed.cut(k)) == k
        assert stream.true_accepts(stream.cut(k)) == listed.true_accepts(listed.cut(k))
