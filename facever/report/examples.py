"""The section that shows a gallery at work: searches and verifications of single pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from facever.operating_point import OperatingPoint
from facever.render.blocks import Block, Comparison, Comparisons, Picture, Section, Tone
from facever.render.numbers import score


@dataclass(frozen=True)
class SearchExample:
    """A probe that was searched in a gallery.

    Args:
        probe: The picture that was searched for, with the name of whom it truly shows.
        candidates: Enrolled pictures of whom the gallery gave, with their scores, best first.
        point: What decides; None where nothing does.
        enrolled: Whether the probe's person is in the gallery.
    """

    probe: Picture
    candidates: Sequence[Picture]
    point: OperatingPoint | None
    enrolled: bool

    def accepts(self, candidate: Picture) -> bool:
        """Return whether a candidate's score is above the threshold."""
        if self.point is None or candidate.score is None:
            return False
        return self.point.accepts(candidate.score.value)


@dataclass(frozen=True)
class VerificationExample:
    """Two pictures that were compared.

    Args:
        a, b: The pictures, with the names of whom they truly show.
        score: Their score.
        accepted: Whether it is above the threshold; None where there is none.
    """

    a: Picture
    b: Picture
    score: float
    accepted: bool | None


def examples_section(
    searches: Sequence[SearchExample],
    verifications: Sequence[VerificationExample],
    rule: str,
) -> Section:
    """Show what a gallery answered.

    Args:
        searches: Probes and whom the gallery gave.
        verifications: Pairs and whether they were accepted.
        rule: The decision rule in a sentence: which threshold, and where it is from.
    """
    blocks: list[Block] = []
    if searches:
        blocks.append(
            Comparisons(
                "Who is this?",
                "On the left the picture that was asked about, then the most alike people of the "
                "gallery. A frame marks a score above the threshold: green is the right person, "
                "red another one.",
                [_search(example) for example in searches],
            )
        )
    if verifications:
        blocks.append(
            Comparisons(
                "Is this the same person?",
                "Two pictures compared with each other, and what was decided.",
                [_verification(example) for example in verifications],
            )
        )
    return Section("examples", "In use", blocks, rule)


def _search(example: SearchExample) -> Comparison:
    others = []
    for candidate in example.candidates:
        right = example.enrolled and candidate.name == example.probe.name
        frame: Tone = "neutral" if not example.accepts(candidate) else "good" if right else "bad"
        others.append(replace(candidate, tone=frame))
    verdict, good = _answer(example)
    tone: Tone = "neutral" if good is None else "good" if good else "bad"
    return Comparison(example.probe, others, verdict, tone)


def _answer(example: SearchExample) -> tuple[str, bool | None]:
    """Return what the gallery answered, and whether it is right; None where nothing decided."""
    nearest = example.candidates[0] if example.candidates else None
    if nearest is not None and example.point is None:
        if not example.enrolled:
            return f"nearest: {nearest.name} (the person asked about is not enrolled)", None
        right = nearest.name == example.probe.name
        return f"nearest: {nearest.name} ({'right' if right else 'wrong'})", None
    best = next(filter(example.accepts, example.candidates), None)
    if best is None:
        outcome = "wrong: is enrolled" if example.enrolled else "right: is not enrolled"
        return f"answer: unknown person ({outcome})", not example.enrolled
    right = example.enrolled and best.name == example.probe.name
    return f"answer: {best.name} ({'right' if right else 'wrong'})", right


def _verification(example: VerificationExample) -> Comparison:
    same = example.a.name == example.b.name
    tone: Tone = "neutral"
    verdict = f"no decision (in truth {'the same person' if same else 'different people'})"
    if example.accepted is not None:
        right = same == example.accepted
        tone = "good" if right else "bad"
        decided = "same person" if example.accepted else "different people"
        verdict = f"{decided} ({'right' if right else 'wrong'})"
    return Comparison(example.a, [example.b], verdict, tone, score(example.score))
