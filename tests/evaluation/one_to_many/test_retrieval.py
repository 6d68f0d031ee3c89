import sys

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.retrieval import retrieval

room = sys.modules["facever.evaluation.one_to_many.retrieval"]  # the function has the module's name


def by_loop(scores, query_ids, gallery_ids, query_cameras=None, gallery_cameras=None):
    """Rank every query by a plain loop: the official Market-1501 evaluation, ties worst first."""
    first, plain, trapezoid, minp, without = [], [], [], [], 0
    for q in range(len(scores)):
        kept = []
        for g in range(scores.shape[1]):
            same = query_ids[q] == gallery_ids[g]
            junk = gallery_ids[g] == "-1"
            if query_cameras is not None:
                junk |= same and query_cameras[q] == gallery_cameras[g]
            if not junk:
                kept.append((-scores[q, g], bool(same)))
        good = [same for _, same in sorted(kept)]  # False before True among equal scores
        if not any(good):
            without += 1
            continue
        ranks = [r + 1 for r, same in enumerate(good) if same]
        first.append(ranks[0])
        plain.append(np.mean([(j + 1) / r for j, r in enumerate(ranks)]))
        # the trapezoid of the official code: old and new precision at each recall step
        area, old_recall, old_precision, hits = 0.0, 0.0, 1.0, 0
        for position, same in enumerate(good):
            hits += same
            recall, precision = hits / len(ranks), hits / (position + 1)
            area += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
        trapezoid.append(area)
        minp.append(len(ranks) / ranks[-1])
    cmc = [np.mean(np.array(first) <= r) for r in range(1, scores.shape[1] + 1)]
    return cmc, np.mean(plain), np.mean(trapezoid), np.mean(minp), without


@pytest.fixture
def sets(make_faces):
    rng = np.random.default_rng(3)
    queries, query_ids = make_faces(40, people=15)
    gallery, gallery_ids = make_faces(90, people=12)
    gallery_ids = np.where(np.arange(90) % 17 == 0, "-1", gallery_ids)
    return (
        queries,
        query_ids,
        gallery,
        gallery_ids,
        rng.integers(3, size=40),
        rng.integers(3, size=90),
    )


@pytest.mark.parametrize("cameras", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_every_metric_is_that_of_the_loop(sets, monkeypatch, cameras, ties):
    monkeypatch.setattr(room, "_QUERIES", 7)
    queries, query_ids, gallery, gallery_ids, query_cameras, gallery_cameras = sets
    similarity = "cosine"
    if ties:  # whole numbers: exact scores, many of them equal
        queries, gallery = np.round(3 * queries), np.round(3 * gallery)
        similarity = "dot"
    options = {"query_cameras": query_cameras, "gallery_cameras": gallery_cameras}
    found = retrieval(
        queries, query_ids, gallery, gallery_ids,
        similarity=similarity, **(options if cameras else {}),
    )  # fmt: skip
    cmc, plain, trapezoid, minp, without = by_loop(
        queries.astype(float) @ gallery.T.astype(float), query_ids, gallery_ids,
        *(options.values() if cameras else ()),
    )  # fmt: skip
    assert found.cmc == pytest.approx(cmc)
    assert found.map_plain == pytest.approx(plain)
    assert found.map_trapezoid == pytest.approx(trapezoid)
    assert found.minp == pytest.approx(minp)
    assert (found.without_match, found.queries) == (without, 40 - without)
    assert without > 0
    assert found.cross_camera == cameras


def test_plain_average_precision_is_scikit_learns(make_faces):
    queries, query_ids = make_faces(20, people=5)
    gallery, gallery_ids = make_faces(60, people=5)
    found = retrieval(queries, query_ids, gallery, gallery_ids)
    scores = queries.astype(float) @ gallery.T.astype(float)
    each = [
        average_precision_score(gallery_ids == name, row)
        for name, row in zip(query_ids, scores, strict=True)
    ]
    assert found.map_plain == pytest.approx(np.mean(each))


def test_a_tie_never_helps():
    gallery = np.eye(2)[[0, 0, 1]]
    found = retrieval(np.eye(2)[[0]], ["a"], gallery, ["b", "a", "a"])
    assert found.rank(1) == 0
    assert found.rank(2) == 1
    assert found.map_plain == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_wrong_first_candidates_are_listed_with_their_scores(make_faces):
    queries, query_ids = make_faces(40, people=15)
    gallery, gallery_ids = make_faces(90, people=15, seed=0)
    gallery = gallery[::-1].copy()
    found = retrieval(queries, query_ids, gallery, gallery_ids)
    scores = queries @ gallery.T
    best = scores.argmax(axis=1)
    present = np.isin(query_ids, gallery_ids)
    wrong = {
        (q, int(best[q])) for q in range(40) if present[q] and gallery_ids[best[q]] != query_ids[q]
    }
    listed = found.first_wrong
    assert {(q, g) for q, g, _ in listed} == wrong
    assert [s for *_, s in listed] == sorted((s for *_, s in listed), reverse=True)
    assert all(s == pytest.approx(scores[q, g], abs=1e-6) for q, g, s in listed)


def test_results_have_their_keys_and_text(sets):
    found = retrieval(*sets[:4])
    values = found.to_dict()
    assert set(values["cmc"]) == {"1", "5", "10", "20"}
    assert {"map_plain", "map_trapezoid", "minp", "queries_without_match"} <= set(values)
    assert "mAP (trapezoid, Market-1501)" in found.to_text()
    with pytest.raises(EvaluationError, match="ranks count from 1"):
        found.rank(0)


def test_bad_input_is_one_clear_line(sets):
    queries, query_ids, gallery, gallery_ids, _, gallery_cameras = sets
    cases = [
        ((queries, query_ids, gallery[:, :5], gallery_ids), {}, "width 8 and 5"),
        ((queries, query_ids[1:], gallery, gallery_ids), {}, "39 query identities for 40"),
        ((queries * np.nan, query_ids, gallery, gallery_ids), {}, "row 0 of the queries holds NaN"),
        ((queries, ["z"] * 40, gallery, gallery_ids), {}, "no query has a positive"),
        ((queries[:0], [], gallery, gallery_ids), {}, "queries must be a matrix"),
        ((2 * queries, query_ids, gallery, gallery_ids), {}, "has length 2, not 1"),
        (
            (queries, query_ids, gallery, gallery_ids),
            {"gallery_cameras": gallery_cameras},
            "the query set has no cameras",
        ),
        (
            (queries, query_ids, gallery, gallery_ids),
            {"query_cameras": [None] * 40, "gallery_cameras": gallery_cameras},
            "query cameras: value 0 is missing",
        ),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            retrieval(*arrays, **options)
