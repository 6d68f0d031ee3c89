"""How probable it is that the first candidate is right, against a loop over the probes."""

import numpy as np
import pytest

from facever.core.seeding import stream
from facever.errors import EvaluationError
from facever.evaluate import identification
from facever.evaluation.one_to_many.first_candidate import calibrate_search
from facever.evaluation.one_to_many.search import Searched
from facever.evaluation.one_to_one.likelihood import cllr, fit


def by_loop(probes, probe_ids, gallery, gallery_ids):
    """Return each probe's best score and whether its person is alone at the top."""
    best, right = [], []
    for probe, name in zip(probes, probe_ids, strict=True):
        scores = {n: max(float(v @ probe) for v in gallery[gallery_ids == n]) for n in gallery_ids}
        top = max(scores.values())
        best.append(top)
        right.append([n for n, s in scores.items() if s == top] == [name])
    return np.array(best), np.array(right)


def test_it_is_fitted_and_judged_on_first_candidates_of_other_people(make_faces):
    probes, probe_ids = make_faces(400, people=40, spread=0.9)
    gallery, gallery_ids = make_faces(120, people=40, spread=0.9, seed=0)
    kept = gallery_ids < "p025"
    sides = probes, probe_ids, gallery[kept], gallery_ids[kept]
    found = identification(sides[:2], sides[2:], calibrate="logistic", prior=0.4)
    result = found.calibration
    best, right = by_loop(*sides)
    first = {}  # people by number, in the order in which the probes name them
    codes = np.array([first.setdefault(name, len(first)) for name in probe_ids])
    people = np.unique(codes)
    stream(0, "calibration").shuffle(people)
    fitted = np.isin(codes, people[: len(people) // 2])
    line = fit(best[fitted].astype(np.float32), right[fitted])
    assert result.calibration.llr([0.2, 0.8]) == pytest.approx(line.llr([0.2, 0.8]), abs=1e-3)
    assert result.cllr == pytest.approx(cllr(line.llr(best[~fitted]), right[~fitted]), abs=1e-4)
    counts = [one.model_dump() for one in result.trials]
    assert counts[0] == {"genuine": right[fitted].sum(), "impostor": (~right[fitted]).sum()}
    assert counts[1] == {"genuine": right[~fitted].sum(), "impostor": (~right[~fitted]).sum()}
    assert result.people == (20, 20)
    assert (result.kind, result.score_rule, result.gallery_size) == (
        "1:N",
        "max",
        len(set(sides[3])),
    )
    assert result.prior == 0.4
    wrong_mates = np.isin(probe_ids, sides[3]) & ~right
    assert wrong_mates.any()  # a wrong candidate of a mated probe is an impostor trial


def made_up(rank):
    size = len(rank)
    return Searched(
        np.linspace(0, 1, size).astype(np.float32),
        np.zeros(size, np.float32),
        np.array(rank),
        np.ones(size, bool),
        np.arange(size),
        9,
    )


@pytest.mark.parametrize(("rank", "kind"), [([1] * 6, "right"), ([2] * 6, "wrong")])
def test_without_an_exception_there_is_nothing_to_calibrate(rank, kind):
    with pytest.raises(EvaluationError, match=f"^every first candidate is {kind}: calibration "):
        calibrate_search(made_up(rank), "max", "cosine")


def test_a_half_of_one_kind_is_one_clear_line():
    with pytest.raises(EvaluationError, match=r"^calibration of the first candidates failed: no "):
        calibrate_search(made_up([1, 2, 2, 2]), "max", "cosine")
