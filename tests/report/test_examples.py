from dataclasses import replace

import pytest

from facever.operating_point import OperatingPoint
from facever.render.blocks import Comparisons, Picture, Section
from facever.render.numbers import score
from facever.report.examples import SearchExample, VerificationExample, examples_section

ADA, BEN = Picture("Ada"), Picture("Ben")
POINT = OperatingPoint(
    kind="1:N",
    threshold=0.5,
    target_rate=0.1,
    achieved_rate=0.1,
    trials={"genuine": 10, "impostor": 10},
    score_rule="max",
    gallery_size=2,
)


def scored(*scores: float) -> list[Picture]:
    return [replace(one, score=score(of)) for one, of in zip((ADA, BEN), scores, strict=True)]


def blocks(section: Section) -> list[Comparisons]:
    assert all(isinstance(block, Comparisons) for block in section.blocks)
    return [block for block in section.blocks if isinstance(block, Comparisons)]


@pytest.mark.parametrize(
    ("scores", "enrolled", "verdict", "tones"),
    [
        ([0.7, 0.3], True, "answer: Ada (correct)", ["good", "neutral"]),
        ([0.8, 0.7], True, "answer: Ada (correct)", ["good", "bad"]),
        ([0.5, 0.3], True, "answer: unknown person (wrong: enrolled)", ["neutral"] * 2),
        ([0.5, 0.3], False, "answer: unknown person (correct: not enrolled)", ["neutral"] * 2),
        # a namesake of somebody who is not enrolled is another person
        ([0.7, 0.3], False, "answer: Ada (wrong)", ["bad", "neutral"]),
    ],
)
def test_searches(scores: list[float], enrolled: bool, verdict: str, tones: list[str]) -> None:
    section = examples_section(
        [SearchExample(ADA, scored(*scores), POINT, enrolled)], [], "the rule"
    )
    (item,) = blocks(section)[0].items
    assert section.lead == "the rule"
    assert item.verdict == verdict
    assert item.tone == ("good" if "correct" in verdict else "bad")
    assert [picture.tone for picture in item.others] == tones
    assert [picture.score and picture.score.value for picture in item.others] == scores


def test_a_search_in_an_empty_gallery() -> None:
    section = examples_section([SearchExample(ADA, [], POINT, enrolled=False)], [], "")
    assert blocks(section)[0].items[0].verdict.startswith("answer: unknown person (correct")


@pytest.mark.parametrize(
    ("other", "accepted", "verdict"),
    [
        (ADA, True, "same person (correct)"),
        (ADA, False, "different people (wrong)"),
        (BEN, True, "same person (wrong)"),
        (BEN, False, "different people (correct)"),
    ],
)
def test_verifications(other: Picture, accepted: bool, verdict: str) -> None:
    section = examples_section([], [VerificationExample(ADA, other, 0.42, accepted)], "")
    (item,) = blocks(section)[0].items
    assert item.verdict == verdict
    assert item.score is not None
    assert item.score.value == 0.42


@pytest.mark.parametrize(
    ("enrolled", "verdict"),
    [
        (True, "nearest: Ada (correct)"),
        (False, "nearest: Ada (the probe's person is not enrolled)"),
    ],
)
def test_a_search_that_nothing_decides(enrolled: bool, verdict: str) -> None:
    section = examples_section([SearchExample(ADA, scored(0.7, 0.3), None, enrolled)], [], "")
    (item,) = blocks(section)[0].items
    assert (item.verdict, item.tone) == (verdict, "neutral")
    assert [picture.tone for picture in item.others] == ["neutral", "neutral"]


def test_a_verification_that_nothing_decides() -> None:
    section = examples_section([], [VerificationExample(ADA, BEN, 0.4, None)], "")
    (item,) = blocks(section)[0].items
    assert (item.verdict, item.tone) == ("no decision (truth: different people)", "neutral")
