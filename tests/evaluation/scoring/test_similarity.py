import numpy as np
import pytest

from facever.embeddings.unit import pair_cosines
from facever.errors import EvaluationError
from facever.evaluation.scoring.similarity import Scorer, make_scorer, pair_scores


def all_pairs(rows, others=None):
    others = rows if others is None else others
    return np.array([(i, j) for i in range(len(rows)) for j in range(len(others))]).T


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_scores_are_those_of_a_loop(make_faces, similarity):
    vectors, _ = make_faces(30)
    others, _ = make_faces(20, seed=1)
    rng = np.random.default_rng(2)
    norms, other_norms = rng.uniform(0.5, 20, 30), rng.uniform(0.5, 20, 20)
    scorer = make_scorer(
        vectors, similarity, norms.astype(np.float32), others, other_norms.astype(np.float32)
    )
    i, j = all_pairs(vectors, others)
    scores = scorer.pairs(i, j)
    for score, row, column in zip(scores, i, j, strict=True):
        x, y = vectors[row].astype(float), others[column].astype(float)
        if similarity != "cosine":
            x, y = x * np.float32(norms[row]), y * np.float32(other_norms[column])
        expected = -((x - y) ** 2).sum() if similarity == "euclidean" else (x * y).sum()
        assert score == pytest.approx(expected, rel=2e-6, abs=3e-5)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_block_products_stay_within_the_stated_error_and_range(make_faces, similarity):
    vectors, _ = make_faces(60, dimension=64)
    norms = np.random.default_rng(0).uniform(1, 30, 60).astype(np.float32)
    scorer = make_scorer(vectors, similarity, norms)
    i, j = all_pairs(vectors)
    product = (scorer.left @ scorer.right.T).ravel()
    exact = scorer.pairs(i, j)
    assert np.abs(product - exact).max() <= scorer.error
    assert min(product.min(), exact.min()) >= scorer.low
    assert max(product.max(), exact.max()) <= scorer.high


def test_a_euclidean_score_survives_a_far_away_origin():
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((20, 4)) + 1000).astype(np.float32)
    scorer = make_scorer(rows, "euclidean")
    i, j = all_pairs(rows)
    exact = -((rows[i].astype(float) - rows[j].astype(float)) ** 2).sum(axis=1)
    np.testing.assert_allclose(scorer.pairs(i, j), exact, rtol=1e-6, atol=1e-9)
    assert scorer.error < 1e-3


def test_a_small_euclidean_distance_of_long_vectors_keeps_its_digits():
    rng = np.random.default_rng(0)
    rows = np.repeat(10 * rng.standard_normal((5, 4)), 2, axis=0)
    rows = (rows + 1e-3 * rng.standard_normal((10, 4))).astype(np.float32)
    first, second = np.arange(0, 10, 2), np.arange(1, 10, 2)
    centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    moved = (rows - centre).astype(float)  # centring rounds in float32
    exact = -((moved[first] - moved[second]) ** 2).sum(axis=1)
    scores = make_scorer(rows, "euclidean").pairs(first, second)
    np.testing.assert_allclose(scores, exact, rtol=1e-6)


def test_reordering_keeps_one_matrix_where_there_was_one(make_faces):
    vectors, _ = make_faces(10)
    scorer = make_scorer(vectors)
    order = np.arange(10)[::-1].copy()
    taken = scorer.take(order, order)
    assert taken.left is taken.right
    assert np.array_equal(taken.left, vectors[::-1])


def test_bad_vectors_are_refused_in_one_line(make_faces):
    vectors, _ = make_faces(10)
    with pytest.raises(EvaluationError, match=r"vector 3 has length 2, not 1: divide each row"):
        make_scorer(np.where(np.arange(10)[:, None] == 3, 2 * vectors, vectors))
    with pytest.raises(EvaluationError, match="width 8 and 5: embed both with one model"):
        make_scorer(vectors, others=vectors[:, :5])
    with pytest.raises(EvaluationError, match="unknown similarity 'cosin'; did you mean 'cosine'"):
        make_scorer(vectors, "cosin")


def test_chunks_of_single_pairs_join_up(make_faces, monkeypatch):
    vectors, _ = make_faces(40)
    scorer = make_scorer(vectors)
    i, j = all_pairs(vectors)
    whole = scorer.pairs(i, j)
    monkeypatch.setattr("facever.evaluation.scoring.similarity._CHUNK", 7 * 8)
    assert np.array_equal(scorer.pairs(i, j), whole)
    assert isinstance(scorer, Scorer)


