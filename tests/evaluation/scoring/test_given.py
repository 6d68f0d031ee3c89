"""Matrices too large to keep all scores: the same rates as from a list."""

import numpy as np
import pytest

from facever.evaluate import scores
from facever.evaluation.scoring import streaming
from facever.evaluation.scoring.products import LinearBins
from facever.evaluation.scoring.similarity import Scorer

FAR = [0.1, 0.01]


@pytest.mark.parametrize(
    "case", ["plain", "doubles", "offset", "far offset", "one set", "mask", "failures"]
)
def test_streamed_cells_are_counted_exactly(monkeypatch, case):
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(30, size=230), rng.integers(30, size=210)
    if case == "one set":
        columns = rows
    values = rng.standard_normal((len(rows), len(columns))) + 2 * (rows[:, None] == columns)
    kept, options = np.ones(values.shape, bool), {}
    if case == "one set":
        values, kept = (values + values.T) / 2, np.triu(kept, 1)
    if case.endswith("offset"):
        values += 1000 if case == "offset" else 1e5
    if case == "mask":
        kept = rng.random(values.shape) < 0.7
        same = rows[:, None] == columns
        values[~kept] = np.where(rng.random(values.shape) < rows[:, None] / 30, 1e3, -1e3)[~kept]
        options["mask"] = np.where(kept, np.where(same, 255, 127), 0).astype(np.uint8)
    if case == "failures":
        values[rng.random(values.shape) < 0.05] = np.nan
        options["failures"] = "nan"
    if case not in ("doubles", "far offset"):
        values = values.astype(np.float32)
    i, j = np.nonzero(kept)
    right = scores(
        values[i, j],
        identities=(rows[i], columns[j]),
        far=FAR,
        failures=options.get("failures", "refuse"),
    )
    monkeypatch.setattr(streaming, "WHOLE", 1000)
    sides = {"rows": rows, "columns": None if case == "one set" else columns}
    found = scores(values, **sides, **options, far=FAR)
    assert found.trials == right.trials
    assert found.auc.bound > 0
    assert found.auc.value == pytest.approx(right.auc.value, abs=found.auc.bound)
    assert found.eer.value == pytest.approx(right.eer.value, abs=found.eer.bound)
    widths = [one.auc_interval.high - one.auc_interval.low for one in (found, right)]
    assert widths[0] == pytest.approx(widths[1], rel=0.1 if case == "mask" else 0.5)
    assert found.auc_interval.low == pytest.approx(right.auc_interval.low, abs=0.005)
    assert found.auc_interval.note == "from the trials with a sample of rows"
    for far in (*FAR, 0.03):
        one, two = found.at(far), right.at(far)
        assert one.false_accepts == two.false_accepts
        assert one.true_accepts == two.true_accepts
        assert (one.interval, one.far_interval) == (two.interval, two.far_interval)
        assert one.threshold == pytest.approx(two.threshold, rel=1e-6)
    for pair, other in zip(found.worst_impostors[:5], right.worst_impostors[:5], strict=True):
        assert pair[2] == pytest.approx(other[2])
        assert values[pair[0], pair[1]] == pair[2]


def test_a_column_of_equal_scores_is_measured(monkeypatch):
    rows, columns = np.arange(60) % 7, np.arange(50) % 7
    monkeypatch.setattr(streaming, "WHOLE", 100)
    found = scores(np.full((60, 50), 0.5, np.float32), rows=rows, columns=columns, far=[0.1])
    assert found.auc.value == pytest.approx(0.5, abs=found.auc.bound)
    assert found.at(0.1).false_accepts == 0


def test_bins_of_scores_far_from_zero_are_within_their_bound():
    scorer = Scorer(np.ones((1, 1)), np.ones((1, 1)), low=1000.0, high=1001.0, error=0.0)
    linear = LinearBins.over(scorer, None, None)
    scores_of = np.random.default_rng(0).uniform(1000.01, 1000.99, 5000).astype(np.float32)
    bins = linear.of(scores_of, np.empty_like(scores_of)).astype(int)
    exact = scores_of.astype(np.float64)
    assert (linear.edges[bins] - linear.error <= exact).all()
    assert (exact <= linear.edges[bins + 1] + linear.error).all()
