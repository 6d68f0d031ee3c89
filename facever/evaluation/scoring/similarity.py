"""Scores as products of two matrices: cosine, dot product and negative squared distance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from facever.embeddings.similarities import Similarity, named_similarity
from facever.embeddings.unit import ROUNDING, first_not_unit, pair_cosines, unit_rows
from facever.errors import EvaluationError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.integer[Any]]
"""Row numbers and codes of any integer type: those of long lists are int32."""

_CHUNK = 1 << 18  # values gathered at a time for scores of single pairs; fits the cache


class PairScorer(Protocol):
    """The scores of the rows of one side with those of another: products, or given scores."""

    @property
    def low(self) -> float:
        """Lower end of the range of the scores."""

    @property
    def high(self) -> float:
        """Upper end of the range of the scores."""

    @property
    def error(self) -> float:
        """Bound on the difference of a score of a block from the pair's score; 0 if exact."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows on the left and on the right."""

    @property
    def width(self) -> int:
        """Numbers read for one row of one side."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the scores."""

    def block(self, rows: Ints | slice, columns: Ints | slice) -> Any:
        """Return the scores of rows with columns up to the error, [R, C], in a new array."""

    def compared(self, rows: Ints | slice, columns: Ints | slice) -> Any:
        """Return a mask [R, C] of the pairs that have a score; None if all have one."""

    def pairs(self, i: npt.NDArray[np.integer], j: npt.NDArray[np.integer]) -> Any:
        """Return the scores of single pairs, [K]."""

    def tiles(self, rows: Ints, columns: Ints) -> Any:
        """Return the scores of all pairs of rows [K, n] with columns [K, m], [K, n, m]."""

    def take(self, rows: Ints, columns: Ints) -> Self:
        """Return the same scores with the rows of both sides in another order."""

    def turned(self) -> Self:
        """Return the same scores with the sides exchanged."""


