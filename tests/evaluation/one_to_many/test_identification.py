import json
import sys

import numpy as np
import pytest
from scipy.stats import binomtest

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.identification import identification as identified
from facever.evaluation.one_to_many.identification import measured
from facever.operating_point import OperatingPoint, TrialCounts
from facever.render.numbers import far_text
from tests.evaluation.oracles import cosines, half_way_above

room = sys.modules["facever.evaluation.one_to_many.search"]


def identification(probes, names, gallery, enrolled, **options):
    """Identify the probes (vectors, names) in a gallery (vectors, names)."""
    return identified((probes, names), (gallery, enrolled), **options)


@pytest.fixture
def sets(make_faces, monkeypatch):
    monkeypatch.setattr(room, "_CELLS", 600)
    monkeypatch.setattr(room, "_COLUMNS", 7)  # some people in each piece
    probes, probe_ids = make_faces(150, people=30)
    gallery, gallery_ids = make_faces(90, people=30)
    kept = gallery_ids < "p018"
    return probes, probe_ids, gallery[kept], gallery_ids[kept]


def by_loop(probes, probe_ids, gallery, gallery_ids, rule):
    """Return per probe: best score, the mate's score, the mate's rank (None without a mate)."""
    people = sorted(set(gallery_ids))
    rows = []
    for probe, name in zip(probes, probe_ids, strict=True):
        scores = {}
        for person in people:
            own = cosines(gallery[gallery_ids == person], probe[None])[:, 0]
            scores[person] = float(own.max() if rule == "max" else own.mean())
        mate = scores.get(name)
        rank = None if mate is None else sum(score >= mate for score in scores.values())
        rows.append((max(scores.values()), mate, rank))
    return rows


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_rates_are_those_of_a_loop(sets, rule):
    result = identification(*sets, fpir=[0.2, 0.05, 1e-4], ranks=[1, 3], rule=rule)
    rows = by_loop(*sets, rule)
    strangers = sorted((best for best, mate, _ in rows if mate is None), reverse=True)
    mates = [(mate, rank) for _, mate, rank in rows if mate is not None]
    assert (result.mated, result.nonmated) == (len(mates), len(strangers))
    assert result.gallery_size == len(set(sets[3]))
    for point in result.points:
        k = int(point.fpir_target * len(strangers))
        between = half_way_above(strangers, [mate for mate, _ in mates], k)
        assert point.threshold == pytest.approx(between, abs=1e-6)
        assert point.false_positives == int(point.fpir_target * len(strangers))
        for rank in (1, 3):
            missed = sum(not (r <= rank and s > point.threshold + 1e-7) for s, r in mates)
            assert point.missed[rank] == missed
            low, high = (getattr(point.fnir_intervals[rank], end) for end in ("low", "high"))
            assert low <= missed / len(mates) <= high
    assert [refused.needs for refused in result.refused] == [10_000]
    for rank in range(1, 19):
        assert result.rank(rank) == result.cmc[rank - 1] == np.mean([r <= rank for _, r in mates])
    assert len(result.cmc) == 18


def test_the_det_is_counted_at_every_threshold_and_rank(sets):
    det = identification(*sets, ranks=[4, 1]).det
    rows = by_loop(*sets, "max")
    strangers = [best for best, mate, _ in rows if mate is None]
    assert list(det.fnir) == [1, 4]
    assert len(det.thresholds) == len(set(strangers)) + 1
    for at, t in enumerate(det.thresholds):
        assert det.fpir[at] == pytest.approx(np.mean([b > t + 1e-6 for b in strangers]))
        for rank in (1, 4):
            missed = [not (r <= rank and s > t) for _, s, r in rows if s is not None]
            assert det.fnir[rank][at] == pytest.approx(np.mean(missed))
    thin = det.thinned(12)
    assert 6 <= len(thin.thresholds) <= 12
    assert (thin.thresholds[0], thin.fpir[-1]) == (-np.inf, 0)
    places = np.searchsorted(det.thresholds, thin.thresholds)
    assert np.array_equal(det.fpir[places], thin.fpir)
    assert np.array_equal(det.fnir[4][places], thin.fnir[4])
    assert len(np.unique(places[-3:])) == 3
    assert places[-3] == len(det.thresholds) - 3  # dense where the FPIR is small


