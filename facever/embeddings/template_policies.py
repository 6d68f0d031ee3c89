"""Template policies of a gallery by name (`evaluation.policies`)."""

from facever.errors import EvaluationError

ALL, MEAN, QUALITY_MEAN = "all", "mean", "quality_mean"
_MEDOIDS = "medoids:"
_MOST_MEDOIDS = 64


def named_policy(name: str) -> str:
    """Return a policy's canonical name: "all", "mean", "quality_mean" or "medoids:K".

    Raises:
        EvaluationError: There is no such policy, or K is not an integer from 1 to 64.
    """
    if name in (ALL, MEAN, QUALITY_MEAN) or (isinstance(name, str) and medoids_of(name)):
        return name
    raise EvaluationError(
        f"unknown template policy {name!r} (allowed: all, mean, quality_mean, and medoids:K with "
        f"K from 1 to {_MOST_MEDOIDS})"
    )


def medoids_of(policy: str) -> int:
    """Return the K of "medoids:K"; 0 for other policies."""
    count = policy.removeprefix(_MEDOIDS)
    if count == policy or not count.isascii() or not count.isdecimal() or count != str(int(count)):
        return 0
    return int(count) if int(count) <= _MOST_MEDOIDS else 0