@dataclass(frozen=True)
class Scorer:
    """The scores of the rows of one set with those of another (or the same).

    The score of a pair does not depend on blocks, threads, precision or processor. For "cosine" it
    is `pair_cosines` of the two rows, as in gallery and verify; otherwise it is the product
    left_i · right_j in float64, rounded to float32. Blocks are multiplied in float32, with an error
    of at most `error`; scores that close to a threshold are computed again exactly.

    Attributes:
        left: float32 [N, D].
        right: float32 [M, D].
        low, high: Range of the scores.
        error: Bound on the difference of a float32 block product from the pair's score.
        cosines: float32 [N, D] and [M, D], the rows whose cosine is the pair's score; None if the
            score is the product.
    """

    left: Floats
    right: Floats
    low: float
    high: float
    error: float
    cosines: tuple[Floats, Floats] | None = None

    @classmethod
    def between(cls, left: Floats, right: Floats) -> Self:
        """Return the scorer of the products of two matrices, with bounds by Cauchy-Schwarz."""
        scale = _longest(left) * _longest(right)
        # gamma_D of a float32 dot product of D terms, and one rounding of the result
        error = 1.01 * (left.shape[1] + 1) * 2.0**-24 * scale
        return cls(left, right, -scale - 2 * error, scale + 2 * error, error)

    @classmethod
    def cosine(cls, left: Floats, right: Floats) -> Self:
        """Return the scorer of the cosines of rows with lengths of about 1."""
        off = _off_unit(left, right)
        near = (left, right)
        if off > 2 * ROUNDING:
            first = unit_rows(left)[0]
            near = (first, first if right is left else unit_rows(right)[0])
            off = _off_unit(*near)
        made = cls.between(*near)
        reach, error = made.high + off, made.error + off
        return cls(*near, -reach, reach, error, (left, right))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows on the left and on the right."""
        return len(self.left), len(self.right)

    @property
    def width(self) -> int:
        """Numbers read for one row of one side."""
        return int(self.left.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the scores."""
        return np.dtype(np.float32)

    def block(self, rows: Ints | slice, columns: Ints | slice) -> Floats:
        """Return the float32 products of rows with columns, [R, C]."""
        product: Floats = self.left[rows] @ self.right[columns].T
        return product

    def compared(self, rows: Ints | slice, columns: Ints | slice) -> None:
        """Return None: all pairs have a score."""

    def turned(self) -> Self:
        """Return the same scores with the sides exchanged."""
        cosines = None if self.cosines is None else (self.cosines[1], self.cosines[0])
        return type(self)(self.right, self.left, self.low, self.high, self.error, cosines)

    def take(self, rows: Ints, columns: Ints) -> Self:
        """Return the same scores with the rows of both sides in another order."""
        first, second = (self.left, self.right), self.cosines
        left, right = _taken(first, rows, columns)
        cosines = None
        if second is not None:
            same = all(one is other for one, other in zip(first, second, strict=True))
            cosines = (left, right) if same else _taken(second, rows, columns)
        return type(self)(left, right, self.low, self.high, self.error, cosines)

    def pairs(self, i: npt.NDArray[np.integer], j: npt.NDArray[np.integer]) -> Floats:
        """Return the scores of single pairs, float32 [K]."""
        scores = np.empty(len(i), np.float32)
        first, second = self.cosines or (self.left, self.right)
        step = max(1, _CHUNK // self.left.shape[1])
        for start in range(0, len(i), step):
            part = slice(start, start + step)
            left, right = first[i[part]], second[j[part]]
            scores[part] = (
                np.einsum("kd,kd->k", left.astype(np.float64), right, dtype=np.float64)
                if self.cosines is None
                else pair_cosines(left, right)
            )
        return scores

    def tiles(self, rows: Ints, columns: Ints) -> Floats:
        """Return the scores of all pairs of rows [K, n] with columns [K, m], float32 [K, n, m].

        They are equal to those of `pairs`: products in float64. Scores so close to the midpoint of
        two float32 values that the order of summation matters are computed as single pairs.
        """
        first, second = self.cosines or (self.left, self.right)
        left, right = first[rows].astype(np.float64), second[columns].astype(np.float64)
        products = left @ right.transpose(0, 2, 1)
        if self.cosines is not None:
            lengths = [np.sqrt(np.einsum("knd,knd->kn", side, side)) for side in (left, right)]
            products /= lengths[0][:, :, None] * lengths[1][:, None, :]
            np.clip(products, -1, 1, out=products)
        noise = (
            self.error * 2.0**-27
        )  # float64 rounding is 2**-29 of that, in two sums and two lengths
        scores: Floats = (products - noise).astype(np.float32)
        unsure = np.nonzero(scores != (products + noise).astype(np.float32))
        batch, i, j = unsure
        scores[unsure] = self.pairs(rows[batch, i], columns[batch, j])
        return scores


def make_scorer(
    vectors: Floats,
    similarity: str = "cosine",
    norms: Floats | None = None,
    others: Floats | None = None,
    other_norms: Floats | None = None,
) -> Scorer:
    """Return the scorer of a set with itself, or with another set.

    Args:
        vectors: float32 [N, D]; unit rows for "cosine".
        similarity: "cosine", "dot" or "euclidean" (minus the squared distance).
        norms: float32 [N], the lengths before normalisation; for "dot" and "euclidean" the rows
            are multiplied by them. If None, the rows are used unchanged.
        others: float32 [M, D], a second set.
        other_norms: float32 [M], as `norms`.

    Raises:
        EvaluationError: The similarity is unknown, widths differ, or rows for "cosine" are not of
            unit length.
    """
    similarity = named_similarity(similarity)
    if others is not None and others.shape[1] != vectors.shape[1]:
        raise EvaluationError(
            f"the two sets have vectors of width {vectors.shape[1]} and {others.shape[1]}: "
            "embed both with one model"
        )
    if similarity == "cosine":
        check_unit(vectors)
        if others is not None:
            check_unit(others)
        return Scorer.cosine(vectors, vectors if others is None else others)
    left = vectors if norms is None else vectors * norms[:, None]
    right = left
    if others is not None:
        right = others if other_norms is None else others * other_norms[:, None]
    if similarity == "dot":
        return Scorer.between(left, right)
    centre = left.mean(axis=0, dtype=np.float64).astype(np.float32)
    return _euclidean(left - centre, right - centre)


def pair_scores(first: Floats, second: Floats, similarity: Similarity) -> Floats:
    """Return the score of each pair of rows, float32 [N], equal to `Scorer.pairs`.

    Args:
        first: float32 [N, D]; any lengths for "cosine", else with their final lengths.
        second: float32 [N, D].
        similarity: Kind of score.
    """
    if similarity == "cosine":
        return pair_cosines(first, second)
    if similarity == "euclidean":
        first = second = first - second
    products = np.einsum("nd,nd->n", first.astype(np.float64), second, dtype=np.float64)
    scores: Floats = (products if similarity == "dot" else -products).astype(np.float32)
    return scores


def check_unit(vectors: Floats) -> None:
    """Raise for rows whose length is not 1.

    Raises:
        EvaluationError: A row is not of unit length; the message has the first row and its length.
    """
    row = first_not_unit(vectors)
    if row is not None:
        length = float(np.linalg.norm(vectors[row].astype(np.float64)))
        raise EvaluationError(
            f"vector {row} has length {length:.4g}, not 1: divide each row by its length, or "
            "use the similarity dot or euclidean"
        )


def _euclidean(left: Floats, right: Floats) -> Scorer:
    """Return the scorer of -|a - b|² = 2 a·b - |a|² - |b|² as one product of widened rows.

    The squared lengths are stored as a float32 and its remainder, without loss of precision.
    """

    def widen(rows: Floats, own: Callable[[Floats, Floats, Floats], list[Floats]]) -> Floats:
        squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        high = squares.astype(np.float32)
        rest = (squares - high).astype(np.float32)
        return np.column_stack([rows, *own(np.ones_like(high), high, rest)])

    wide_left = widen(left, lambda one, high, rest: [-high, -rest, -one, -one])
    wide_right = widen(right, lambda one, high, rest: [one, one, high, rest])
    wide_left[:, : left.shape[1]] *= 2
    scorer = Scorer.between(wide_left, wide_right)
    farthest = (_longest(left) + _longest(right)) ** 2
    return Scorer(
        wide_left, wide_right, -farthest - 2 * scorer.error, 2 * scorer.error, scorer.error
    )


def _longest(rows: Floats) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64).max(initial=0.0)))


def _off_unit(left: Floats, right: Floats) -> float:
    """Return a bound on the difference from 1 of the product of two lengths."""
    ends = []
    for rows in (left, right):
        squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        ends.append(np.sqrt([squares.min(initial=1.0), squares.max(initial=1.0)]))
    return float(np.abs(ends[0] * ends[1] - 1).max())


def _taken(sides: tuple[Floats, Floats], rows: Ints, columns: Ints) -> tuple[Floats, Floats]:
    """Return rows of either side; one matrix if both sides are the same."""
    left = sides[0][rows]
    return left, left if sides[1] is sides[0] and columns is rows else sides[1][columns]