def test_scores_do_not_depend_on_blocks_and_ties_put_the_mate_last(monkeypatch):
    rng = np.random.default_rng(0)
    photo = rng.standard_normal(300)
    rows = np.tile(photo / np.linalg.norm(photo), (41, 1))
    names = [f"p{i}" for i in range(40)]
    for cells in (1, 7 * 40, 10**6):
        monkeypatch.setattr(room, "_CELLS", cells)
        for rule in ("max", "mean"):
            result = identification(
                rows, [*names, "stranger"], rows[:40], names, ranks=[1, 39, 40], rule=rule
            )
            assert [result.rank(rank) for rank in (1, 39, 40)] == [0, 0, 1]
            assert set(result.det.thresholds[1:]) == {1.0}
            assert result.det.fnir[40].tolist() == [0, 1]  # a score of 1 is not above 1
    stored = OperatingPoint(
        kind="1:N", threshold=1.0, target_rate=0.1, achieved_rate=0, score_rule="max",
        trials=TrialCounts(genuine=1, impostor=1), gallery_size=40,
    )  # fmt: skip
    options = {"ranks": [40], "operating_points": [stored]}
    found = identification(rows, [*names, "stranger"], rows[:40], names, **options).realised[0]
    assert (found.found.missed, found.found.false_positives) == ({40: 40}, 0)


def test_scores_too_close_for_a_product_are_told_apart(make_faces):
    # a thousand people, each a rounding away from the next
    rng = np.random.default_rng(0)
    probes, _ = make_faces(20, people=20, dimension=300)
    base = np.repeat(probes[:5], 200, axis=0).astype(np.float64)
    gallery = (base + 1e-7 * rng.standard_normal(base.shape)).astype(np.float32)
    people = [np.arange(20) * 5, np.arange(1000)]
    exact = cosines(probes, gallery)
    found = room.search(probes, gallery, people, "max", "cosine")
    assert np.array_equal(found.best, exact.max(axis=1))
    mates = exact[np.arange(20), people[0]]
    assert np.array_equal(found.mate, mates)
    assert np.array_equal(found.rank, (exact >= mates[:, None]).sum(axis=1))


def test_each_score_is_the_pairs_own(sets, monkeypatch):
    probes, probe_ids, gallery, gallery_ids = sets
    names = sorted(set(gallery_ids))
    for rule in ("max", "mean"):
        found = {}
        for cells in (1, 10**6):
            monkeypatch.setattr(room, "_CELLS", cells)
            codes = [np.unique(np.r_[probe_ids, gallery_ids], return_inverse=True)[1]]
            people = [codes[0][: len(probes)], codes[0][len(probes) :]]
            found[cells] = room.search(probes, gallery, people, rule, "cosine")
        assert np.array_equal(found[1].best, found[10**6].best)
        assert np.array_equal(found[1].mate, found[10**6].mate)
        exact = cosines(probes, gallery).astype(float)
        for row, name in enumerate(probe_ids):
            each = [exact[row, gallery_ids == person] for person in names]
            scores = [part.max() if rule == "max" else part.mean() for part in each]
            assert found[1].best[row] == np.float32(max(scores))
            if name in names:
                assert found[1].mate[row] == np.float32(scores[names.index(name)])


