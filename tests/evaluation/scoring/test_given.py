"""Matrices too large to keep all scores: the same rates as from a list."""

import numpy as np
import pytest

from facever.evaluate import scores
from facever.evaluation.scoring import streaming

FAR = [0.1, 0.01]


@pytest.mark.parametrize("case", ["plain", "doubles", "offset", "one set", "mask", "failures"])
def test_streamed_cells_are_counted_exactly(monkeypatch, case):
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(30, size=230), rng.integers(30, size=210)
    if case == "one set":
        columns = rows
    values = rng.standard_normal((len(rows), len(columns))) + 2 * (rows[:, None] == columns)
    kept, options = np.ones(values.shape, bool), {}
    if case == "one set":
        values, kept = (values + values.T) / 2, np.triu(kept, 1)
    if case == "offset":
        values += 1000
    if case == "mask":
        kept = rng.random(values.shape) < 0.7
        same = rows[:, None] == columns
        options["mask"] = np.where(kept, np.where(same, 255, 127), 0).astype(np.uint8)
    if case == "failures":
        values[rng.random(values.shape) < 0.05] = np.nan
        options["failures"] = "nan"
    if case != "doubles":
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
    assert found.auc_interval.low == pytest.approx(right.auc_interval.low, abs=0.01)
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
