"""Search of probes in a gallery: best score, and score and rank of the mate."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from facever.evaluation.one_to_many.nearest import above, below, rows_at_once
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints, PairScorer, make_scorer
from facever.evaluation.scoring.trials import half_way, next_above
from facever.operating_point import ScoreRule

_CELLS = 1 << 23  # scores of people held at once
_COLUMNS = 8192  # templates compared at once: their scores are reduced to people in the cache


@dataclass(frozen=True)
class Searched:
    """Search results of each probe.

    Attributes:
        best: Float [P], the score of the first candidate; -inf without candidates.
        mate: Float [P], the mate's score; -inf for non-mated probes and if it was not found.
        rank: int64 [P], the mate's rank. A mate that ties with others is ranked after them; without
            a mate it is the number of people plus 1.
        mated: Bool [P], whether the probe's person is in the gallery.
        codes: int64 [P], numbers of the probes' people.
        people: Number of people in the gallery.
    """

    best: npt.NDArray[np.floating]
    mate: npt.NDArray[np.floating]
    rank: Ints
    mated: Bools
    codes: Ints
    people: int


def search(
    probes: Floats, gallery: Floats, people: list[Ints], rule: ScoreRule, similarity: str
) -> Searched:
    """Search every probe by exact comparison with every row of the gallery.

    Float32 products of blocks are a first filter; scores that are too close are computed again
    exactly, so that scores and ranks do not depend on blocks or threads.

    Args:
        probes: float32 [P, D], unit rows for "cosine".
        gallery: float32 [G, D], one or several templates per person.
        people: int64 [P] and [G], with common numbers.
        rule: A person's score is the "max" or the "mean" over their templates.
        similarity: "cosine", "euclidean" or "dot".
    """
    order = np.argsort(people[1], kind="stable")
    scorer = make_scorer(probes, similarity, others=gallery[order])
    return search_with(scorer, [people[0], people[1][order]], rule)


def search_with(
    scorer: PairScorer, people: list[Ints], rule: ScoreRule, mated: Bools | None = None
) -> Searched:
    """Search every probe by the scores of a scorer.

    Args:
        scorer: Scores of the probes with the gallery; -inf for no score.
        people: int64 [P], and [G] in ascending order, with common numbers.
        rule: A person's score is the "max" or the "mean" over their templates.
        mated: Bool [P], whether the probe's person is in the gallery; by default where it has a
            template there.
    """
    codes, starts, counts = np.unique(people[1], return_index=True, return_counts=True)
    scores = _PersonScores(scorer, starts, counts, rule)
    size = len(people[0])
    where = np.minimum(np.searchsorted(codes, people[0]), len(codes) - 1)
    enrolled = codes[where] == people[0] if mated is None else mated
    best, mate = np.empty(size, scorer.dtype), np.full(size, -np.inf, scorer.dtype)
    rank = np.full(size, len(codes) + 1, np.int64)
    step = rows_at_once(len(codes), _CELLS)
    for start in range(0, size, step):
        rows = np.arange(start, min(start + step, size))
        block = scores.block(rows)
        best[rows] = scores.highest(rows, block)
        here = np.flatnonzero(enrolled[rows])
        mate[rows[here]], rank[rows[here]] = scores.ranked(
            rows[here], block[here], where[rows[here]]
        )
    rank[np.isneginf(mate)] = len(codes) + 1
    return Searched(best, mate, rank, enrolled, people[0], len(codes))


def cut(searched: Searched, k: int) -> float:
    """Return a threshold that is exceeded by the best scores of at most k non-mated probes.

    It lies half way from the (k + 1)-th highest of these to the next score of a non-mated probe or
    of a mate; see `half_way`.

    Args:
        searched: The search results, with non-mated probes.
        k: 0 to the number of non-mated probes minus 1.
    """
    strangers = np.sort(searched.best[~searched.mated])
    score = strangers[len(strangers) - 1 - k]
    compared = np.sort(np.concatenate([strangers, searched.mate[searched.mated]]))
    return half_way(score, next_above(compared, score))


@dataclass(frozen=True)
class _PersonScores:
    """Scores of probes with people, whose templates are contiguous in the gallery."""

    scorer: PairScorer
    starts: Ints
    counts: Ints
    rule: ScoreRule

    @property
    def _error(self) -> float:
        """Bound on the error of a block's scores."""
        if self.rule == "max":
            return self.scorer.error
        largest = max(abs(self.scorer.low), abs(self.scorer.high))
        return self.scorer.error + (int(self.counts.max()) + 2) * 2.0**-24 * largest

    def block(self, rows: Ints) -> Floats:
        """Return the scores of some probes with all people, up to the error, [b, N]."""
        scores: Floats = np.empty((len(rows), len(self.starts)), self.scorer.dtype)
        reduced = np.maximum if self.rule == "max" else np.add
        for people in self._pieces:
            begin = self.starts[people.start]
            end = self.starts[people.stop - 1] + self.counts[people.stop - 1]
            product = self.scorer.block(rows, slice(begin, end))
            reduced.reduceat(product, self.starts[people] - begin, axis=1, out=scores[:, people])
        if self.rule == "mean":
            scores /= self.counts.astype(np.float32)
        return scores

    @cached_property
    def _pieces(self) -> list[slice]:
        """People with together at most so many templates, or one with more."""
        ends, pieces, start = self.starts + self.counts, [], 0
        while start < len(ends):
            last = int(np.searchsorted(ends, self.starts[start] + _COLUMNS, side="right"))
            pieces.append(slice(start, max(last, start + 1)))
            start = pieces[-1].stop
        return pieces

    def own(self, rows: Ints, people: Ints) -> Floats:
        """Return the scores of single probes with single people, [K]."""
        counts = self.counts[people]
        firsts = np.cumsum(counts) - counts
        templates = np.arange(counts.sum()) + np.repeat(self.starts[people] - firsts, counts)
        scores: Floats = self.scorer.pairs(np.repeat(rows, counts), templates)
        if self.rule == "max":
            return np.maximum.reduceat(scores, firsts)
        means = np.add.reduceat(scores.astype(np.float64), firsts) / counts
        return means.astype(scores.dtype)

    def highest(self, rows: Ints, block: Floats) -> Floats:
        """Return each probe's best score, [b]."""
        floor = below(block.max(axis=1), 2 * self._error)
        at, people = np.nonzero(block >= floor[:, None])
        return np.maximum.reduceat(
            self.own(rows[at], people), np.searchsorted(at, np.arange(len(rows)))
        )

    def ranked(self, rows: Ints, block: Floats, mates: Ints) -> tuple[Floats, Ints]:
        """Return the mates' scores and ranks, [b] each; the rank counts equal or higher scores."""
        if not len(rows):
            return np.empty(0, np.float32), np.empty(0, np.int64)
        own = self.own(rows, mates)
        sure = block > above(own, self._error)[:, None]
        at, people = np.nonzero((block >= below(own, self._error)[:, None]) & ~sure)
        ahead = self.own(rows[at], people) >= own[at]
        return own, sure.sum(axis=1) + np.bincount(at[ahead], minlength=len(rows))
