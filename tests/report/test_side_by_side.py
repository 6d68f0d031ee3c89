from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import compare, verification
from facever.evaluation.one_to_one.compare import ComparisonResult
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.render.page import render
from facever.report.side_by_side import Contestant, side_by_side

Reader = Callable[[str], Any]
FARS = [1e-1, 1e-2]
pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def sets(faces: EmbeddingSet) -> tuple[EmbeddingSet, EmbeddingSet]:
    noise = stream(0, "worse").normal(size=faces.vectors.shape)
    worse = faces.vectors + 0.4 * noise
    worse /= np.linalg.norm(worse, axis=1, keepdims=True)
    worse[~faces.acquired] = 0
    return faces, replace(faces, vectors=worse.astype(np.float32))


@pytest.fixture(scope="module")
def results(sets: tuple[EmbeddingSet, EmbeddingSet]) -> list[VerificationResult]:
    return [verification(each, far=FARS) for each in sets]


@pytest.fixture(scope="module")
def comparison(sets: tuple[EmbeddingSet, EmbeddingSet]) -> ComparisonResult:
    return compare(*sets, far=FARS)


def test_every_model_has_its_rates(
    results: list[VerificationResult], comparison: ComparisonResult, read_page: Reader
) -> None:
    report = side_by_side([Contestant("<a>", results[0]), Contestant("b", results[1], comparison)])
    page = read_page(render(report))
    rows = page.table("Rates of each model")
    wanted = [
        [point.far_target, point.far, point.tar, point.interval.low, point.interval.high]
        for result in results
        for point in result.operating_points
    ]
    assert [row.numbers[:5] for row in rows] == wanted
    differences = page.table("TAR of each model minus TAR of <a>")
    for row, point in zip(differences, comparison.points, strict=True):
        ends = point.difference.low, point.difference.high
        assert row.numbers == [
            point.first.far_target, point.second.tar - point.first.tar, *ends,
        ]  # fmt: skip
    assert "resolved" in report.verdict
    assert "<a>" in page.text


def test_models_on_other_pairs_are_not_compared(
    results: list[VerificationResult], read_page: Reader
) -> None:
    report = side_by_side(
        [
            Contestant("a", results[0]),
            Contestant("b", results[1], why_not="the rows differ in the column path"),
        ]
    )
    page = read_page(render(report))
    assert "b is not compared with a: the rows differ in the column path." in page.text
    assert "minus TAR" not in page.text
    assert report.verdict == "No two models were compared on the same pairs"


def test_few_errors_refused_rates_and_the_training_are_said(
    sets: tuple[EmbeddingSet, EmbeddingSet], read_page: Reader
) -> None:
    fars = [1e-1, 1e-2, 1e-5]
    results = [verification(each, far=fars) for each in sets]
    compared = compare(*sets, far=fars)
    report = side_by_side([Contestant("a", results[0]), Contestant("b", results[1], compared)])
    page = read_page(render(report))
    points = [point for result in results for point in result.operating_points]
    marked = [row.text.count("(few)") for row in page.table("Rates of each model")]
    assert marked == [(p.false_accepts < 30) + (p.false_rejects < 30) for p in points]
    assert [row.numbers[-1] for row in page.table("Rates of each model")] == [1] * 4
    judged = [row.children[-1].text for row in page.table("TAR of each model minus")]
    assert [text.endswith("(few)") for text in judged] == [point.few for point in compared.points]
    assert any(point.few for point in compared.points)
    assert "(few): fewer than 30 errors" in page.text
    for name in "ab":
        assert f"{name}: FAR 1e-5 is refused: it needs 100,000 impostor pairs" in page.clean
        assert f"{name}: overlap with the training data: none" in page.clean


def test_the_data_behind_the_page(
    results: list[VerificationResult], comparison: ComparisonResult
) -> None:
    report = side_by_side([Contestant("a", results[0]), Contestant("b", results[1], comparison)])
    one, two = report.data["models"]
    assert (one["name"], one["verification"]) == ("a", results[0].to_dict())
    assert (one["against_first"], two["against_first"]) == (None, comparison.to_dict())


def test_the_headline_says_which_models_know_the_people(
    sets: tuple[EmbeddingSet, EmbeddingSet], read_page: Reader
) -> None:
    known = pd.DataFrame({"identity": sets[1].identities[:1], "dataset": "old"})
    both = sets[0], replace(sets[1], trained_on=known)
    results = [verification(each, far=FARS) for each in both]
    pair = compare(*both, far=FARS)
    contestants = [Contestant("A", results[0]), Contestant("B", results[1], pair)]
    page = read_page(render(side_by_side(contestants)))
    said = f"trained on 1 of the {results[1].overlap.people} people"
    assert page.of_class("p", "verdict")[0].clean.endswith(f"; B: {said}")
    first, second = page.of_class("div", "tile")
    assert said not in first.clean
    assert said in second.clean