def test_a_stored_operating_point_is_judged_at_its_threshold(sets):
    probes, probe_ids, gallery, gallery_ids = sets
    point = identification(*sets, fpir=[0.2]).operating_point(0.2, dataset="before")
    half = gallery_ids < "p009"
    smaller = identification(
        probes, probe_ids, gallery[half], gallery_ids[half], operating_points=[point]
    )
    rows = by_loop(probes, probe_ids, gallery[half], gallery_ids[half], "max")
    (realised,) = smaller.realised
    assert [point.fpir_target for point in smaller.points] == [0.1, 0.01]
    assert realised.found.threshold == point.threshold
    assert realised.found.false_positives == sum(
        best > point.threshold for best, mate, _ in rows if mate is None
    )
    for rank in (1, 10):
        missed = [not (s > point.threshold and r <= rank) for _, s, r in rows if s is not None]
        assert realised.found.missed[rank] == sum(missed)
    values = smaller.to_dict()["realised"][0]
    assert values["stored"]["gallery_size"] == 18
    assert values["fpir"] == realised.found.false_positives / smaller.nonmated
    assert "The stored threshold" in smaller.to_text()
    assert "in a gallery of 18, before" in smaller.to_text()
    assert not smaller.warnings
    few = gallery_ids < "p004"
    of_few = identification(probes, probe_ids, gallery[few], gallery_ids[few], fpir=[0.2])
    grown = identification(*sets, operating_points=[of_few.operating_point(0.2)])
    assert grown.warnings == [
        "the operating point was measured with 4 people, but this gallery has 18, more than 2 "
        "times as many: the FPIR is higher"
    ]


def test_an_operating_point_of_another_kind_is_refused(sets):
    point = identification(*sets, fpir=[0.2]).operating_point(0.2)
    pair = OperatingPoint(
        threshold=0.5, target_rate=0.1, achieved_rate=0.1, trials=point.trials, similarity="cosine"
    )
    for given, options, message in [
        (
            pair,
            {},
            "a 1:1-image operating point is not for identification: give a 1:N operating point",
        ),
        (
            point,
            {"rule": "mean"},
            "the operating point is for the max of cosine scores, not for the mean of cosine "
            "scores",
        ),
        (
            point,
            {"similarity": "dot"},
            "the operating point is for the max of cosine scores, not for the max of dot scores",
        ),
    ]:
        with pytest.raises(EvaluationError) as raised:
            identification(*sets, operating_points=[given], **options)
        assert str(raised.value) == message


def test_images_that_could_not_be_embedded_are_counted_with_and_without(sets):
    probes, probe_ids, gallery, gallery_ids = sets
    fine = np.ones(len(probes), bool)
    mated = np.flatnonzero(np.isin(probe_ids, gallery_ids) & (probe_ids != "p000"))
    strangers = np.flatnonzero(~np.isin(probe_ids, gallery_ids))
    fine[[*mated[:4], *strangers[:3]]] = False
    enrolled = gallery_ids != "p000"
    enrolled[np.flatnonzero(gallery_ids == "p001")[0]] = False  # others of p001 remain
    broken = probes.copy()
    broken[~fine] = 0
    result = identified(
        {"vectors": broken, "identity": probe_ids, "acquired": fine},
        {"vectors": gallery, "identity": gallery_ids, "acquired": enrolled},
        fpir=[0.2],
    )
    orphans = fine & (probe_ids == "p000")
    kept = fine & ~orphans
    alone = identification(
        probes[kept], probe_ids[kept], gallery[enrolled], gallery_ids[enrolled], fpir=[0.2]
    )
    without, alone_values = result.to_dict(), alone.to_dict()
    assert without["failure_to_acquire"] == {
        "mated_probes": 4,
        "nonmated_probes": 3,
        "people_not_enrolled": 1,
        "probes_of_people_not_enrolled": int(orphans.sum()),
    }
    assert orphans.any()
    people = len(np.unique(gallery_ids))
    rates = without["failure_rates"]
    for name, failed, attempts in (("FTA", 7, len(probes)), ("FTE", 1, people)):
        exact = binomtest(failed, attempts).proportion_ci(0.95, method="exact")
        assert (rates[name]["failed"], rates[name]["attempts"]) == (failed, attempts)
        assert rates[name]["rate"] == failed / attempts
        interval = rates[name]["interval"]
        assert (interval["low"], interval["high"]) == pytest.approx((exact.low, exact.high))
        assert f"{failed} of {attempts} ({name} " in result.to_text()
    for key in ("probes", "gallery_size", "cmc", "det"):
        assert without[key] == alone_values[key]
    (point,), (values,) = result.points, without["operating_points"]
    assert values["with_failures"]["fpir"] == point.false_positives / (result.nonmated + 3)
    lost = 4 + int(orphans.sum())
    for rank in (1, 10):
        share = (point.missed[rank] + lost) / (result.mated + lost)
        assert values["with_failures"]["fnir"][str(rank)] == share
    text = result.to_text()
    assert "4 mated and 3 non-mated probes; 1 people not enrolled" in text
    assert far_text(values["with_failures"]["fpir"]) in text
    assert f"{values['with_failures']['fnir']['10']:.4f}" in text
    assert "with failures" not in alone.to_text()


