"""ROC statistics from counted scores: AUC, equal error rates and the curve."""

from dataclasses import dataclass

import numpy as np

from facever.evaluation.scoring.similarity import Doubles
from facever.evaluation.scoring.trials import Counts, Trials
from facever.render.values import Record

_PASSES = 16


@dataclass(frozen=True)
class RocCurve(Record):
    """Operating points in ascending order of thresholds.

    Attributes:
        thresholds: float64 [P]; a trial is accepted if its score is larger.
        fmr: float64 [P], the share of impostor trials accepted (FAR).
        fnmr: float64 [P], the share of genuine trials rejected (1 - TAR).
    """

    thresholds: Doubles
    fmr: Doubles
    fnmr: Doubles

    json_keys = "threshold=thresholds fmr fnmr"

    def thinned(self, points: int = 200) -> "RocCurve":
        """Return the curve with about `points` points."""
        kept = np.unique(np.linspace(0, len(self.fmr) - 1, points).astype(np.int64))
        return RocCurve(self.thresholds[kept], self.fmr[kept], self.fnmr[kept])


@dataclass(frozen=True)
class Rate:
    """A rate with a bound on the error from counting scores in bins."""

    value: float
    bound: float = 0.0


class Roc:
    """Error counts at every distinct threshold, or at the edges of a histogram's bins.

    Attributes:
        thresholds: float64 [P], ascending; the first accepts everything, the last nothing.
        false_accepts: int64 [P], impostor scores above each threshold.
        false_rejects: int64 [P], genuine scores not above it.
    """

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        if trials.whole:
            scores = trials.top.scores[::-1], trials.genuine_scores.scores
            values = np.unique(np.concatenate(scores))
            self.thresholds = np.concatenate([[-np.inf], values], dtype=np.float64)
            impostor, genuine = (side.astype(np.float64) for side in scores)
            accepted = np.searchsorted(impostor, self.thresholds, side="right")
            self.false_accepts: Counts = (len(impostor) - accepted).astype(np.int64)
            self.false_rejects: Counts = np.searchsorted(
                genuine, self.thresholds, side="right"
            ).astype(np.int64)
            self.error = 0.0
        else:
            histogram = trials.histogram
            self.thresholds = histogram.edges
            self.false_accepts = trials.impostor - _running(histogram.impostor)
            self.false_rejects = _running(histogram.genuine)
            self.error = histogram.error

    def auc(self) -> Rate:
        """Return P(genuine > impostor) + P(equal) / 2."""
        if self.trials.whole:
            return Rate(self._auc(self.false_accepts))
        high, low = self._auc(self._shifted(1)), self._auc(self._shifted(-1))
        bins = float(np.diff(self.false_rejects) @ -np.diff(self.false_accepts)) / self._area
        middle = self._auc(self.false_accepts)
        return Rate(middle, max(high - middle, middle - low) + bins / 2)

    def eer(self) -> Rate:
        """Return the rate at FMR = FNMR, interpolated between two neighbouring operating points."""
        fmr, fnmr = self.rates()
        value = _crossing(fmr, fnmr)
        if self.trials.whole:
            return Rate(value)
        outer = []
        for direction in (1, -1):
            shifted = self._shifted(direction) / self.trials.impostor
            at = int(np.argmax(fnmr >= shifted))
            # the edges of the bin in which the rates cross bound the equal error rate
            outer += [fnmr[at - 1], shifted[at], shifted[at - 1], fnmr[at]]
        return Rate(value, max(abs(float(rate) - value) for rate in sorted(outer)[1:-1]))

    def eer_hull(self) -> float:
        """Return the equal error rate on the convex hull of the ROC.

        The hull joins operating points by segments of decreasing slope, as pooling adjacent
        violators does.
        """
        # a point between two moves along a line of equal false rejects is no corner
        rises = np.diff(self.false_rejects) != 0
        points = np.flatnonzero(np.append(True, rises) | np.append(rises, True))
        accepts, rejects = self.false_accepts[points], self.false_rejects[points]
        moves = (np.diff(rejects) != 0) | (np.diff(accepts) != 0)
        points = points[np.append(True, moves)]
        rejects = self.false_rejects[points].astype(np.float64)
        accepts = self.false_accepts[points].astype(np.float64)
        hull = _hull(-accepts, rejects)
        return _crossing(accepts[hull] / self.trials.impostor, rejects[hull] / self.trials.genuine)

    def curve(self, points: int = 1000) -> RocCurve:
        """Return the curve thinned to about `points` points, denser where rates are small.

        Every point is an operating point of the trials; no point is interpolated.
        """
        trials = self.trials
        fmr, fnmr = self.rates()
        thresholds = self.thresholds
        if not trials.whole and len(trials.top):
            scores = trials.top.scores.astype(np.float64)
            ranks = np.unique(np.geomspace(1, len(scores), points // 2).astype(np.int64)) - 1
            exact = scores[ranks][::-1]
            accepts = np.searchsorted(-scores, -exact, side="left")
            rejects = trials.genuine - trials.true_accepts_at(exact)
            rough = thresholds < exact[0]
            thresholds = np.concatenate([thresholds[rough], exact])
            fmr = np.concatenate([fmr[rough], accepts / trials.impostor])
            fnmr = np.concatenate([fnmr[rough], rejects / trials.genuine])
        keep = _spread(fmr, fnmr, points)
        return RocCurve(thresholds[keep], fmr[keep], fnmr[keep])

    def rates(self) -> tuple[Doubles, Doubles]:
        """Return FMR and FNMR at each threshold, float64 [P] each."""
        return (
            self.false_accepts / self.trials.impostor,
            self.false_rejects / self.trials.genuine,
        )

    @property
    def _area(self) -> float:
        return float(self.trials.impostor) * float(self.trials.genuine)

    def _auc(self, false_accepts: Counts) -> float:
        """Integrate by trapezoids; exact, because ties count one half."""
        rejected = 2 * self.trials.impostor - false_accepts[1:] - false_accepts[:-1]
        return float(np.diff(self.false_rejects).astype(np.float64) @ rejected) / (2 * self._area)

    def _shifted(self, direction: int) -> Counts:
        """Return the false accepts if every impostor score lay `error` lower (1) or higher (-1)."""
        at = np.searchsorted(self.thresholds, self.thresholds + direction * self.error)
        return self.false_accepts[np.clip(at, 0, len(self.thresholds) - 1)]


def _running(counts: Counts) -> Counts:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _hull(x: Doubles, y: Doubles) -> Counts:
    """Return the indices of points on the lower hull; points ascend in both coordinates.

    A point on or above the line between its neighbours is not a corner and can be removed. A few
    vectorised passes remove most points; the rest are processed one by one.
    """
    kept = np.arange(len(x))
    for _ in range(_PASSES):
        dx, dy = np.diff(x[kept]), np.diff(y[kept])
        corner = dx[:-1] * dy[1:] > dx[1:] * dy[:-1]
        if corner.all():
            return kept
        kept = kept[np.concatenate([[True], corner, [True]])]
    hull: list[int] = []
    for c in kept.tolist():
        while len(hull) > 1:
            a, b = hull[-2:]
            if (x[b] - x[a]) * (y[c] - y[b]) > (x[c] - x[b]) * (y[b] - y[a]):
                break
            hull.pop()
        hull.append(c)
    return np.array(hull)


def _crossing(fmr: Doubles, fnmr: Doubles) -> float:
    """Return the rate at which FMR and FNMR cross, by linear interpolation."""
    at = int(np.argmax(fnmr >= fmr))
    if at == 0:
        return float(fmr[0])
    above, below = fmr[at - 1] - fnmr[at - 1], fnmr[at] - fmr[at]
    share = above / (above + below)
    return float(fmr[at - 1] + share * (fmr[at] - fmr[at - 1]))


def _spread(fmr: Doubles, fnmr: Doubles, points: int) -> Counts:
    """Choose points in even probit-like steps of both rates, with the end points."""
    if len(fmr) <= points:
        return np.arange(len(fmr))

    def position(rate: Doubles) -> Doubles:
        smallest = rate.min(where=rate > 0, initial=1.0)
        logit, other = np.clip(rate, smallest / 2, 1.0), 1 - rate
        np.log(logit, out=logit)
        np.log(np.clip(other, 1e-9, 1.0, out=other), out=other)
        logit -= other
        logit -= logit.min()
        return logit

    length, down = position(fnmr), position(fmr)
    length /= max(length.max(), 1e-12)
    highest = down.max()
    np.subtract(highest, down, out=down)
    down /= max(highest, 1e-12)
    length += down
    chosen = np.searchsorted(length, np.linspace(0, length[-1], points))
    return np.unique(np.concatenate([[0], chosen, [len(fmr) - 1]]))
