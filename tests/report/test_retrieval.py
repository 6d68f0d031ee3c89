from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import retrieval
from facever.evaluation.one_to_many.retrieved import RetrievalResult
from facever.render.blocks import Comparisons
from facever.render.page import Report, render
from facever.report.measured import ranking

Reader = Callable[[str], Any]
pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def ranked(faces: EmbeddingSet) -> EmbeddingSet:
    subset = np.where(np.arange(len(faces)) % 4 == 0, "query", "gallery")
    return replace(faces, rows=faces.rows.assign(subset=subset))


@pytest.fixture(scope="module")
def result(ranked: EmbeddingSet) -> RetrievalResult:
    return retrieval(ranked)


def test_the_metrics_are_the_result(
    result: RetrievalResult, ranked: EmbeddingSet, read_page: Reader
) -> None:
    section = ranking(result, ranked, thumbnails=True)
    page = read_page(render(Report("t", "v", "m", [], [section])))
    (table,) = page.all("table")
    rows = {row.all("th")[0].clean: row.numbers for row in table.all("tbody")[0].all("tr")}
    assert rows["rank 1"][0] == result.rank(1)
    assert rows["mAP (plain)"][0] == result.map_plain
    assert rows["mAP (trapezoid, Market-1501)"][0] == result.map_trapezoid
    found = result.intervals["minp"]
    lost = result.with_failures(result.minp)
    assert rows["mINP"] == [result.minp, found.low, found.high, lost]
    for way in {interval.method for interval in result.intervals.values()}:
        assert f": {way}" in page.clean
    assert f"with failures: of {result.answerable} queries" in page.clean


def test_three_pictures_do_not_take_a_row(
    result: RetrievalResult, ranked: EmbeddingSet, read_page: Reader
) -> None:
    section = ranking(result, ranked, thumbnails=False)
    page = read_page(render(Report("t", "v", "m", [], [section])))
    assert page.of_class("li", "comparison")
    assert not page.of_class("li", "long")


def test_without_failures_there_is_no_column_of_them(
    result: RetrievalResult, ranked: EmbeddingSet, read_page: Reader
) -> None:
    whole = replace(result, answerable=None, warnings=["Mind the gap"])
    section = ranking(whole, ranked, thumbnails=False)
    page = read_page(render(Report("t", "v", "m", [], [section])))
    assert [len(row.numbers) for row in page.all("table")[0].all("tr")][-1] == 3
    assert "Mind the gap" in page.of_class("p", "warning")[0].text


def test_wrong_first_candidates_stand_beside_the_right_one(
    result: RetrievalResult, ranked: EmbeddingSet
) -> None:
    section = ranking(result, ranked, thumbnails=False)
    gallery = ranked.select((ranked.rows["subset"] == "gallery").to_numpy() & ranked.acquired)
    (shown,) = [block for block in section.blocks if isinstance(block, Comparisons)]
    assert shown.items
    for item, wrong in zip(shown.items, result.first_wrong, strict=False):
        taken, right = item.others
        assert item.probe.name == ranked.identities[wrong.query] == right.name
        assert taken.name == ranked.identities[wrong.candidate] != right.name
        scores = gallery.vectors @ ranked.vectors[wrong.query]
        assert taken.score.value == pytest.approx(scores.max(), abs=1e-6)
        best = scores[gallery.identities == right.name].max()
        assert right.score.value == pytest.approx(best, abs=1e-6)