def test_fpir_is_not_the_fmr_of_pairs(sets):
    # a stranger has as many chances as there are people
    result = identification(*sets, fpir=[0.2])
    probes, probe_ids, gallery, _ = sets
    scores = (probes @ gallery.T)[probe_ids >= "p018"]
    fmr = (scores > result.points[0].threshold).mean()
    assert fmr < 0.2 / 4


def test_the_operating_point_is_one_to_n(sets):
    result = identification(*sets, fpir=[0.2], rule="mean")
    point = result.operating_point(0.2, dataset="made up", fingerprint="f")
    assert (point.kind, point.score_rule, point.gallery_size) == ("1:N", "mean", 18)
    assert point.threshold == result.points[0].threshold
    assert (point.dataset, point.fingerprint) == ("made up", "f")
    mates = [(mate, rank) for _, mate, rank in by_loop(*sets, "mean") if mate is not None]
    missed = [rank > 1 or mate <= point.threshold for mate, rank in mates]
    assert point.miss_rate == pytest.approx(np.mean(missed))
    assert point.miss_interval.holds(point.miss_rate)


def test_results_have_their_keys_and_text(sets):
    result = identification(*sets, fpir=[0.2, 1e-4])
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["cmc_curve"]["18"] == 1.0
    assert values["det"]["threshold"][0] is None
    assert len(values["det"]["fnir"]["10"]) == len(values["det"]["fpir"]) > 20
    assert values["operating_points"][0]["few_false_positives"]
    assert values["probes"] == {"mated": result.mated, "nonmated": result.nonmated}
    missed = values["operating_points"][0]["fnir"]["1"]
    assert missed["missed"] == result.points[0].missed[1]
    assert missed["few_missed"] == (missed["missed"] < 30)
    assert {"fpir", "threshold", "fnir", "fpir_interval"} <= set(values["operating_points"][0])
    text = result.to_text()
    assert "is refused: it needs 10,000 non-mated probes" in text
    point = result.points[0]
    assert f"{point.false_positives} (few)" in text
    assert "(few): fewer than 30 errors" in text
    assert f"[{far_text(point.fpir_interval.low)}, " in text
    for interval in point.fnir_intervals.values():
        assert f"[{interval.low:.4f}, {interval.high:.4f}]" in text
    assert "intervals at fixed thresholds (all): identity bootstrap" in text


