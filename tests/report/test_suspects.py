from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facever.evaluation.one_to_one.suspects import Suspects
from facever.report.page import Report, render
from facever.report.suspects import suspects_section
from facever.vectors.embedding_set import EmbeddingSet

Reader = Callable[[str], Any]


@pytest.fixture
def show(faces: EmbeddingSet, read_page: Reader) -> Callable[[Suspects], Any]:
    def shown(suspects: Suspects) -> Any:
        return read_page(
            render(Report("t", "v", "m", [], [suspects_section(suspects, faces, True)]))
        )

    return shown


def test_suspects_are_shown_with_their_names_and_scores(show: Callable[[Suspects], Any]) -> None:
    page = show(Suspects(0.5, 0.1, 1234, [(0, 8, 0.9), (4, 45, 0.8)], [(6, -0.3)], 1))
    for text in (
        "1,234 pairs of two names score above 0.5000",
        "1 images score at most 0.1000",
        "0.9000",
        "0.8000",
        "-0.3000",
        "person_00",
        "person_02",
        "person_11",
    ):
        assert text in page.text


def test_a_stray_stands_beside_embedded_images_of_its_name(
    show: Callable[[Suspects], Any], faces: EmbeddingSet
) -> None:
    section = suspects_section(Suspects(0.5, 0.1, 0, [], [(6, -0.3)], 1), faces, True)
    (item,) = section.blocks[0].items
    assert item.probe.name == faces.identities[6]
    beside = {picture.detail for picture in item.others}
    same = np.flatnonzero((faces.identities == faces.identities[6]) & faces.acquired)
    assert beside == {faces.rows["path"].iloc[row].split("/")[1] for row in same if row != 6}


def test_no_suspects_are_said_to_be_none(show: Callable[[Suspects], Any]) -> None:
    assert "no image is further from its own name" in show(Suspects(0.5, 0.1, 0, [], [], 0)).text
    assert "no image is further" not in show(Suspects(0.5, 0.1, 0, [])).text


def test_at_most_twelve_of_each(faces: EmbeddingSet) -> None:
    many = Suspects(0.5, 0.1, 40, [(0, 8, 0.9)] * 40, [(6, -0.3)] * 40, 40)
    assert [len(block.items) for block in suspects_section(many, faces, False).blocks] == [12, 12]
