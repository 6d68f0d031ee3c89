from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facever.evaluation import retrieval
from facever.evaluation.one_to_many.retrieval import RetrievalResult
from facever.report.page import Comparisons, Report, render
from facever.report.retrieval import retrieval_section
from facever.vectors.embedding_set import EmbeddingSet

Reader = Callable[[str], Any]
pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def sides(faces: EmbeddingSet) -> tuple[EmbeddingSet, EmbeddingSet]:
    held = faces.select(faces.acquired)
    first = np.arange(len(held)) % 4 == 0
    return held.select(first), held.select(~first)


@pytest.fixture(scope="module")
def result(sides: tuple[EmbeddingSet, EmbeddingSet]) -> RetrievalResult:
    queries, gallery = sides
    return retrieval(queries.vectors, queries.identities, gallery.vectors, gallery.identities)


def test_the_metrics_are_the_result(
    result: RetrievalResult, sides: tuple[EmbeddingSet, EmbeddingSet], read_page: Reader
) -> None:
    section = retrieval_section(result, *sides, thumbnails=True)
    page = read_page(render(Report("t", "v", "m", [], [section])))
    rows = {
        (row.all("th") + row.all("td"))[0].clean: row.numbers for row in page.table("Retrieval")
    }
    assert rows["rank 1"][0] == result.rank(1)
    assert rows["mAP, plain"][0] == result.map_plain
    assert rows["mAP, trapezoid (official Market-1501)"][0] == result.map_trapezoid
    found = result.intervals["minp"]
    assert rows["mINP"] == [result.minp, found.low, found.high]


def test_wrong_first_candidates_stand_beside_the_right_one(
    result: RetrievalResult, sides: tuple[EmbeddingSet, EmbeddingSet]
) -> None:
    queries, gallery = sides
    section = retrieval_section(result, queries, gallery, thumbnails=False)
    (shown,) = [block for block in section.blocks if isinstance(block, Comparisons)]
    assert shown.items
    for item, wrong in zip(shown.items, result.first_wrong, strict=False):
        taken, right = item.others
        assert item.probe.name == queries.identities[wrong.query] == right.name
        assert taken.name == gallery.identities[wrong.candidate] != right.name
        scores = gallery.vectors @ queries.vectors[wrong.query]
        assert taken.score.value == pytest.approx(scores.max(), abs=1e-6)
        best = scores[gallery.identities == right.name].max()
        assert right.score.value == pytest.approx(best, abs=1e-6)
