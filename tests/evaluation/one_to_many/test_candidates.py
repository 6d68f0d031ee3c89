import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.candidates import recall, searched_from_lists
from facever.evaluation.one_to_many.search import search
from tests.evaluation.oracles import cosines


def codes(probe_ids, gallery_ids):
    both = np.unique(np.concatenate([probe_ids, gallery_ids]), return_inverse=True)[1]
    return [both[: len(probe_ids)], both[len(probe_ids) :]]


def test_whole_lists_say_what_an_exact_search_says(make_faces):
    probes, probe_ids = make_faces(60, people=20)
    gallery, gallery_ids = make_faces(80, people=20, seed=1)
    kept = gallery_ids < "p013"
    gallery, people = gallery[kept], codes(probe_ids, gallery_ids[kept])
    exact = search(probes, gallery, people, "max", "cosine")
    scores = cosines(probes, gallery)
    order = np.argsort(-scores, axis=1)
    found = searched_from_lists(np.take_along_axis(scores, order, 1), order, people)
    for name in ("best", "mate", "mated", "codes", "people"):
        assert np.array_equal(getattr(found, name), getattr(exact, name)), name
    assert np.array_equal(found.rank, exact.rank)


def test_a_list_is_read_by_hand():
    # gallery rows: 0 and 1 of person 5, 2 of person 6, 3 of person 7; probes of 6, 5, 9 and 7
    people = [np.array([6, 5, 9, 7]), np.array([5, 5, 6, 7])]
    scores = [[0.9, 0.8, 0.8, 0.1], [0.5, 0.5, 0.4, 0.3], [0.7, 0.2, 0, 0], [0, 0, 0, 0]]
    rows = [[0, 1, 2, 3], [2, 0, 1, 3], [3, 2, -1, -1], [-1, -1, -1, -1]]
    found = searched_from_lists(scores, rows, people)
    assert found.best.tolist() == pytest.approx([0.9, 0.5, 0.7, -np.inf])
    assert found.mate.tolist() == pytest.approx([0.8, 0.5, -np.inf, -np.inf])
    assert found.rank.tolist() == [2, 2, 4, 4]  # two images of a person count once; a tie hurts
    assert found.mated.tolist() == [True, True, False, True]
    assert found.people == 3


def test_recall_is_the_share_of_true_candidates():
    assert recall([[1, 2, 3], [4, -1, -1]], [[3, 2, 9], [5, 4, 6]]) == pytest.approx(3 / 6)
    assert recall([[0, 1]], [[1, 0]]) == 1


@pytest.mark.parametrize(
    ("scores", "rows", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2)), r"candidates of shapes \(2, 3\) and \(2, 2\) for 2"),
        (np.zeros((2, 2)), [[0, 1], [0, 4]], "candidate row 4 is not in the gallery of 4 rows"),
        (np.zeros((2, 2)), [[0, 1], [0, -2]], "candidate row -2 is not in the gallery of 4 rows"),
        ([[np.nan, 0], [0, 0]], np.zeros((2, 2)), "a candidate's score is not finite"),
    ],
)
def test_bad_lists_are_one_clear_line(scores, rows, message):
    with pytest.raises(EvaluationError, match=message):
        searched_from_lists(scores, rows, [np.array([0, 1]), np.array([0, 1, 2, 3])])


def test_distances_of_another_engine_are_turned_round(make_faces):
    people = [np.array([6, 5, 9]), np.array([5, 6, 7])]
    scores, rows = [[0.9, 0.8], [0.5, 0.4], [0.7, 0.2]], [[0, 1], [2, 0], [2, -1]]
    found = searched_from_lists(scores, rows, people)
    turned = searched_from_lists(-np.array(scores), rows, people, distances=True)
    for name in ("best", "mate", "rank"):
        assert np.array_equal(getattr(turned, name), getattr(found, name)), name
