"""The section that shows a gallery at work: searches and verifications of single pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facever.report.numbers import score
from facever.report.page import Block, Comparison, Comparisons, Picture, Section, Tone
from facever.report.thumbnails import portrait


@dataclass(frozen=True)
class Face:
    """A picture of someone.

    Args:
        name: Whom it shows, or whom it is taken for.
        path: The image; None where it is not known.
    """

    name: str
    path: str | Path | None


@dataclass(frozen=True)
class Candidate:
    """A person whom a search found, best first.

    Args:
        face: The enrolled picture.
        score: Against the probe.
        accepted: Whether the score is above the threshold.
    """

    face: Face
    score: float
    accepted: bool


@dataclass(frozen=True)
class SearchExample:
    """A probe that was searched in a gallery.

    Args:
        probe: The picture that was searched for, with the name of whom it truly shows.
        candidates: Whom the gallery gave, best first.
        enrolled: Whether the probe's person is in the gallery.
    """

    probe: Face
    candidates: Sequence[Candidate]
    enrolled: bool


@dataclass(frozen=True)
class VerificationExample:
    """Two pictures that were compared.

    Args:
        a, b: The pictures, with the names of whom they truly show.
        score: Their score.
        accepted: Whether it is above the threshold.
    """

    a: Face
    b: Face
    score: float
    accepted: bool


def examples_section(
    searches: Sequence[SearchExample],
    verifications: Sequence[VerificationExample],
    rule: str,
    thumbnails: bool = True,
) -> Section:
    """Show what a gallery answered.

    Args:
        searches: Probes and whom the gallery gave.
        verifications: Pairs and whether they were accepted.
        rule: The decision rule in a sentence: which threshold, and where it is from.
        thumbnails: Whether pictures are shown.
    """
    blocks: list[Block] = []
    if searches:
        blocks.append(
            Comparisons(
                "Who is this?",
                "On the left the picture that was asked about, then the most alike people of the "
                "gallery. A frame marks a score above the threshold: green is the right person, "
                "red another one.",
                [_search(example, thumbnails) for example in searches],
            )
        )
    if verifications:
        blocks.append(
            Comparisons(
                "Is this the same person?",
                "Two pictures compared with each other, and what was decided.",
                [_verification(example, thumbnails) for example in verifications],
            )
        )
    return Section("examples", "In use", blocks, rule)


def _search(example: SearchExample, thumbnails: bool) -> Comparison:
    others = []
    for candidate in example.candidates:
        right = example.enrolled and candidate.face.name == example.probe.name
        tone: Tone = "neutral" if not candidate.accepted else "good" if right else "bad"
        picture = _picture(candidate.face, thumbnails)
        others.append(replace(picture, score=score(candidate.score), tone=tone))
    best = next((c for c in example.candidates if c.accepted), None)
    if best is None:
        verdict = "answer: unknown person"
        outcome = "wrong: is enrolled" if example.enrolled else "right: is not enrolled"
    else:
        verdict = f"answer: {best.face.name}"
        outcome = "right" if others[example.candidates.index(best)].tone == "good" else "wrong"
    good = outcome.startswith("right")
    return Comparison(
        _picture(example.probe, thumbnails),
        others,
        f"{verdict} ({outcome})",
        "good" if good else "bad",
    )


def _verification(example: VerificationExample, thumbnails: bool) -> Comparison:
    right = (example.a.name == example.b.name) == example.accepted
    return Comparison(
        _picture(example.a, thumbnails),
        [_picture(example.b, thumbnails)],
        f"{'same person' if example.accepted else 'different people'} "
        f"({'right' if right else 'wrong'})",
        "good" if right else "bad",
        score(example.score),
    )


def _picture(face: Face, thumbnails: bool) -> Picture:
    return portrait(face.path, face.name, thumbnails)
