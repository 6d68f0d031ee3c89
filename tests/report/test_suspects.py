from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import verification
from facever.evaluation.one_to_one.suspects import Suspects
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.render.blocks import Comparisons, Section
from facever.render.page import Report, render
from facever.report import accuracy

Reader = Callable[[str], Any]


@pytest.fixture(scope="module")
def result(faces: EmbeddingSet) -> VerificationResult:
    return verification(faces, far=[0.1])


@pytest.fixture
def section_of(faces: EmbeddingSet, result: VerificationResult) -> Callable[[Suspects], Section]:
    def found(suspects: Suspects) -> Section:
        sections = accuracy.sections(replace(result, suspects=suspects), faces)
        return next(section for section in sections if section.anchor == "suspects")

    return found


def text(section: Section, read_page: Reader) -> str:
    return read_page(render(Report("t", "v", "m", [], [section]))).text


def compared(section: Section) -> list[Comparisons]:
    return [block for block in section.blocks if isinstance(block, Comparisons)]


def test_suspects_are_shown_with_their_names_and_scores(
    section_of: Callable[[Suspects], Section], read_page: Reader
) -> None:
    suspects = Suspects(0.5, 0.1, 1234, [(0, 8, 0.9), (4, 45, 0.8)], [(6, -0.3)], 1)
    shown = text(section_of(suspects), read_page)
    for part in (
        "1,234 impostor pairs score above 0.5",
        "of 1 images are all at most 0.1",
        "0.9",
        "0.8",
        "-0.3",
        "person_00",
        "person_02",
        "person_11",
    ):
        assert part in shown


def test_a_stray_stands_beside_embedded_images_of_its_name(
    section_of: Callable[[Suspects], Section], faces: EmbeddingSet
) -> None:
    _, strays = compared(section_of(Suspects(0.5, 0.1, 0, [], [(6, -0.3)], 1)))
    (item,) = strays.items
    assert item.probe.name == faces.identities[6]
    beside = {picture.detail for picture in item.others}
    same = np.flatnonzero((faces.identities == faces.identities[6]) & faces.acquired)
    assert beside == {faces.rows["path"].iloc[row].split("/")[1] for row in same if row != 6}


def test_strays_that_were_not_looked_for_are_said_so(
    section_of: Callable[[Suspects], Section], read_page: Reader
) -> None:
    not_looked = "mislabelled images are searched for in a single set"
    assert not_looked in text(section_of(Suspects(0.5, 0.1, 0, [])), read_page)
    assert not_looked not in text(section_of(Suspects(0.5, 0.1, 0, [], [], 0)), read_page)


def test_at_most_twelve_of_each(section_of: Callable[[Suspects], Section]) -> None:
    many = Suspects(0.5, 0.1, 40, [(0, 8, 0.9)] * 40, [(6, -0.3)] * 40, 40)
    assert [len(block.items) for block in compared(section_of(many))] == [12, 12]
