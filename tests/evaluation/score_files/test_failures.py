"""Failed comparisons (NaN) are refused, or counted as rejected in every rate."""

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import calibrate_scores, scores

FAR = [0.1, 0.02]


@pytest.fixture
def failing(made):
    """Scores of which some failed, in both classes, and the identities of both sides."""
    values, rows, columns = made()
    lost = np.random.default_rng(3).random(values.shape) < 0.1
    return np.where(lost, np.nan, values).astype(np.float32), rows, columns


def recount(genuine, impostor, far):
    """Count by a loop: a failed comparison is above no threshold."""
    allowed = int(far * len(impostor))
    descending = sorted((s for s in impostor if s == s), reverse=True)
    at = descending[allowed]
    return (
        sum(1 for s in impostor if s == s and s > at),
        sum(1 for s in genuine if s == s and s > at),
    )


def test_they_are_refused_unless_they_are_asked_to_count(failing, tmp_path):
    values, rows, columns = failing
    (tmp_path / "bob.txt").write_text("a m a p 0.9\na m b q nan\nb n a p 0.1\n")
    for source, sides in (
        (values, {"rows": rows, "columns": columns}),
        (tmp_path / "bob.txt", {}),
    ):
        with pytest.raises(EvaluationError, match=r"--failures nan \(in Python failures='nan'\)"):
            scores(source, **sides)
    with pytest.raises(EvaluationError, match="unknown value of failures 'drop'"):
        scores(tmp_path / "bob.txt", failures="drop")
    with pytest.raises(EvaluationError, match="no comparison has a score"):
        scores([np.nan, np.nan], [0, 1], failures="nan")
    with pytest.raises(EvaluationError, match="no comparison has a score"):
        scores(np.full((2, 2), np.nan), rows=["a", "b"], columns=["a", "b"], failures="nan")
    with pytest.raises(EvaluationError, match="not finite"):
        calibrate_scores(tmp_path / "bob.txt")


@pytest.mark.parametrize("distances", [False, True])
def test_they_are_rejected_in_every_rate(failing, listed, alike, distances):
    values, rows, columns = failing
    sides = {"far": FAR, "failures": "nan", "distances": distances}
    given = -values if distances else values
    found = scores(given, rows=rows, columns=columns, **sides)
    one, pairs = listed(given, rows, columns)
    alike(found, scores(one, identities=pairs, **sides))
    same = rows[:, None] == columns
    genuine, impostor = values[same].tolist(), values[~same].tolist()
    assert (found.trials.genuine, found.trials.impostor) == (len(genuine), len(impostor))
    lost = np.isnan(values)
    counts = found.to_dict()["failure_to_compare"]
    assert counts["genuine"]["failed"] == (lost & same).sum()
    assert counts["impostor"]["failed"] == (lost & ~same).sum()
    assert counts["impostor"]["attempts"] == len(impostor)
    for far in FAR:
        point = found.at(far)
        assert (point.false_accepts, point.true_accepts) == recount(genuine, impostor, far)
        assert point.fnmr == 1 - point.true_accepts / len(genuine)
    known = [s for s in genuine if s == s]
    assert max(1 - found.curve.fnmr[1:]) <= len(known) / len(genuine)
    assert f"{(lost & same).sum():,} of {len(genuine):,} genuine" in found.to_text()
    lowest = min(s for s in (*known, *impostor) if s == s)
    assert all(score >= lowest for _, _, score in found.worst_genuine)


def test_a_high_far_does_not_accept_them():
    values = [0.9, np.nan, 0.5, 0.4, np.nan, np.nan]
    found = scores(values, [1, 1, 0, 0, 0, 0], far=[0.9], failures="nan")
    point = found.at(0.9)
    assert (point.false_accepts, point.true_accepts) == (2, 1)


def test_without_failures_the_counts_are_zero(made):
    values, rows, columns = made()
    found = scores(values, rows=rows, columns=columns, far=FAR, failures="nan")
    plain = scores(values, rows=rows, columns=columns, far=FAR)
    assert found.comparisons.genuine.failed == found.comparisons.impostor.failed == 0
    assert plain.comparisons is None
    assert plain.to_dict()["failure_to_compare"] is None
    assert found.auc == plain.auc
