"""The exact ROC over all pairs: one pass over the blocks, in bounded memory.

Every impostor score is counted in a histogram. The highest scores are kept above a rising floor:
once `wanted` scores are in the bins above it, no lower score can be among the `wanted` largest.
Kept scores are computed again as single pairs, so that every count is exact (see `Scorer`). If more
than `MOST_KEPT` would be kept, the pass is repeated over the bin that contains the quantile.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from facever.evaluation.scoring.dyads import DyadErrors, DyadSums, dyad_keys
from facever.evaluation.scoring.engines import choose_engine
from facever.evaluation.scoring.pairwise import AllPairs, PairScores
from facever.evaluation.scoring.products import NUMPY, Bins, BlockEngine, Screen, places
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints
from facever.evaluation.scoring.trials import (
    Counts,
    Histogram,
    Trials,
    check_both_classes,
    next_above,
)

WHOLE = 4_000_000  # up to this number of impostor trials, every score is kept
MOST_KEPT = 20_000_000
_LOWEST = 1_000  # genuine trials kept if there are more than MOST_KEPT


class StreamedTrials(Trials):
    """All pairs of embeddings as trials.

    Args:
        pairs: The pairs and their scores.
        wanted: Number of the highest impostor trials to keep.
        engine: Engine for block products; NumPy in float32 by default.

    Raises:
        EvaluationError: There is one class of trials only.
    """

    def __init__(
        self,
        pairs: AllPairs,
        wanted: int,
        engine: BlockEngine = NUMPY,
    ) -> None:
        self.pairs, self.genuine, self.impostor = pairs, pairs.genuine, pairs.impostor
        self._engine = engine
        check_both_classes(self.genuine, self.impostor)
        blocks = engine.screen(pairs)
        self.whole = self.impostor <= WHOLE
        self.complete_above = -np.inf
        if self.whole:
            kept = PairScores.join(list(pairs.impostor_scores()))
        else:
            wanted = min(wanted, MOST_KEPT, self.impostor)
            kept, floor, counts = _screen(pairs, blocks, wanted)
            self.complete_above = float(blocks.edges[floor]) + blocks.error
            kept = kept.take(np.flatnonzero(kept.scores > self.complete_above))
        self.top = kept.take(np.argsort(-kept.scores, kind="stable"))
        self.genuine_scores, genuine = self._read_genuine(blocks.edges)
        if self.whole:
            counts = _count_in(blocks.edges, self.top.scores)
        self._histogram = Histogram(blocks.edges, genuine, counts, blocks.error)
        self.dyads = pairs.dyads()

    @property
    def histogram(self) -> Histogram:
        """The scores counted in a few thousand bins."""
        return self._histogram

    def numbered(self, pairs: PairScores) -> PairScores:
        """Return trials with the row numbers of the user."""
        return self.pairs.in_user_order(pairs)

    def people_of(self, pairs: PairScores) -> tuple[Ints, Ints]:
        """Return the two people of each trial, numbered as in `dyads`."""
        return self.pairs.first.codes[pairs.a], self.pairs.second.codes[pairs.b]

    def threshold(self, k: int) -> float:
        """Return the (k + 1)-th largest impostor score, 0 <= k < impostor.

        If more than `MOST_KEPT` scores are so close to it that float32 products cannot distinguish
        them, the threshold is just above all of them and accepts fewer.
        """
        if k < len(self.top):
            return float(self.top.scores[k])
        histogram = self._histogram
        edges, counts, error = histogram.edges, histogram.impostor, histogram.error
        while True:
            above = np.cumsum(counts[::-1])[::-1]
            bin_ = int(np.flatnonzero(above > k)[-1])
            low, high = edges[bin_] - error, edges[bin_ + 1] + error
            first, last = np.searchsorted(edges, [low - error, high + error])
            if int(counts[max(first - 1, 0) : last + 1].sum()) <= MOST_KEPT:
                return self._select(k, low, high)
            finer = self._engine.exact(self.pairs, low, high)
            if high - low <= 8 * finer.error:
                return float(np.nextafter(np.float32(high), np.float32(np.inf)))
            edges, error = finer.edges, finer.error
            counts = _screen(self.pairs, finer, 0)[2]

    def impostor_above(self, score: "np.floating[Any]") -> "np.floating[Any]":
        """Return the lowest impostor score above a score; infinity if there is none.

        Below the kept scores, it searches within the width of one bin first.
        """
        if score >= self.complete_above:
            return next_above(self.top.scores[::-1], score)
        edges = self._histogram.edges
        reach = float(edges[1] - edges[0])
        while True:
            near = self._around(float(score), float(score) + reach)
            scores = np.concatenate([part.scores for _, part in near])
            found: np.floating[Any] = scores[scores > score].min(initial=np.float32(np.inf))
            if found <= float(score) + reach or reach > edges[-1] - edges[0]:
                return found
            reach *= 16

    def false_accepts(self, threshold: float) -> int:
        """Count the impostor scores above a threshold."""
        if threshold >= self.complete_above:
            return int(np.searchsorted(-self.top.scores.astype(np.float64), -threshold))
        total = 0
        for above, near in self._around(threshold, threshold):
            total += above + int((near.scores.astype(np.float64) > threshold).sum())
        return total

    def error_sums(self, threshold: float) -> DyadSums:
        """Sum the impostor scores above a threshold by pairs of people.

        Below the kept scores, it processes all blocks. A pair of people is summed as soon as no
        later block can contain it: for one set, when the rows have passed its first person.
        """
        if threshold >= self.complete_above:
            return super().error_sums(threshold)
        assert self.dyads is not None
        people, codes = self.people, self.pairs.first.codes
        sums = DyadSums(0.0, np.zeros(people), 0.0, 0.0)
        parts: list[DyadErrors] = []
        for rows, columns, keys in self._errors_by_block(threshold):
            parts.append(DyadErrors.of_keys(keys, people))
            at_end = rows.stop == len(codes)
            if columns.stop < len(self.pairs.second.codes) or not (self.pairs.one_set or at_end):
                continue
            held = DyadErrors.join(parts, people)
            passed = len(held.i) if at_end else int(np.searchsorted(held.i, codes[rows.stop]))
            sums += DyadSums.of(held.take(slice(passed)), self.dyads)
            parts = [held.take(slice(passed, None))]
        return sums

    def _errors_by_block(self, threshold: float) -> Iterator[tuple[slice, slice, Ints]]:
        """Yield each block's rows and columns, and the pair of people of each error in it."""
        margin = 2 * self.pairs.scorer.error
        blocks = self._engine.exact(self.pairs)
        for rows, columns in self.pairs.blocks(blocks.shape):
            scores = blocks.scores(rows, columns)
            sure = places(scores > threshold + margin)
            near = places(abs(scores - threshold) <= margin)
            close = _pairs_at(self.pairs, rows, columns, near)
            near = near[close.scores.astype(np.float64) > threshold]
            found = np.append(sure, near)
            width = columns.stop - columns.start
            first = self.pairs.first.codes[rows.start + found // width]
            second = self.pairs.second.codes[columns.start + found % width]
            yield rows, columns, dyad_keys(first, second, self.people)

    def genuine_parts(self) -> Iterator[PairScores]:
        """Yield every genuine trial, in parts if they do not fit in memory."""
        return super().genuine_parts() if self._all_genuine else self.pairs.genuine_scores()

    @property
    def _all_genuine(self) -> bool:
        return len(self.genuine_scores) == self.genuine

    def _select(self, k: int, low: float, high: float) -> float:
        """Return the (k + 1)-th largest score, which lies in [low, high]."""
        total, parts = 0, []
        for above, near in self._around(low, high):
            total += above
            parts.append(near.scores)
        return float(np.sort(np.concatenate(parts))[::-1][k - total])

    def _around(self, low: float, high: float) -> Iterator[tuple[int, PairScores]]:
        """Yield, by blocks, the number of scores above `high`, and the trials near the range.

        The trials contain every pair whose score is in [low, high]; they are not in the number.
        """
        blocks = self._engine.exact(self.pairs)
        margin = 2 * self.pairs.scorer.error
        for rows, columns in self.pairs.blocks(blocks.shape):
            scores = blocks.scores(rows, columns)
            near = places((scores >= low - margin) & (scores <= high + margin))
            yield int((scores > high + margin).sum()), _pairs_at(self.pairs, rows, columns, near)

    def _read_genuine(self, edges: Doubles) -> tuple[PairScores, Counts]:
        """Return the genuine trials in ascending order (the lowest, if too many) and their bins."""
        counts = np.zeros(len(edges) - 1, np.int64)
        parts: list[PairScores] = []
        for tile in self.pairs.genuine_scores():
            counts += _count_in(edges, tile.scores)
            parts.append(tile)
            if self.genuine > MOST_KEPT:
                both = PairScores.join(parts)
                parts = [both.take(np.argsort(both.scores, kind="stable")[:_LOWEST])]
        kept = PairScores.join(parts)
        return kept.take(np.argsort(kept.scores, kind="stable")), counts


def stream(
    pairs: AllPairs, wanted: int, precision: str = "auto", device: str = "cpu"
) -> StreamedTrials:
    """Return all pairs as trials.

    Args:
        pairs: The pairs and their scores.
        wanted: Number of the highest impostor trials to keep.
        precision, device: See `choose_engine`; counts and thresholds do not depend on them, only
            the bounds of AUC and EER. Few trials are scored in NumPy at once.

    Raises:
        EvaluationError: There is one class of trials only; also the errors of `choose_engine`.
    """
    engine = choose_engine(pairs, wanted, precision, device)
    return StreamedTrials(pairs, wanted, engine if pairs.impostor > WHOLE else NUMPY)


def _screen(pairs: AllPairs, blocks: Screen, wanted: int) -> tuple[PairScores, int, Counts]:
    """Count all impostor scores in bins and keep at least the `wanted` highest.

    Returns:
        The kept trials with their exact scores, the lowest bin that is kept completely, and the
        counts of all bins.
    """
    counts = np.zeros(len(blocks.edges) - 1, np.int64)
    parts: list[tuple[Ints, Ints, Bins]] = []
    held, floor = 0, 1 if wanted else len(counts)
    for rows, columns in pairs.blocks(blocks.shape):
        new = blocks.count(rows, columns)
        counts += new
        floor = max(floor, _floor(counts, blocks, wanted))
        if not new[floor:].any():
            continue
        index, bins = blocks.above(floor)
        width = columns.stop - columns.start
        parts.append((rows.start + index // width, columns.start + index % width, bins))
        held += len(index)
        if held > 1.5 * wanted + 1_000_000:
            parts = [_above(parts, floor)]
            held = len(parts[0][0])
    i, j, _ = _above(parts, floor)
    return PairScores(pairs.scorer.pairs(i, j), i, j), floor, counts


def _floor(counts: Counts, blocks: Screen, wanted: int) -> int:
    """Return the lowest bin that may contain one of the `wanted` highest scores.

    The bins above contain at most about `MOST_KEPT` scores; larger bins are left to a second pass.
    """
    above = np.cumsum(counts[::-1])[::-1]
    crowded = int(np.searchsorted(-above, -1.25 * MOST_KEPT))
    enough = np.flatnonzero(above >= wanted)
    if not wanted or not len(enough):
        return max(1, crowded)
    lowest = blocks.edges[enough[-1]] - 2 * blocks.error
    return max(1, crowded, int(np.searchsorted(blocks.edges, lowest, side="right")) - 1)


def _above(parts: list[tuple[Ints, Ints, Bins]], floor: int) -> tuple[Ints, Ints, Bins]:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16)
    i = np.concatenate([part[0] for part in parts])
    j = np.concatenate([part[1] for part in parts])
    bins = np.concatenate([part[2] for part in parts])
    keep = bins >= floor
    return i[keep], j[keep], bins[keep]


def _pairs_at(pairs: AllPairs, rows: slice, columns: slice, index: Ints) -> PairScores:
    width = columns.stop - columns.start
    i, j = rows.start + index // width, columns.start + index % width
    return PairScores(pairs.scorer.pairs(i, j), i, j)


def _count_in(edges: Doubles, scores: Floats) -> Counts:
    last = len(edges) - 2
    bins = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, last)
    return np.bincount(bins, minlength=last + 1)
