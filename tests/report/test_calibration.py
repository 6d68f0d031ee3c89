from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.one_to_one.calibration import calibrate
from facever.render.page import Report, render
from facever.report.measured import warned

Reader = Callable[[str], Any]
pytestmark = pytest.mark.usefixtures("quick_figures")


def test_the_bins_and_the_costs_are_the_result(faces: EmbeddingSet, read_page: Reader) -> None:
    held = faces.select(faces.acquired)
    result = calibrate(held.vectors, held.identities)
    page = read_page(render(Report("t", "v", "m", [], [warned(result)])))
    rows = [row.numbers for row in page.table("Probabilities at a prior of")]
    assert len(rows) == len(result.reliability) > 1
    for row, found in zip(rows, result.reliability, strict=True):
        assert row == [
            found.predicted,
            found.observed,
            found.interval.low,
            found.interval.high,
            found.genuine,
            found.impostor,
        ]
    assert f"{result.cllr:.4f}" in page.text
    assert f"{result.cllr_min:.4f}" in page.text
    assert "fitted on 6 people and tested on 6 others" in page.text
    assert not page.of_class("p", "warning")
    known = replace(result, warnings=["known people"])
    page = read_page(render(Report("t", "v", "m", [], [warned(known)])))
    assert "known people" in page.of_class("p", "warning")[0].text
