import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.by_person import person_intervals
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.reranking import Reranking
from facever.evaluation.one_to_many.retrieval import retrieval as ranked
from tests.evaluation.oracles import cosines

room = sys.modules["facever.evaluation.one_to_many.ranking"]


def retrieval(queries, names, gallery, others, cameras=None, **options):
    """Rank a gallery for queries, with the cameras of both sides where they are given."""
    sides = {"vectors": queries, "identity": names}, {"vectors": gallery, "identity": others}
    if cameras is not None:
        sides = [side | {"camera": own} for side, own in zip(sides, cameras, strict=True)]
        options["camera"] = "camera"
    return ranked(sides[0], against=sides[1], **options)


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
def test_every_metric_is_that_of_the_loop(sets, by_loop, monkeypatch, cameras, ties):
    monkeypatch.setattr(room, "_CELLS", 7 * 90)
    queries, query_ids, gallery, gallery_ids, query_cameras, gallery_cameras = sets
    similarity = "cosine"
    if ties:  # whole numbers: exact scores, many of them equal
        queries, gallery = np.round(3 * queries), np.round(3 * gallery)
        similarity = "dot"
    both = (query_cameras, gallery_cameras) if cameras else None
    found = retrieval(queries, query_ids, gallery, gallery_ids, both, similarity=similarity)
    cmc, plain, trapezoid, minp, without = by_loop(
        queries.astype(float) @ gallery.T.astype(float), query_ids, gallery_ids,
        *(both or ()),
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
    (wrong,) = found.first_wrong
    assert wrong == (0, 0, 1.0, 1, 1.0)
    assert found.rank(1) == 0
    assert found.rank(2) == 1
    assert found.map_plain == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("width", [3, 64, 511])
def test_one_photograph_under_every_name_puts_the_positive_last(width, monkeypatch):
    # the same vector in every place of a block, where products may round differently
    monkeypatch.setattr(room, "_CELLS", 300)
    rng = np.random.default_rng(width)
    photo = rng.standard_normal(width)
    rows = np.tile(photo / np.linalg.norm(photo), (101, 1))
    names = [f"p{i}" for i in range(101)]
    found = retrieval(rows[:9], names[:9], rows, names)
    assert found.each.first.tolist() == [101] * 9
    assert found.map_plain == pytest.approx(1 / 101)
    assert found.map_trapezoid == pytest.approx(1 / 202)
    assert found.minp == pytest.approx(1 / 101)
    assert [wrong[:2] for wrong in found.first_wrong] == [(0, 1), *((q, 0) for q in range(1, 9))]


@pytest.mark.parametrize("near", [1.0, 0.6])
def test_scores_too_close_for_a_product_are_told_apart(make_faces, near):
    # two hundred copies of a row, each a rounding away from the others
    rng = np.random.default_rng(0)
    queries, names = make_faces(12, people=6, dimension=300)
    away = make_faces(4, dimension=300, seed=1)[0]
    base = near * queries[:4].astype(np.float64) + np.sqrt(1 - near**2) * away
    base = np.repeat(base / np.linalg.norm(base, axis=1, keepdims=True), 200, axis=0)
    gallery = (base + 2e-7 * rng.standard_normal(base.shape)).astype(np.float32)
    others = np.where(np.arange(800) % 3 == 0, np.repeat(names[:4], 200), "someone")
    exact = cosines(queries, gallery)
    found = retrieval(queries, names, gallery, others)
    wanted = [
        1 + (row[others != name] >= row[others == name].max()).sum()
        for row, name in zip(exact, names, strict=True)
        if name in others
    ]
    assert found.each.first.tolist() == wanted
    assert max(wanted) > 1
    for wrong in found.first_wrong:
        row, own = exact[wrong.query], others == names[wrong.query]
        assert wrong.candidate == np.flatnonzero(~own)[row[~own].argmax()]
        assert wrong.right == np.flatnonzero(own)[row[own].argmax()]
        assert (wrong.score, wrong.right_score) == (row[~own].max(), row[own].max())


def test_blocks_and_their_size_change_nothing(sets, monkeypatch):
    whole = retrieval(*sets[:4]).to_dict()
    monkeypatch.setattr(room, "_CELLS", 1)
    assert retrieval(*sets[:4]).to_dict() == whole


def test_intervals_draw_the_people_of_the_queries(make_faces):
    queries, query_ids = make_faces(60, people=12, spread=1.4)
    gallery, gallery_ids = make_faces(150, people=12, spread=1.4, seed=0)
    gallery, gallery_ids = gallery[60:], gallery_ids[60:]
    found = retrieval(queries, query_ids, gallery, gallery_ids)
    values = {name: getattr(found, name) for name in ("map_plain", "map_trapezoid", "minp")}
    values |= {f"rank {rank}": found.rank(rank) for rank in (1, 2, 5, 10, 20, 50, 100)}
    assert set(values) == set(found.intervals)
    for name, value in values.items():
        assert found.intervals[name].low <= value <= found.intervals[name].high, name
    assert found.intervals["map_plain"].method == "identity bootstrap"
    # everyone ten times over is no more evidence; ten times as many people are
    tenfold = np.tile(found.each.plain, 10)[:, None]
    codes = np.tile(found.each.people, 10)
    same, more = (person_intervals(tenfold, who, 0.95)[0] for who in (codes, np.arange(len(codes))))
    once = found.intervals["map_plain"]
    assert (same.low, same.high) == pytest.approx((once.low, once.high))
    assert more.high - more.low < 0.5 * (once.high - once.low)


def test_a_changed_ranking_says_so_and_has_no_threshold(sets):
    plain = retrieval(*sets[:4])
    changed = retrieval(*sets[:4], rerank=Reranking(5, 2), expand=Expansion(3, alpha=3))
    assert plain.ranked_by == "cosine scores"
    assert changed.ranked_by == (
        "cosine scores, alpha-QE (alpha 3) of queries by 3 neighbours, "
        "k-reciprocal re-ranking (k1 5, k2 2, lambda 0.3)"
    )
    values = changed.to_dict()
    assert values["reranking"] == {"k1": 5, "k2": 2, "lambda": 0.3}
    assert values["expansion"] == {"neighbours": 3, "alpha": 3, "gallery": False}
    assert "thresholds of a verification do not apply" in changed.to_text()
    assert "thresholds of a verification" not in plain.to_text()
    assert not hasattr(changed, "operating_point")


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
    assert {(one.query, one.candidate) for one in listed} == wrong
    assert [one.score for one in listed] == sorted((one.score for one in listed), reverse=True)
    for one in listed:
        assert one.score == pytest.approx(scores[one.query, one.candidate], abs=1e-6)
        own = np.flatnonzero(gallery_ids == query_ids[one.query])
        assert one.right == own[scores[one.query, own].argmax()]
        assert one.right_score == pytest.approx(scores[one.query, one.right], abs=1e-6)


def test_results_have_their_keys_and_text(sets):
    found = retrieval(*sets[:4])
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(values["cmc"]) == {"1", "5", "10", "20"}
    assert values["cmc_curve"]["90"] == 1.0
    assert values["wrong_first"][0].keys() == {
        "query", "candidate", "score", "right", "right_score"
    }  # fmt: skip
    assert {"map_plain", "map_trapezoid", "minp", "queries_without_match"} <= set(values)
    assert "mAP (trapezoid, Market-1501)" in found.to_text()
    with pytest.raises(EvaluationError, match="ranks count from 1"):
        found.rank(0)


def test_bad_input_is_one_clear_line(sets):
    queries, query_ids, gallery, gallery_ids, _, gallery_cameras = sets
    cases = [
        ((queries, query_ids, gallery[:, :5], gallery_ids), {}, "width 8 and 5"),
        ((queries, query_ids[1:], gallery, gallery_ids), {}, "39 identities for 40"),
        ((queries * np.nan, query_ids, gallery, gallery_ids), {}, "vector 0 contains NaN"),
        ((queries, ["z"] * 40, gallery, gallery_ids), {}, "no query has a positive"),
        ((queries[:0], [], gallery, gallery_ids), {}, "no query image could be embedded"),
        ((queries, query_ids, gallery, gallery_ids), {"camera": "cam"}, "unknown column 'cam'"),
        (
            (queries, query_ids, gallery, gallery_ids, ([None] * 40, gallery_cameras)),
            {},
            "the query set has no cameras",
        ),
        (
            (queries, query_ids, gallery, gallery_ids, ([None, *range(39)], gallery_cameras)),
            {},
            "query cameras: value 0 is missing",
        ),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            retrieval(*arrays, **options)


@pytest.mark.parametrize(
    "kind",
    [float, np.int8, str, lambda a: pd.array(a, dtype="Int64"), lambda a: a.astype(str).tolist()],
)
def test_a_camera_is_the_same_whatever_type_holds_it(make_faces, kind):
    queries, names = make_faces(40, people=8)
    gallery, others = make_faces(120, people=8, seed=1)
    cameras = np.arange(160) % 3 + 1
    sides = (queries, names, gallery, others)

    def measured(first, second):
        found = retrieval(*sides, (first, second))
        return found.map_plain, found.without_match

    same = measured(cameras[:40], cameras[40:])
    turned = kind(cameras[40:]) if not isinstance(kind, type) else cameras[40:].astype(kind)
    assert measured(cameras[:40], turned) == same
    assert measured(turned[:40], cameras[:120]) == measured(cameras[40:80], cameras[:120])
    assert same[0] != retrieval(*sides).map_plain


def test_integers_and_floats_of_one_camera_exclude_each_other():
    # each query is next to an image of its own camera; across cameras the other person is nearer
    rows = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]])
    found = retrieval(rows[:1], ["a"], rows[1:], ["a", "b", "a"], ([1], [1.0, 2.0, 2]))
    assert found.map_plain == 0.5


def test_it_is_said_how_many_positives_the_cross_camera_rule_removed(make_faces):
    vectors, names = make_faces(40, people=8)
    cameras = [f"c{name}" for name in names]  # every person by one camera
    sides = (vectors[:10], names[:10], vectors[10:], names[10:])
    removed = sum(int((names[10:] == name).sum()) for name in names[:10])
    with pytest.raises(EvaluationError, match=rf"removed all {removed} of 10 queries") as raised:
        retrieval(*sides, (cameras[:10], cameras[10:]))
    assert "cameras" in str(raised.value)
    with pytest.raises(EvaluationError, match="no common identity"):
        retrieval(vectors[:10], ["x"] * 10, vectors[10:], names[10:])
    cameras[10 + int(np.argmax(names[10:] == names[0]))] = "elsewhere"
    found = retrieval(*sides, (cameras[:10], cameras[10:]))
    people = (names[:10] == names[0]).sum()
    assert (found.queries, found.without_match) == (people, 10 - people)
    assert found.own_camera_only == 10 - people
    assert f"{10 - people} of them have positives of their own camera only" in found.to_text()
