import json
import sys

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.identification import identification

room = sys.modules[
    "facever.evaluation.one_to_many.identification"
]  # the function has the module's name


@pytest.fixture
def sets(make_faces, monkeypatch):
    monkeypatch.setattr(room, "_PROBES", 11)
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
            own = gallery[gallery_ids == person].astype(np.float32) @ probe
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
        threshold = strangers[int(point.fpir_target * len(strangers))]
        assert point.threshold == pytest.approx(threshold, abs=1e-6)
        assert point.false_positives == int(point.fpir_target * len(strangers))
        for rank in (1, 3):
            missed = sum(not (r <= rank and s > point.threshold + 1e-7) for s, r in mates)
            assert point.missed[rank] == missed
            low, high = (getattr(point.fnir_intervals[rank], end) for end in ("low", "high"))
            assert low <= missed / len(mates) <= high
    assert [refused.needs for refused in result.refused] == [10_000]
    for rank in (1, 3):
        assert result.cmc[rank] == np.mean([r <= rank for _, r in mates])


def test_the_det_is_counted_at_every_threshold(sets):
    result = identification(*sets)
    rows = by_loop(*sets, "max")
    for at in (0, 1, 10, len(result.thresholds) - 1):
        t = result.thresholds[at]
        missed = [not (r == 1 and s > t) for _, s, r in rows if s is not None]
        strangers = [best for best, mate, _ in rows if mate is None]
        assert result.fpir[at] == pytest.approx(np.mean([b > t + 1e-6 for b in strangers]))
        assert result.fnir[at] == pytest.approx(np.mean(missed))


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
    with pytest.raises(EvaluationError, match=r"FPIR 0\.3 was not measured"):
        result.operating_point(0.3)


def test_results_have_their_keys_and_text(sets):
    result = identification(*sets, fpir=[0.2, 1e-4])
    values = json.loads(json.dumps(result.to_dict()))
    assert values["probes"] == {"mated": result.mated, "nonmated": result.nonmated}
    assert {"fpir", "threshold", "fnir", "fpir_interval"} <= set(values["operating_points"][0])
    assert "is refused: it needs 10,000 non-mated probes" in result.to_text()


def test_bad_input_is_one_clear_line(sets):
    probes, probe_ids, gallery, gallery_ids = sets
    known = np.isin(probe_ids, gallery_ids)
    cases = [
        ((probes[known], probe_ids[known], gallery, gallery_ids), {}, "no non-mated probes"),
        ((probes[~known], probe_ids[~known], gallery, gallery_ids), {}, "no mated probes"),
        (sets, {"rule": "median"}, "unknown score rule 'median'"),
        (sets, {"ranks": [0]}, "ranks count from 1"),
        (sets, {"fpir": [2]}, "not between 0 and 1"),
        ((probes, probe_ids[1:], gallery, gallery_ids), {}, "149 probe identities for 150"),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            identification(*arrays, **options)
