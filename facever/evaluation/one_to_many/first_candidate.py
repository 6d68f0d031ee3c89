"""Calibration of searches (1:N): the probability that the first candidate is correct."""

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
    """Fit on the first candidates of half of the probes' people and test on the other half.

    A trial is a probe with the score of its first candidate. It is genuine if the candidate is the
    correct person; wrong candidates of mated probes and all of non-mated probes are impostor
    trials.

    Args:
        searched: The search results.
        rule: How the scores of a person's templates are combined.
        similarity: Kind of score.
        method: "logistic" or "isotonic".
        prior: Share of searches in operation whose first candidate is correct; by default that of
            the test probes.
        templates: The template policy.
        level: Confidence level of the intervals.

    Raises:
        EvaluationError: The method is unknown, the prior is outside (0, 1), or in one half of the
            people all first candidates are correct, or all are wrong.
    """
    right = searched.rank == 1
    if right.all() or not right.any():
        kind = "right" if right.all() else "wrong"
        raise EvaluationError(
            f"every first candidate is {kind}: calibration needs correct and wrong ones"
        )
    trials = JudgedTrials(searched.best, right, (searched.codes, searched.codes))
    try:
        result = calibrate_trials(trials, method=method, prior=prior, level=level)
    except EvaluationError as error:
        raise EvaluationError(f"calibration of the first candidates failed: {error}") from error
    return replace(
        result,
        similarity=similarity,
        kind="1:N",
        templates=templates,
        score_rule=rule,
        gallery_size=searched.people,
    )
