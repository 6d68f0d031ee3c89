"""Scored trials, streamed or listed: the input of all rates."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.errors import EvaluationError
from facever.evaluation.scoring.dyads import DyadErrors, Dyads, DyadSums, ListedDyads
from facever.evaluation.scoring.pairwise import PairScores
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints, Numbers

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Histogram:
    """Genuine and impostor scores counted in bins.

    Bin b counts the scores in [edges[b], edges[b + 1]), with an error of at most `error` in the
    impostor scores.

    Attributes:
        edges: float64 [B + 1], ascending.
        genuine: int64 [B].
        impostor: int64 [B].
        error: Bound on the distance of an impostor score from its bin.
    """

    edges: Doubles
    genuine: Counts
    impostor: Counts
    error: float = 0.0

    def thinned(self, bins: int = 100) -> "Histogram":
        """Return about `bins` bins of equal width over the range of the scores."""
        filled = np.flatnonzero(self.genuine + self.impostor)
        low, high = self.edges[filled[0]], self.edges[filled[-1] + 1]
        edges = np.linspace(low, high, bins + 1)
        middles = (self.edges[:-1] + self.edges[1:]) / 2
        where = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, bins - 1)
        genuine = np.bincount(where, weights=self.genuine, minlength=bins)
        impostor = np.bincount(where, weights=self.impostor, minlength=bins)
        return Histogram(edges, genuine.astype(np.int64), impostor.astype(np.int64), self.error)


class Trials(ABC):
    """Genuine and impostor trials with their scores. Larger scores are more similar.

    Attributes:
        genuine: Number of genuine trials.
        impostor: Number of impostor trials.
        top: The highest impostor trials, in descending order; all of them if `whole`. Their rows
            have internal numbers; see `numbered`.
        genuine_scores: All genuine trials in ascending order.
        whole: Whether `top` has every impostor trial, so that every rate is exact.
        dyads: The impostor trials by pairs of people; None if the people are unknown.
    """

    genuine: int
    impostor: int
    top: PairScores
    genuine_scores: PairScores
    whole: bool
    dyads: Dyads | None

    @property
    @abstractmethod
    def histogram(self) -> Histogram:
        """The scores counted in bins."""

    @abstractmethod
    def threshold(self, k: int) -> float:
        """Return the (k + 1)-th largest impostor score, 0 <= k < impostor."""

    def cut(self, k: int) -> float:
        """Return a threshold that at most k impostor scores exceed, 0 <= k < impostor.

        It lies half way from the (k + 1)-th largest of them to the next score of either class, so
        that the counts are those at that score; see `half_way`.
        """
        score = self.top.scores.dtype.type(self.threshold(k))
        above = [self.impostor_above(score)]
        for part in self.genuine_parts():
            above.append(part.scores[part.scores > score].min(initial=np.inf))
        return half_way(score, min(above))

    @abstractmethod
    def impostor_above(self, score: "np.floating[Any]") -> "np.floating[Any]":
        """Return the lowest impostor score above a score; infinity if there is none."""

    @abstractmethod
    def false_accepts(self, threshold: float) -> int:
        """Count the impostor scores above a threshold."""

    @abstractmethod
    def numbered(self, pairs: PairScores) -> PairScores:
        """Return trials with the row numbers of the user."""

    @abstractmethod
    def people_of(self, pairs: PairScores) -> tuple[Numbers, Numbers]:
        """Return the two people of each trial, numbered as in `dyads`."""

    def genuine_parts(self) -> Iterator[PairScores]:
        """Yield every genuine trial, in parts if they do not fit in memory."""
        yield self.genuine_scores

    def true_accepts(self, threshold: float) -> int:
        """Count the genuine scores above a threshold."""
        return int(self.true_accepts_at(np.array([threshold]))[0])

    def true_accepts_at(self, thresholds: Doubles) -> Counts:
        """Count the genuine scores above ascending thresholds [T], int64 [T]."""
        below = np.zeros(len(thresholds) + 1, np.int64)  # number of thresholds below each score
        for part in self.genuine_parts():
            below += np.bincount(_passed(part.scores, thresholds), minlength=len(below))
        return np.cumsum(below[::-1])[::-1][1:]

    def error_sums(self, threshold: float) -> DyadSums:
        """Sum the impostor scores above a threshold by pairs of people."""
        assert self.dyads is not None
        above = self.top.take(slice(self.false_accepts(threshold)))
        return DyadSums.of(DyadErrors.of(*self.people_of(above), self.people), self.dyads)

    def accepted_by_person(self, thresholds: Doubles) -> tuple[Doubles, Doubles]:
        """Count each person's genuine scores above ascending thresholds [T], and in total.

        Returns:
            float64 [I, T] and float64 [I].
        """
        steps = len(thresholds) + 1
        counts = np.zeros(self.people * steps)
        for part in self.genuine_parts():
            keys = self.people_of(part)[0].astype(np.int64) * steps + _passed(
                part.scores, thresholds
            )
            counts += np.bincount(keys, minlength=len(counts))
        by_person = counts.reshape(self.people, steps)
        accepted = np.cumsum(by_person[:, ::-1], axis=1)[:, ::-1]
        return accepted[:, 1:], accepted[:, 0]

    @property
    def people(self) -> int:
        """Number of people of the trials, if they are known."""
        assert self.dyads is not None
        return self.dyads.people


class ListedTrials(Trials):
    """Trials with all scores in memory, such as those of a pair list.

    Args:
        scores: Float [T], finite.
        same: Bool [T], True for genuine trials.
        rows: Integers [T] each, the two rows of each trial; by default the number of the trial.
        people: Integers [T] each, the two people of each trial, if known.

    Raises:
        EvaluationError: Scores are not finite, lengths differ, or there is one class only.
    """

    def __init__(
        self,
        scores: npt.NDArray[np.floating],
        same: npt.NDArray[np.bool_],
        rows: tuple[Numbers, Numbers] | None = None,
        people: tuple[Numbers, Numbers] | None = None,
    ) -> None:
        if scores.shape != same.shape or scores.ndim != 1:
            raise EvaluationError(
                f"{scores.shape} scores and {same.shape} labels: give one score and one label per "
                "trial"
            )
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            raise EvaluationError(
                f"{len(wrong)} of {len(scores)} scores are not finite, the first is trial "
                f"{wrong[0]} with {scores[wrong[0]]}: omit failed trials and count them"
            )
        self.impostor, self.genuine = int((~same).sum()), int(same.sum())
        check_both_classes(self.genuine, self.impostor)
        self._rows = rows
        impostor = _where(~same)
        self.genuine_scores = _in_order(scores, _where(same), 1)
        self.top = _in_order(scores, impostor, -1)
        self.whole, self.dyads, self._who = True, None, people
        if people is not None:
            size = int(max(side.max() for side in people)) + 1
            self.dyads = ListedDyads(people[0][impostor], people[1][impostor], size)

    def numbered(self, pairs: PairScores) -> PairScores:
        """Return trials with the row numbers of the user."""
        if self._rows is None:
            return pairs
        return PairScores(pairs.scores, self._rows[0][pairs.a], self._rows[1][pairs.b])

    def people_of(self, pairs: PairScores) -> tuple[Numbers, Numbers]:
        """Return the two people of each trial, numbered as in `dyads`."""
        assert self._who is not None
        return self._who[0][pairs.a], self._who[1][pairs.b]

    @property
    def histogram(self) -> Histogram:
        """The scores counted in 1024 bins of equal width."""
        genuine, impostor = self.genuine_scores.scores, self.top.scores[::-1]
        low, high = min(genuine[0], impostor[0]), max(genuine[-1], impostor[-1])
        edges = np.linspace(float(low), float(np.nextafter(high, np.inf)), 1025)
        return Histogram(edges, _binned(genuine, edges), _binned(impostor, edges))

    def threshold(self, k: int) -> float:
        """Return the (k + 1)-th largest impostor score, 0 <= k < impostor."""
        return float(self.top.scores[k])

    def impostor_above(self, score: "np.floating[Any]") -> "np.floating[Any]":
        """Return the lowest impostor score above a score; infinity if there is none."""
        return next_above(self.top.scores[::-1], score)

    def false_accepts(self, threshold: float) -> int:
        """Count the impostor scores above a threshold."""
        scores = self.top.scores[::-1]
        return len(scores) - int(np.searchsorted(scores, np.float64(threshold), side="right"))


def _where(mask: npt.NDArray[np.bool_]) -> Numbers:
    """Return the positions of true values, as int32 where they fit."""
    found = np.flatnonzero(mask)
    return found.astype(np.int32) if len(mask) <= np.iinfo(np.int32).max else found


def _in_order(scores: npt.NDArray[np.floating], which: Numbers, sign: int) -> PairScores:
    """Return the trials `which` in ascending (sign 1) or descending (-1) order of their scores."""
    order = which[np.argsort(sign * scores[which], kind="stable")]
    return PairScores(scores[order], order, order)


def half_way(score: "np.floating[Any]", following: "np.floating[Any]") -> float:
    """Return the threshold between a score that must be rejected and the next higher score.

    It is the midpoint in the type of the scores, so that scores that differ by rounding get the
    same decision. If no value of the type lies strictly between, it is the next score, which is
    then rejected too: a false accept rate is never above its target. Without a next score
    (infinity) it is the score itself.
    """
    if np.isinf(following):
        return float(score)
    middle = type(score)(float(score) / 2 + float(following) / 2)
    return float(middle if score < middle < following else following)


def next_above(
    ascending: npt.NDArray[np.floating], score: "np.floating[Any]"
) -> "np.floating[Any]":
    """Return the first of ascending scores above a score; infinity if there is none."""
    at = int(np.searchsorted(ascending, score, side="right"))
    found: np.floating[Any] = np.append(ascending[at : at + 1], ascending.dtype.type(np.inf))[0]
    return found


def check_both_classes(genuine: int, impostor: int) -> None:
    """Raise if there are trials of one class only.

    Raises:
        EvaluationError: The message names the missing class and how to get it.
    """
    if not genuine:
        raise EvaluationError(
            "no genuine trials: at least one person needs two images that are compared"
        )
    if not impostor:
        raise EvaluationError("no impostor trials: at least two people must be compared")


def budget(far: float, impostor: int) -> int:
    """Return the number of false accepts that a FAR allows: floor(far · impostor), exact.

    `far` is read as its decimal representation, so that 0.1 of 30 is 3.
    """
    return int(Fraction(repr(float(far))) * impostor)


def most_wanted(fars: Sequence[float], impostor: int) -> int:
    """Return the number of highest impostor scores that the FARs and their intervals need."""
    allowed = max(budget(far, impostor) for far in fars)
    return allowed + allowed // 4 + 1000


def needed(far: float) -> int:
    """Return the number of impostor trials for which a FAR allows one false accept."""
    fraction = Fraction(repr(float(far)))
    return -(-fraction.denominator // fraction.numerator)


def check_fars(fars: Sequence[float], name: str = "FAR") -> list[float]:
    """Return the distinct requested FARs, largest first.

    Raises:
        EvaluationError: There is none, or one is outside (0, 1).
    """
    for far in fars:
        if not 0 < far < 1:
            raise EvaluationError(f"a {name} of {far} is not between 0 and 1, such as 1e-3")
    if not fars:
        raise EvaluationError(f"no {name} given: give at least one, such as 1e-3")
    return sorted(set(fars), reverse=True)


def _passed(scores: Floats, thresholds: Doubles) -> Ints:
    """Return the number of ascending thresholds below each score."""
    return np.searchsorted(thresholds, scores.astype(np.float64), side="left")


def _binned(ascending: Floats, edges: Doubles) -> Counts:
    at = np.searchsorted(ascending.astype(np.float64), edges[:-1], side="left")
    return np.diff(np.append(at, len(ascending))).astype(np.int64)
