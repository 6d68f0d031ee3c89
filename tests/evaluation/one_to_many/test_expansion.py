import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.expansion import Expansion, expand_sides
from facever.evaluation.one_to_many.retrieval import retrieval


def by_loop(rows, gallery, neighbours, alpha, skip_self=False):
    """Average every row with its neighbours, one row at a time."""
    made = []
    for number, row in enumerate(rows):
        scores = gallery @ row
        order = [g for g in np.argsort(-scores) if not (skip_self and g == number)]
        total = row.copy()
        for other in order[:neighbours]:
            weight = 1.0 if alpha is None else max(scores[other], 0.0) ** alpha
            total = total + weight * gallery[other]
        made.append(total / np.linalg.norm(total))
    return np.array(made)


@pytest.mark.parametrize("alpha", [None, 0.0, 3.0])
@pytest.mark.parametrize("both", [False, True])
def test_expansion_is_that_of_a_loop(make_faces, alpha, both):
    queries, _ = make_faces(30, people=10, dimension=4)
    gallery, _ = make_faces(70, people=10, dimension=4, seed=1)
    found = expand_sides(queries, gallery, Expansion(5, alpha, gallery=both))
    wanted = gallery.astype(float)
    if both:
        wanted = by_loop(wanted, wanted, 5, alpha, skip_self=True)
    assert found[1] == pytest.approx(wanted, abs=1e-5)
    assert found[0] == pytest.approx(by_loop(queries.astype(float), wanted, 5, alpha), abs=1e-5)
    assert np.linalg.norm(found[0], axis=1) == pytest.approx(1)


def test_other_scores_average_without_normalising():
    queries, gallery = np.float32([[1, 0]]), np.float32([[3, 0], [0, 2], [-9, 0]])
    for similarity, first in (("dot", 3.0), ("euclidean", 3.0)):
        found, same = expand_sides(queries, gallery, Expansion(1), similarity)
        assert same is gallery
        if similarity == "dot":
            assert found.tolist() == [[(1 + first) / 2, 0]]
        else:  # the nearest by distance is [3, 0] (4) or [0, 2] (5)
            assert found.tolist() == [[2, 0]]


def test_opposite_vectors_leave_the_query_as_it_is():
    query = np.float32([[1, 0]])
    found, _ = expand_sides(query, -query, Expansion(1))
    assert found.tolist() == [[1, 0]]


def test_more_neighbours_than_rows_are_all_rows():
    queries, gallery = np.float32([[1, 0]]), np.float32([[0, 1], [0.6, 0.8]])
    found, _ = expand_sides(queries, gallery, Expansion(9))
    wanted = np.array([1.6, 1.8]) / np.hypot(1.6, 1.8)
    assert found[0] == pytest.approx(wanted, abs=1e-6)


def test_retrieval_ranks_by_the_expanded_queries(make_faces):
    queries, names = make_faces(60, people=12, dimension=6)
    gallery, others = make_faces(150, people=12, dimension=6, seed=0)
    gallery, others = gallery[60:], others[60:]
    for settings in (Expansion(4), Expansion(4, alpha=2.0, gallery=True)):
        found = retrieval((queries, names), against=(gallery, others), expand=settings)
        by_hand = ranked(expand_sides(queries, gallery, settings), names, others)
        assert found.map_plain == by_hand.map_plain
        assert found.map_plain != retrieval((queries, names), against=(gallery, others)).map_plain


def ranked(sides, names, others):
    return retrieval((sides[0], names), against=(sides[1], others))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbours": 0}, "query expansion by 0 neighbours: give 1 or more"),
        ({"neighbours": 3, "alpha": -1.0}, "query expansion with alpha -1.0: give 0 or more"),
    ],
)
def test_wrong_settings_are_one_clear_line(settings, message):
    with pytest.raises(EvaluationError) as raised:
        Expansion(**settings)
    assert str(raised.value) == message


def test_alpha_belongs_to_cosines():
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(EvaluationError, match=r"the scores are dot: omit alpha$"):
        expand_sides(rows, rows, Expansion(1, alpha=1.0), "dot")
