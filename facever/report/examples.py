"""The section of examples: searches and verifications of single pictures in a gallery."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from facever.operating_point import OperatingPoint
from facever.render.blocks import Block, Comparison, Comparisons, Picture, Section, Tone
from facever.render.numbers import score


@dataclass(frozen=True)
class SearchExample:
    """A probe that was searched in a gallery.

    Args:
        probe: The picture that was searched for, with its true name.
        candidates: Enrolled pictures of the people found, with their scores, best first.
        point: The operating point of the decision; None without a decision.
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
        a, b: The pictures, with their true names.
        score: Their score.
        accepted: Whether the score is above the threshold; None without a threshold.
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
    """Return the section of searches and verifications.

    Args:
        searches: Probes and the people found.
        verifications: Pairs and whether they were accepted.
        rule: The decision rule in one sentence: the threshold and its origin.
    """
    blocks: list[Block] = []
    if searches:
        blocks.append(
            Comparisons(
                "Search",
                "Left: the probe. Right: the people of the gallery with the highest scores. A "
                "coloured frame marks a score above the threshold: green for the correct person, "
                "red for another person.",
                [_search(example) for example in searches],
            )
        )
    if verifications:
        blocks.append(
            Comparisons(
                "Verification",
                "Pairs of pictures with their score and the decision.",
                [_verification(example) for example in verifications],
            )
        )
    return Section("examples", "Examples", blocks, rule)


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
    """Return the gallery's answer, and whether it is correct; None without a decision."""
    nearest = example.candidates[0] if example.candidates else None
    if nearest is not None and example.point is None:
        if not example.enrolled:
            return f"nearest: {nearest.name} (the probe's person is not enrolled)", None
        right = nearest.name == example.probe.name
        return f"nearest: {nearest.name} ({'correct' if right else 'wrong'})", None
    best = next(filter(example.accepts, example.candidates), None)
    if best is None:
        outcome = "wrong: enrolled" if example.enrolled else "correct: not enrolled"
        return f"answer: unknown person ({outcome})", not example.enrolled
    right = example.enrolled and best.name == example.probe.name
    return f"answer: {best.name} ({'correct' if right else 'wrong'})", right


def _verification(example: VerificationExample) -> Comparison:
    same = example.a.name == example.b.name
    tone: Tone = "neutral"
    verdict = f"no decision (truth: {'same person' if same else 'different people'})"
    if example.accepted is not None:
        right = same == example.accepted
        tone = "good" if right else "bad"
        decided = "same person" if example.accepted else "different people"
        verdict = f"{decided} ({'correct' if right else 'wrong'})"
    return Comparison(example.a, [example.b], verdict, tone, score(example.score))
