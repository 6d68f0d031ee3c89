"""The section of the worst mistakes, as pictures side by side."""

from facever.evaluation.one_to_one.result import VerificationResult
from facever.report.faces import portrait_of
from facever.report.numbers import far_text, score
from facever.report.page import Comparison, Comparisons, Section, Tone
from facever.vectors.embedding_set import EmbeddingSet

_PAIRS = 12  # of each kind


def mistakes_section(
    result: VerificationResult, embeddings: EmbeddingSet, thumbnails: bool
) -> Section:
    """Show the pairs of two people found most alike, and those of one person found least alike."""
    impostors = [
        _pair(embeddings, i, j, value, _impostor_outcome(result, value), thumbnails)
        for i, j, value in result.worst_impostors[:_PAIRS]
    ]
    genuine = [
        _pair(embeddings, i, j, value, _genuine_outcome(result, value), thumbnails)
        for i, j, value in result.worst_genuine[:_PAIRS]
    ]
    blocks = [
        Comparisons(
            "Strangers found most alike",
            "The pairs of two people with the highest scores. The badge names the strictest "
            "operating point that accepts them. A very high score can also be one person under "
            "two names, or one picture twice.",
            impostors,
        ),
        Comparisons(
            "Pictures of one person found least alike",
            "The pairs of one person with the lowest scores. The badge names the most lenient "
            "operating point that rejects them. A very low score can also be two people under one "
            "name, or a face cut out wrongly.",
            genuine,
        ),
    ]
    return Section("mistakes", "The worst mistakes", blocks)


def _impostor_outcome(result: VerificationResult, value: float) -> tuple[str, Tone]:
    accepting = [point.far_target for point in result.operating_points if value > point.threshold]
    if not result.operating_points:
        return "two people", "neutral"
    if accepting:
        return f"false accept at FAR {far_text(min(accepting))}", "bad"
    return "rejected everywhere", "good"


def _genuine_outcome(result: VerificationResult, value: float) -> tuple[str, Tone]:
    rejecting = [point.far_target for point in result.operating_points if value <= point.threshold]
    if not result.operating_points:
        return "one person", "neutral"
    if rejecting:
        return f"false reject at FAR {far_text(max(rejecting))}", "bad"
    return "accepted everywhere", "good"


def _pair(
    embeddings: EmbeddingSet,
    i: int,
    j: int,
    value: float,
    outcome: tuple[str, Tone],
    thumbnails: bool,
) -> Comparison:
    first, second = (portrait_of(embeddings, row, thumbnails) for row in (i, j))
    return Comparison(first, [second], *outcome, score(value))