def off_unit(rows, seed=0):
    """Rows up to 0.09 % longer or shorter than 1, as half precision leaves them."""
    lengths = np.random.default_rng(seed).uniform(0.9991, 1.0009, (len(rows), 1))
    return (rows * lengths).astype(np.float32)


@pytest.mark.parametrize("change", [np.asarray, off_unit])
@pytest.mark.parametrize("dimension", [3, 64, 300])
def test_a_cosine_is_one_number_whatever_computes_it(make_faces, change, dimension):
    vectors = change(make_faces(60, dimension=dimension)[0])
    others = change(make_faces(50, dimension=dimension, seed=1)[0])
    for right in (vectors, others):
        scorer = make_scorer(vectors, others=None if right is vectors else others)
        i, j = all_pairs(vectors, right)
        wanted = pair_cosines(vectors[i], right[j])
        assert np.array_equal(scorer.pairs(i, j), wanted)
        whole = scorer.tiles(np.arange(60)[None], np.arange(len(right))[None])
        assert np.array_equal(whole.ravel(), wanted)
        rows, columns = np.arange(60).reshape(12, 5), np.arange(48).reshape(12, 4)
        tiles = scorer.tiles(rows, columns)
        i, j = (np.broadcast_to(a, tiles.shape) for a in (rows[:, :, None], columns[:, None]))
        assert np.array_equal(tiles.ravel(), pair_cosines(vectors[i.ravel()], right[j.ravel()]))
        order = np.random.default_rng(0).permutation(60)
        taken = scorer.take(order, order if right is vectors else np.arange(50))
        assert np.array_equal(
            taken.pairs(np.arange(50), np.arange(50)),
            pair_cosines(vectors[order[:50]], right[order[:50] if right is vectors else slice(50)]),
        )


def test_a_tile_knows_which_scores_the_order_of_a_sum_decides(monkeypatch):
    # cosines of rows of whole numbers lie in the middle of two float32 values again and again
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation([1, 1, 1, 1] + [0] * 12) for _ in range(40)]) / 2
    scorer = make_scorer(rows.astype(np.float32))
    i, j = all_pairs(rows)
    asked = []
    pairs = Scorer.pairs
    monkeypatch.setattr(
        Scorer, "pairs", lambda self, a, b: asked.append(len(a)) or pairs(self, a, b)
    )
    found = scorer.tiles(np.arange(40)[None], np.arange(40)[None]).ravel()
    assert np.array_equal(found, pair_cosines(rows[i], rows[j]))
    assert sum(asked) == (found == 0).sum() > 0  # 0 is the one value that no rounding surrounds


@pytest.mark.parametrize("scale", [0.9991, 1.0009])
def test_rows_that_are_not_quite_unit_are_screened_as_well(make_faces, scale):
    vectors = (scale * make_faces(80, dimension=64)[0]).astype(np.float32)
    scorer = make_scorer(vectors)
    i, j = all_pairs(vectors)
    product = (scorer.left @ scorer.right.T).ravel()
    assert np.abs(product - scorer.pairs(i, j)).max() <= scorer.error < 1e-5
    assert scorer.pairs(i, j).max() <= min(1, scorer.high)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_a_pair_alone_has_the_score_that_it_has_among_others(similarity: str) -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(2, 200, 24)).astype(np.float32)
    lengths = np.linalg.norm([first, second], axis=2).astype(np.float32)
    units = [rows / length[:, None] for rows, length in zip((first, second), lengths, strict=True)]
    rows = [
        u * (1 if similarity == "cosine" else n[:, None])
        for u, n in zip(units, lengths, strict=True)
    ]
    scores = pair_scores(*rows, similarity)
    for i in range(0, 200, 7):
        one = slice(i, i + 1)
        scorer = make_scorer(
            units[0][one], similarity, lengths[0][one], units[1][one], lengths[1][one]
        )
        assert scorer.pairs(np.zeros(1, int), np.zeros(1, int))[0] == scores[i]
        exact = {
            "cosine": units[0][i].astype(float) @ units[1][i],
            "dot": first[i].astype(float) @ second[i],
            "euclidean": -np.sum((first[i].astype(float) - second[i]) ** 2),
        }
        assert scores[i] == pytest.approx(exact[similarity], rel=1e-5, abs=1e-6)
