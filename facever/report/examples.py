"""The section that shows a gallery at work: searches and verifications of single pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facever.render.blocks import Block, Comparison, Comparisons, Picture, Section, Tone
from facever.render.numbers import score
from facever.report.thumbnails import Cut, portrait


@dataclass(frozen=True)
class Face:
    """A picture of someone.

    Args:
        name: Whom it shows, or whom it is taken for.
        path: The image; None where it is not known.
        cut: What was cut from it, where it is a photo.
    """

    name: str
    path: str | Path | None
    cut: Cut | None = None


@dataclass(frozen=True)
class Candidate:
    """A person whom a search found, best first.

    Args:
        face: The enrolled picture.
        score: Against the probe.
        accepted: Whether the score is above the threshold; None where there is none.
    """

    face: Face
    score: float
    accepted: bool | None


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
        accepted: Whether it is above the threshold; None where there is none.
    """

    a: Face
    b: Face
    score: float
    accepted: bool | None


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
        frame: Tone = "neutral" if not candidate.accepted else "good" if right else "bad"
        picture = _picture(candidate.face, thumbnails)
        others.append(replace(picture, score=score(candidate.score), tone=frame))
    verdict, good = _answer(example)
    tone: Tone = "neutral" if good is None else "good" if good else "bad"
    return Comparison(_picture(example.probe, thumbnails), others, verdict, tone)


def _answer(example: SearchExample) -> tuple[str, bool | None]:
    """Return what the gallery answered, and whether it is right; None where nothing decided."""
    nearest = example.candidates[0] if example.candidates else None
    if nearest is not None and nearest.accepted is None:
        if not example.enrolled:
            return f"nearest: {nearest.face.name} (the person asked about is not enrolled)", None
        right = nearest.face.name == example.probe.name
        return f"nearest: {nearest.face.name} ({'right' if right else 'wrong'})", None
    best = next((candidate for candidate in example.candidates if candidate.accepted), None)
    if best is None:
        outcome = "wrong: is enrolled" if example.enrolled else "right: is not enrolled"
        return f"answer: unknown person ({outcome})", not example.enrolled
    right = example.enrolled and best.face.name == example.probe.name
    return f"answer: {best.face.name} ({'right' if right else 'wrong'})", right


def _verification(example: VerificationExample, thumbnails: bool) -> Comparison:
    same = example.a.name == example.b.name
    tone: Tone = "neutral"
    verdict = f"no decision (in truth {'the same person' if same else 'different people'})"
    if example.accepted is not None:
        right = same == example.accepted
        tone = "good" if right else "bad"
        decided = "same person" if example.accepted else "different people"
        verdict = f"{decided} ({'right' if right else 'wrong'})"
    return Comparison(
        _picture(example.a, thumbnails),
        [_picture(example.b, thumbnails)],
        verdict,
        tone,
        score(example.score),
    )


def _picture(face: Face, thumbnails: bool) -> Picture:
    return portrait(face.path, face.name, thumbnails, face.cut)
