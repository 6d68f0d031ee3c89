"""Calibration of searches (1:N): how probable it is that the first candidate is the right one."""

from dataclasses import replace

from facever.embeddings.similarities import Similarity
from facever.embeddings.template_policies import ALL
from facever.errors import EvaluationError
from facever.evaluation.one_to_many.search import Searched
from facever.evaluation.one_to_one.calibration import (
    CalibrationResult,
    JudgedTrials,
    calibrate_trials,
)
from facever.operating_point import ScoreRule


def calibrate_search(
    searched: Searched,
    rule: ScoreRule,
    similarity: Similarity,
    *,
    method: str = "logistic",
    prior: float | None = None,
    templates: str = ALL,
    level: float = 0.95,
) -> CalibrationResult:
    """Fit on the first candidates of half of the probes' people and judge on those of the others.

    A trial is a probe with the score of its first candidate. It is genuine when that is the right
    person; wrong candidates of mated probes and all of non-mated ones are impostor trials.

    Args:
        searched: What a search found.
        rule: How a person's templates made one score.
        similarity: What the scores are.
        method: "logistic" or "isotonic".
        prior: The share of searches whose first candidate is right where the system is used; by
            default that of the judged probes.
        templates: The policy that made the templates.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: An unknown method, a prior outside (0, 1), or a half of the people for
            whom every first candidate is right, or every one wrong.
    """
    right = searched.rank == 1
    if right.all() or not right.any():
        kind = "right" if right.all() else "wrong"
        raise EvaluationError(f"every first candidate is {kind}: there is nothing to calibrate by")
    trials = JudgedTrials(searched.best, right, (searched.codes, searched.codes))
    try:
        result = calibrate_trials(trials, method=method, prior=prior, level=level)
    except EvaluationError as error:
        raise EvaluationError(f"the first candidates make no calibration: {error}") from error
    return replace(
        result,
        similarity=similarity,
        kind="1:N",
        templates=templates,
        score_rule=rule,
        gallery_size=searched.people,
    )
