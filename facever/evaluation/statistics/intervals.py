"""Confidence intervals of counted rates, clustered by identity."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from facever.core.seeding import stream
from facever.evaluation.scoring.dyads import Dyads, DyadSums
from facever.evaluation.scoring.similarity import Doubles
from facever.evaluation.statistics.distributions import (
    beta_quantile,
    normal_share,
    student_quantile,
)
from facever.operating_point import Interval

TOO_NARROW = "too narrow if trials share identities: it assumes independent trials"
FEW_ERRORS = 30  # minimum number of errors for a reliable rate
DRAWS = 2000
_AT_ONCE = 1 << 22  # bootstrap weights drawn at a time


def clopper_pearson(
    successes: float,
    trials: float,
    level: float = 0.95,
    note: str | None = None,
    method: str = "clopper-pearson",
) -> Interval:
    """Return the exact interval of a binomial proportion of independent trials.

    Args:
        successes: 0 to `trials`.
        trials: More than 0; may be an effective number.
        level: Confidence level, between 0 and 1.
        note: Caveat for the reader.
        method: Name of the method.

    Reference:
        Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of
        the binomial, Biometrika 26, 1934.
    """
    tail = (1 - level) / 2
    low = beta_quantile(tail, successes, trials - successes + 1) if successes else 0.0
    high = beta_quantile(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return Interval(low=float(low), high=float(high), level=level, method=method, note=note)


@dataclass(frozen=True)
class DyadicRate:
    """A mean over the trials of pairs of people, and its variance.

    Attributes:
        rate: Errors over trials.
        errors, trials: The counts.
        people: Number of people that are compared with others.
        per_person: float64 [I], sum over j of r_ij, r_ij = errors_ij - rate · trials_ij.
        squares: Sum of r_ij² over i < j.
    """

    rate: float
    errors: float
    trials: float
    people: int
    per_person: Doubles
    squares: float

    @property
    def variance(self) -> float:
        """Variance of the rate; at least that of independent trials."""
        return max(self.variance_with(0.0), self.rate * (1 - self.rate) / self.trials)

    def variance_with(self, own: Doubles | float, weight: float = 1.0) -> float:
        """Return the variance of the rate times a weight plus a mean over people.

        The estimated covariance of dyads that share a person may be negative, most often for few
        people; then dyads count as independent.

        Args:
            own: float64 [I], contribution of each person's genuine trials to the statistic, mean 0.
            weight: Weight of the rate.
        """
        sums = own + weight * self.per_person / self.trials
        squares = weight**2 * self.squares / self.trials**2
        clustered = float(np.sum(sums**2)) - squares
        independent = float(np.sum(np.square(own))) + squares
        return max(clustered, independent) * self.people / max(self.people - 1, 1)

    @property
    def effective_trials(self) -> float:
        """Number of independent trials with the same variance; at most the number of trials."""
        if not self.variance:
            return self.trials
        return min(self.trials, self.rate * (1 - self.rate) / self.variance)


def dyadic_rate(errors: DyadSums, dyads: Dyads) -> DyadicRate:
    """Return a rate over impostor trials with its dyadic cluster-robust variance.

    V = [sum_i (sum_j r_ij)² - sum_{i<j} r_ij²] / M², at least sum_{i<j} r_ij² / M², times
    I / (I - 1) for the estimated rate.

    Reference:
        Fafchamps and Gubert, The formation of risk sharing networks, Journal of Development
        Economics 83, 2007; Aronow, Samii, Assenova, Cluster-robust variance estimation for dyadic
        data, Political Analysis 23, 2015.
    """
    trials = float(dyads.per_person.sum()) / 2
    rate = errors.total / trials
    residuals = errors.per_person - rate * dyads.per_person
    squares = errors.squares - 2 * rate * errors.shared + rate**2 * dyads.squares
    people = int((dyads.per_person > 0).sum())
    return DyadicRate(rate, errors.total, trials, people, residuals, squares)


def fmr_interval(found: DyadicRate, level: float = 0.95) -> Interval:
    """Return the interval of a false match rate, on the logit scale.

    Without errors it is the Clopper-Pearson interval, with one independent trial per two people.
    """
    if found.errors in (0, found.trials):
        effective = max(1.0, min(found.trials, found.people / 2))
        return clopper_pearson(
            found.rate * effective,
            effective,
            level,
            f"{found.trials:.0f} trials with equal outcome, counted as {effective:.0f} independent "
            f"trials, one per two people (rule of three: {3 / effective:.2g}; "
            f"{3 / found.trials:.2g} if all were independent)",
            "clopper-pearson, effective trials",
        )
    note = f"effective trials: {found.effective_trials:.0f} of {found.trials:.0f}"
    return logit_interval(found.rate, found.variance, found.people, level, "dyadic logit", note)


def logit_interval(
    rate: float, variance: float, people: int, level: float, method: str, note: str | None = None
) -> Interval:
    """Return an interval around a rate in (0, 1) by Student's t on the logit scale."""
    spread = np.sqrt(variance) / (rate * (1 - rate))
    reach = student_quantile((1 + level) / 2, max(people - 1, 1)) * spread
    ends = expit(logit(rate) + np.array([-reach, reach]))
    return Interval(low=float(ends[0]), high=float(ends[1]), level=level, method=method, note=note)


