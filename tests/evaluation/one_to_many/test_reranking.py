import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation.one_to_many import nearest, reranking
from facever.evaluation.one_to_many.reranking import Reranked, Reranking
from facever.evaluation.one_to_many.retrieval import retrieval


def distances(queries, gallery, settings, similarity="cosine"):
    ranking = Reranked(queries, gallery, settings, similarity)
    parts = np.array_split(np.arange(len(queries)), 3)
    return -np.concatenate([ranking.block(rows) for rows in parts])


@pytest.mark.parametrize(
    ("k1", "k2", "share"),
    [(20, 6, 0.3), (7, 1, 0.3), (5, 3, 0.0), (6, 2, 0.4), (4, 3, 1.0), (1, 9, 0.5), (500, 4, 0.3)],
)
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_the_sparse_form_equals_the_dense_one(
    make_faces, monkeypatch, dense, k1, k2, share, spread
):
    monkeypatch.setattr(nearest, "_CELLS", 1000)
    monkeypatch.setattr(reranking, "_ENTRIES", 500)
    queries, _ = make_faces(41, people=20, spread=spread)
    gallery, _ = make_faces(120, people=20, spread=spread, seed=0)
    gallery = gallery[41:]
    found = distances(queries, gallery, Reranking(k1, k2, share))
    wanted = dense.reranked_distances(
        queries.astype(float), gallery.astype(float), k1=k1, k2=k2, lambda_value=share
    )
    assert found == pytest.approx(wanted, abs=2e-5)


def test_ties_are_broken_alike(monkeypatch, dense):
    # whole numbers on a small grid: exact distances, most of them equal, many duplicates
    monkeypatch.setattr(nearest, "_CELLS", 700)
    rng = np.random.default_rng(1)
    queries, gallery = rng.integers(3, size=(30, 4)), rng.integers(3, size=(100, 4))
    for k1, k2 in [(8, 3), (3, 1)]:
        found = distances(
            queries.astype(np.float32), gallery.astype(np.float32), Reranking(k1, k2), "euclidean"
        )
        wanted = dense.reranked_distances(queries * 1.0, gallery * 1.0, k1, k2)
        assert found == pytest.approx(wanted, abs=2e-5)


def test_the_set_of_a_neighbour_is_added_above_two_thirds_only(dense):
    # rows on a line: every reciprocal set can be counted by hand
    line = np.array([0.0, 1.0, 2.1, 3.3, 4.6, 6.0, 7.5, 9.1])[:, None]
    lists = dense.own_first(dense.squared_distances(line))
    assert dense.k_reciprocal(lists, 0, 2) == [0, 1]
    assert dense.k_reciprocal(lists, 1, 2) == [1, 0, 2]
    assert dense.k_reciprocal(lists, 1, 1) == [1, 0]
    queries, gallery = line[:3].astype(np.float32), line[3:].astype(np.float32)
    found = distances(queries, gallery, Reranking(2, 1), "euclidean")
    assert found == pytest.approx(dense.reranked_distances(line[:3], line[3:], 2, 1), abs=1e-6)


def test_rows_that_are_all_alike_are_no_distance_apart():
    same = np.tile(np.float32([0.6, 0.8]), (9, 1))
    found = distances(same[:2], same[2:], Reranking(20, 6))
    assert found == pytest.approx(np.zeros((2, 7)), abs=1e-6)


def test_lambda_of_one_ranks_as_the_scores_do(make_faces):
    queries, names = make_faces(40, people=10)
    gallery, others = make_faces(100, people=10, seed=0)
    plain = retrieval((queries, names), against=(gallery, others))
    same = retrieval(
        (queries, names), against=(gallery, others), rerank=Reranking(lambda_value=1.0)
    )
    assert same.map_plain == pytest.approx(plain.map_plain)
    assert same.reranking == Reranking(20, 6, 1.0)


def test_metrics_are_those_of_the_dense_distances(make_faces, by_loop, dense):
    queries, names = make_faces(40, people=15)
    gallery, others = make_faces(90, people=15, seed=0)
    gallery, others = gallery[40:], others[40:]
    found = retrieval((queries, names), against=(gallery, others), rerank=Reranking(10, 3))
    wanted = dense.reranked_distances(queries.astype(float), gallery.astype(float), 10, 3)
    cmc, plain, trapezoid, minp, _ = by_loop(-wanted.round(6), names, others)
    assert found.cmc == pytest.approx(cmc)
    assert (found.map_plain, found.map_trapezoid) == pytest.approx((plain, trapezoid))
    assert found.minp == pytest.approx(minp)


def test_it_gains_where_people_form_clusters(make_faces):
    queries, names = make_faces(100, people=25, dimension=16, spread=0.9)
    gallery, others = make_faces(400, people=25, dimension=16, spread=0.9, seed=0)
    gallery, others = gallery[100:], others[100:]
    plain = retrieval((queries, names), against=(gallery, others))
    better = retrieval((queries, names), against=(gallery, others), rerank=Reranking())
    assert better.map_plain > plain.map_plain + 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k1": 0}, "re-ranking with k1 0 and k2 6: both must be 1 or more"),
        ({"k2": 0}, "re-ranking with k1 20 and k2 0: both must be 1 or more"),
        ({"lambda_value": 1.1}, "re-ranking with lambda 1.1: it must be from 0 to 1"),
    ],
)
def test_wrong_settings_are_one_clear_line(settings, message):
    with pytest.raises(EvaluationError) as raised:
        Reranking(**settings)
    assert str(raised.value) == message


def test_dot_products_are_no_distance(make_faces):
    vectors, names = make_faces(20, people=4)
    with pytest.raises(EvaluationError, match="use the similarity cosine or euclidean"):
        retrieval((vectors, names), against=(vectors, names), similarity="dot", rerank=Reranking())
