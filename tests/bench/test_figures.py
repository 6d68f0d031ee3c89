"""Figures of benchmarks: a disturbed round does not become a verdict."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "tools" / "bench"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "_figures", raising=False)
    import _figures

    return _figures


def test_rounds_are_their_median_and_know_their_quartiles(figures) -> None:
    values = [2.0, 2.1, 18.6, 1.9, 2.05]
    rounds = figures.Rounds(values)
    assert rounds == np.median(values)
    lower, upper = np.quantile(values, [0.25, 0.75])
    assert rounds.spread == pytest.approx((upper - lower) / np.median(values))
    assert figures.Rounds([3.0]).spread == 0
    assert figures.ratios([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == 2


@pytest.mark.parametrize(
    ("values", "met", "status"),
    [
        ([2.0, 2.1, 18.6, 1.9, 2.05], True, "met"),  # one disturbed round of five decides nothing
        ([2.6, 2.5, 2.7, 2.55], False, "missed"),
        ([1.0, 18.6, 2.0, 17.0, 1.5], None, "unstable"),
        ([9.0, 18.6, 20.0, 7.0], None, "unstable"),  # neither met nor missed
    ],
)
def test_rounds_that_disagree_are_unstable(figures, values, met, status) -> None:
    figure = figures.at_most("heads", figures.Rounds(values), "x", 2.5)
    assert (figure.met, figure.status) == (met, status)
    (written,) = json.loads(figures.as_json([figure]))["figures"]
    assert {"name", "value", "unit", "wanted", "met", "status", "spread"} == written.keys()
    assert written["met"] is met
    line = figures.as_table([figure])
    assert ("unstable" in line) == (met is None)
    assert ("met" in line or "missed" in line) == (met is not None)


def test_one_number_is_met_or_missed(figures) -> None:
    assert figures.at_least("memory", 3.0, "MB", 2.0).met is True
    assert figures.at_least("memory", 1.0, "MB", 2.0).status == "missed"
    assert figures.at_most("memory", 1.0, "MB", None).met is None
    assert figures.at_most("memory", 1.0, "MB", None).status is None
    found = {"part": {"over": figures.Rounds([1.0, 5.0, 9.0])}}
    (figure,) = figures.figures_of(found, {"over": (figures.at_most, 2.0)})
    assert figure.status == "unstable"