def weights(people: int, draws: int, seed: int, part: int = 0) -> Doubles:
    """Return identity bootstrap weights, float64 [draws, people]; each row sums to `people`."""
    random = stream(seed, "identity bootstrap", part)
    drawn = random.integers(people, size=(draws, people))
    drawn += np.arange(draws)[:, None] * people
    counts = np.bincount(drawn.ravel(), minlength=draws * people)
    return counts.reshape(draws, people).astype(np.float64)


@dataclass(frozen=True)
class Moving:
    """Accepted genuine trials of each person, at a threshold that depends on the draw.

    Attributes:
        accepted: float64 [I, T], a person's genuine trials above each of T thresholds.
        genuine: float64 [I], all genuine trials.
        steps: float64 [T], ascending: log(FMR at the threshold / target FMR); one of them is 0.
        linear: float64 [I], change of log FMR for one more draw of a person.
    """

    accepted: Doubles
    genuine: Doubles
    steps: Doubles
    linear: Doubles

    @classmethod
    def fixed(cls, accepted: Doubles, genuine: Doubles) -> "Moving":
        """Return the case of a fixed threshold; accepted is float64 [I]."""
        return cls(accepted[:, None], genuine, np.zeros(1), np.zeros(len(genuine)))


def tar_interval(
    moving: Moving, level: float = 0.95, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Return the identity bootstrap interval of a true accept rate.

    Args:
        moving: Accepted trials by person; the threshold depends on the draw.
        level: Confidence level.
        draws: Number of drawn populations.
        seed: Seed of the draws.
    """
    accepted = float(moving.accepted[:, int(np.argmin(np.abs(moving.steps)))].sum())
    total = float(moving.genuine.sum())
    if accepted in (0, total):
        effective = float((moving.genuine > 0).sum())
        return clopper_pearson(
            accepted / total * effective,
            effective,
            level,
            f"{total:.0f} genuine trials with equal outcome, counted as {effective:.0f} "
            f"independent trials, one per person (rule of three: {3 / effective:.2g}; "
            f"{3 / total:.2g} if all were independent)",
            "clopper-pearson, effective trials",
        )
    rates = tar_draws(moving, draws=draws, seed=seed)
    ends = np.nanquantile(rates, expanded(level, len(moving.genuine)))
    return Interval(
        low=float(ends[0]), high=float(ends[1]), level=level, method="identity bootstrap"
    )


def tar_draws(moving: Moving, *, draws: int = DRAWS, seed: int = 0) -> Doubles:
    """Return the true accept rate of drawn populations, float64 [draws].

    People are drawn with replacement; the genuine trials of person i count w_i times. The draw
    shifts log FMR by sum_i (w_i - 1) linear_i; the TAR is read at the threshold that restores the
    FMR.
    """
    rates = []
    for drawn in _drawn(len(moving.genuine), draws, seed):
        sums = drawn @ moving.genuine
        shares = (drawn @ moving.accepted) / np.where(sums > 0, sums, np.nan)[:, None]
        if len(moving.steps) == 1:
            rates.append(shares[:, 0])
        else:
            rates.append(_read_at(shares, moving.steps, -(drawn - 1) @ moving.linear))
    return np.concatenate(rates)


def weighted_sums(values: Doubles, *, draws: int = DRAWS, seed: int = 0) -> Doubles:
    """Return sum_i (w_i - 1) values_i in the populations that `tar_draws` draws, float64 [draws].

    Args:
        values: float64 [I], by person.
        draws: Number of drawn populations.
        seed: Seed of the draws.
    """
    parts = [(drawn - 1) @ values for drawn in _drawn(len(values), draws, seed)]
    return np.concatenate(parts)


def _drawn(people: int, draws: int, seed: int) -> Iterator[Doubles]:
    """Yield the weights of all populations in batches."""
    step = max(1, _AT_ONCE // max(people, 1))
    for part, start in enumerate(range(0, draws, step)):
        yield weights(people, min(step, draws - start), seed, part)


def expanded(level: float, people: int) -> Doubles:
    """Return the expanded percentiles, wider for few people.

    Plain bootstrap percentiles are too narrow by sqrt((n - 1) / n) and ignore Student's t.

    Reference:
        Hesterberg, What teachers should know about the bootstrap, The American Statistician 69,
        2015, section 5.3 (expanded percentile intervals).
    """
    reach = student_quantile((1 + level) / 2, max(people - 1, 1)) * np.sqrt(
        people / max(people - 1, 1)
    )
    return np.array([normal_share(-reach), normal_share(reach)])


def _read_at(shares: Doubles, steps: Doubles, where: Doubles) -> Doubles:
    """Interpolate each row of shares [B, T] over steps [T] at its own position [B]."""
    right = np.clip(np.searchsorted(steps, where), 1, len(steps) - 1)
    width = steps[right] - steps[right - 1]
    share = np.clip((where - steps[right - 1]) / np.where(width > 0, width, 1), 0, 1)
    rows = np.arange(len(where))
    return (1 - share) * shares[rows, right - 1] + share * shares[rows, right]