def test_bad_input_is_one_clear_line(sets):
    probes, probe_ids, gallery, gallery_ids = sets
    known = np.isin(probe_ids, gallery_ids)
    cases = [
        ((probes[known], probe_ids[known], gallery, gallery_ids), {}, "no non-mated probes"),
        ((probes[~known], probe_ids[~known], gallery, gallery_ids), {}, "no mated probes"),
        (sets, {"rule": "median"}, "unknown score rule 'median'"),
        (sets, {"ranks": [0]}, "ranks must be 1 or more"),
        (sets, {"fpir": [2]}, "not between 0 and 1"),
        ((probes, probe_ids[1:], gallery, gallery_ids), {}, "149 identities for 150"),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            identification(*arrays, **options)
    sides = [{"vectors": sets[i], "identity": sets[i + 1]} for i in (0, 2)]
    for lost, acquired, message in (
        (0, np.zeros(150, bool), "no probe image could be embedded"),
        (1, np.zeros(len(gallery), bool), "no gallery image could be"),
        (0, [True], "1 acquired for 150 vectors"),
    ):
        broken = [
            side | {"acquired": acquired} if i == lost else side for i, side in enumerate(sides)
        ]
        with pytest.raises(EvaluationError, match=message):
            identified(*broken)


def test_an_operating_point_of_other_templates_is_refused(sets):
    point = identification(*sets, fpir=[0.1], templates="mean").operating_point(0.1)
    assert point.templates == "mean"
    again = identification(*sets, templates="mean", operating_points=[point])
    assert again.realised[0].found.threshold == point.threshold
    with pytest.raises(EvaluationError) as raised:
        identification(*sets, operating_points=[point])
    assert str(raised.value) == "the operating point is for templates 'mean', not for 'all'"


def test_the_probe_whose_score_gave_the_threshold_is_decided_alike_by_any_arithmetic():
    # other sums of the same pair differ by some 1e-7: a threshold at a score lets rounding decide
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((300, 128)).astype(np.float32)
    probes = np.concatenate([gallery[:150] + rng.standard_normal((150, 128)), gallery[:1]])
    probes = np.concatenate([probes, rng.standard_normal((200, 128))]).astype(np.float32)
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (probes, gallery)]
    names = [*(f"g{i}" for i in range(150)), "g0", *(f"s{i}" for i in range(200))]
    fpir = [0.3, 0.1, 0.05, 0.02]
    result = identification(sides[0], names, sides[1], [f"g{i}" for i in range(300)], fpir=fpir)
    for point in result.points:
        for kind in (np.float32, np.float64, np.longdouble):
            products = sides[0][151:].astype(kind) @ sides[1].astype(kind).T
            passed = int((products.max(axis=1) > point.threshold).sum())
            assert passed == point.false_positives <= point.fpir_target * 200


def test_where_no_number_lies_between_the_next_stranger_is_refused_too():
    # the best scores of four strangers: 0.5, two neighbouring float32, and 0.8
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    searched = room.Searched(
        best=np.array([0.5, low, high, 0.8, 1.0], np.float32),
        mate=np.array([-np.inf] * 4 + [1.0], np.float32),
        rank=np.array([3, 3, 3, 3, 1]),
        mated=np.array([False] * 4 + [True]),
        codes=np.arange(5),
        people=2,
    )
    found = measured(searched, "max", "cosine", fpir=[0.5, 0.25], ranks=[1])
    at_half, at_quarter = found.points
    assert (at_half.threshold, at_half.false_positives) == (high, 1)  # two were allowed
    assert at_quarter.threshold == pytest.approx((float(high) + 0.8) / 2)
    assert at_quarter.false_positives == 1


def test_identities_and_their_spelling_are_one_on_both_sides(sets):
    probes, probe_ids, gallery, gallery_ids = sets
    plain = identification(*sets, fpir=[0.2])
    ids = {name: f" {name}\u0065\u0301" for name in gallery_ids}  # decomposed, with a space
    named = [f"{name}\u00e9" for name in probe_ids]  # composed
    found = identification(probes, named, gallery, [ids[n] for n in gallery_ids], fpir=[0.2])
    assert found.to_dict() == plain.to_dict()


def test_a_rate_asked_for_later_is_what_it_would_have_been(sets):
    at_once = identification(*sets, fpir=[0.2, 0.1, 0.05], ranks=[1, 3])
    later = identification(*sets, fpir=[0.2], ranks=[1, 3])
    for fpir in (0.1, 0.05):
        assert later.at(fpir) == at_once.at(fpir)
        assert later.operating_point(fpir).threshold == at_once.at(fpir).threshold
    with pytest.raises(EvaluationError, match="FPIR of 1e-05 needs 100,000 non-mated probes"):
        later.at(1e-5)
    with pytest.raises(EvaluationError, match="a FPIR of 1 is not between 0 and 1"):
        later.operating_point(1)
