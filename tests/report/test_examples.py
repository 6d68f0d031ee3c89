from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facever.render.blocks import Comparisons, Section
from facever.report.examples import (
    Candidate,
    Face,
    SearchExample,
    VerificationExample,
    examples_section,
)

ADA, BEN = Face("Ada", None), Face("Ben", None)


def blocks(section: Section) -> list[Comparisons]:
    assert all(isinstance(block, Comparisons) for block in section.blocks)
    return [block for block in section.blocks if isinstance(block, Comparisons)]


@pytest.mark.parametrize(
    ("accepted", "enrolled", "verdict", "tones"),
    [
        ([True, False], True, "answer: Ada (right)", ["good", "neutral"]),
        ([True, True], True, "answer: Ada (right)", ["good", "bad"]),
        ([False, False], True, "answer: unknown person (wrong: is enrolled)", ["neutral"] * 2),
        ([False, False], False, "answer: unknown person (right: is not enrolled)", ["neutral"] * 2),
        # a namesake of somebody who is not enrolled is another person
        ([True, False], False, "answer: Ada (wrong)", ["bad", "neutral"]),
    ],
)
def test_searches(accepted: list[bool], enrolled: bool, verdict: str, tones: list[str]) -> None:
    candidates = [
        Candidate(face, score, passed)
        for face, score, passed in zip((ADA, BEN), (0.7, 0.3), accepted, strict=True)
    ]
    section = examples_section([SearchExample(ADA, candidates, enrolled)], [], "the rule")
    (item,) = blocks(section)[0].items
    assert section.lead == "the rule"
    assert item.verdict == verdict
    assert item.tone == ("good" if "right" in verdict else "bad")
    assert [picture.tone for picture in item.others] == tones
    assert [picture.score and picture.score.value for picture in item.others] == [0.7, 0.3]


def test_a_search_in_an_empty_gallery() -> None:
    section = examples_section([SearchExample(ADA, [], enrolled=False)], [], "")
    assert blocks(section)[0].items[0].verdict.startswith("answer: unknown person (right")


@pytest.mark.parametrize(
    ("other", "accepted", "verdict"),
    [
        (ADA, True, "same person (right)"),
        (ADA, False, "different people (wrong)"),
        (BEN, True, "same person (wrong)"),
        (BEN, False, "different people (right)"),
    ],
)
def test_verifications(other: Face, accepted: bool, verdict: str) -> None:
    section = examples_section([], [VerificationExample(ADA, other, 0.42, accepted)], "")
    (item,) = blocks(section)[0].items
    assert item.verdict == verdict
    assert item.score is not None
    assert item.score.value == 0.42


@pytest.mark.parametrize("thumbnails", [True, False])
def test_pictures(tmp_path: Path, thumbnails: bool) -> None:
    path = tmp_path / "ada.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    example = VerificationExample(Face("Ada", path), BEN, 0.1, False)
    section: Any = examples_section([], [example], "", thumbnails)
    item = blocks(section)[0].items[0]
    assert (item.probe.uri is not None) == thumbnails
    assert item.others[0].reason == ("no picture known" if thumbnails else "")


@pytest.mark.parametrize(
    ("enrolled", "verdict"),
    [
        (True, "nearest: Ada (right)"),
        (False, "nearest: Ada (the person asked about is not enrolled)"),
    ],
)
def test_a_search_that_nothing_decides(enrolled: bool, verdict: str) -> None:
    candidates = [Candidate(ADA, 0.7, None), Candidate(BEN, 0.3, None)]
    section = examples_section([SearchExample(ADA, candidates, enrolled)], [], "")
    (item,) = blocks(section)[0].items
    assert (item.verdict, item.tone) == (verdict, "neutral")
    assert [picture.tone for picture in item.others] == ["neutral", "neutral"]


def test_a_verification_that_nothing_decides() -> None:
    section = examples_section([], [VerificationExample(ADA, BEN, 0.4, None)], "")
    (item,) = blocks(section)[0].items
    assert (item.verdict, item.tone) == ("no decision (in truth different people)", "neutral")
