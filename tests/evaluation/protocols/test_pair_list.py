import numpy as np
import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.inputs import find_rows
from facever.evaluation.protocols.pair_list import score_pairs


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(40, people=6)
    counts = dict.fromkeys(names, 0)
    paths = []
    for name in names:
        counts[name] += 1
        paths.append(f"images/{name}/{name}_{counts[name]:04d}.jpg")
    return EmbeddingSet.from_arrays(vectors, names, path=paths)


def listed(faces, pairs, **columns):
    rows = faces.rows
    frame = pd.DataFrame(
        {
            "a": [rows.path[i] for i, _ in pairs],
            "b": [rows.path[j] for _, j in pairs],
            "same": [rows.identity[i] == rows.identity[j] for i, j in pairs],
            **columns,
        }
    )
    return PairList(frame, "list.csv")


def test_pairs_are_scored_in_the_order_of_the_list(faces):
    pairs = [(3, 7), (0, 39), (12, 1), (5, 6)]
    scored = score_pairs(faces, listed(faces, pairs, fold=[0, 0, 1, 1]), "cosine")
    for t, (i, j) in enumerate(pairs):
        expected = float(faces.vectors[i].astype(float) @ faces.vectors[j])
        assert scored.scores[t] == pytest.approx(expected, abs=1e-7)
        assert (scored.a[t], scored.b[t]) == (i, j)
        assert scored.same[t] == (faces.rows.identity[i] == faces.rows.identity[j])
    assert scored.folds.tolist() == [0, 0, 1, 1]
    assert set(scored.people) == {faces.rows.identity[i] for pair in pairs for i in pair}


def test_failed_images_are_counted_by_class_and_left_out(faces):
    rows = faces.rows.copy()
    rows.loc[3, "error"] = "truncated"
    vectors = faces.vectors.copy()
    vectors[3] = 0
    broken = EmbeddingSet(vectors, rows, faces.meta)
    other = next(i for i in range(40) if rows.identity[i] != rows.identity[3])
    mate = next(i for i in range(40) if i != 3 and rows.identity[i] == rows.identity[3])
    scored = score_pairs(broken, listed(faces, [(3, other), (mate, 3), (mate, other)]), "cosine")
    assert len(scored.scores) == 1
    failures = scored.failures
    assert (failures.genuine, failures.impostor, failures.failed, failures.images) == (1, 1, 1, 3)


def test_images_are_found_by_the_end_of_their_path(faces):
    short = [path.removeprefix("images/").replace(".jpg", ".png") for path in faces.rows.path]
    assert find_rows(faces, short, "list").tolist() == list(range(40))


def test_an_exact_path_goes_before_a_similar_one(make_faces):
    vectors, names = make_faces(4)
    paths = ["x/Ada/1.jpg", "y/Ada/1.jpg", "x/Ben/1.jpg", "x/Ben/2.jpg"]
    faces = EmbeddingSet.from_arrays(vectors, names, path=paths)
    assert find_rows(faces, ["y/Ada/1.jpg", "Ben/2"], "list").tolist() == [1, 3]
    with pytest.raises(EvaluationError, match=r"list names z/Ada/1\.jpg, which has several rows"):
        find_rows(faces, ["z/Ada/1.jpg"], "list")


def test_a_missing_image_is_named_in_one_line(faces):
    with pytest.raises(EvaluationError, match=r"list names images/Zoe/Zoe_0001\.jpg, which has no"):
        find_rows(faces, [faces.rows.path[0], "images/Zoe/Zoe_0001.jpg"], "list")
    nameless = EmbeddingSet.from_arrays(np.eye(3), ["a", "b", "c"])
    with pytest.raises(EvaluationError, match="has no column 'path'"):
        find_rows(nameless, ["a"], "list")


def test_a_list_that_contradicts_itself_is_refused(faces):
    people = faces.rows.identity
    other = next(i for i in range(40) if people[i] != people[3])
    mate = next(i for i in range(4, 40) if people[i] == people[3])
    cases = [
        (listed(faces, [(3, other), (other, 3)]), "is in the list twice"),
        (listed(faces, [(3, 3)]), "compares an image with itself"),
    ]
    for pair, text in (((3, other), "has two identities"), ((3, mate), "has one identity")):
        wrong = listed(faces, [pair])
        wrong.frame["same"] = ~wrong.frame["same"]
        cases.append((wrong, text))
    for pairs, text in cases:
        with pytest.raises(EvaluationError, match=text) as caught:
            score_pairs(faces, pairs, "cosine")
        assert str(caught.value).startswith("list.csv: the pair images/")
