"""The Mantel test for the correlation of two similarity matrices of the same items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from facever.core.seeding import stream
from facever.errors import EvaluationError
from facever.render.values import Record


@dataclass(frozen=True)
class MantelResult(Record):
    """Spearman's correlation of the off-diagonal entries of two matrices.

    Attributes:
        correlation: -1 to 1.
        p: (k + 1) / (n + 1), k of n permutations gave a correlation as far from zero.
        permutations: n.
        size: Number of items.
    """

    correlation: float
    p: float
    permutations: int
    size: int

    def __str__(self) -> str:
        return (
            f"Spearman correlation {self.correlation:+.3f} over {self.size} identities, "
            f"Mantel p = {self.p:.4g} ({self.permutations:,} permutations, two-sided)"
        )


def mantel(
    first: ArrayLike, second: ArrayLike, permutations: int = 9999, seed: int = 0
) -> MantelResult:
    """Correlate two symmetric matrices by ranks, with a permutation test over items.

    The entries of such a matrix are not independent, so that the usual test of a correlation is
    invalid. Permuting whole rows and columns preserves the dependence.

    Args:
        first, second: [N, N], symmetric, of the same items in the same order; the diagonals are
            ignored.
        permutations: Number of permutations.
        seed: Seed of the permutations.

    Raises:
        EvaluationError: The matrices are not square, differ in size, are not symmetric or not
            finite, have fewer than four items or all entries equal, or there is no permutation.

    Reference:
        Mantel, The detection of disease clustering and a generalized regression approach, Cancer
        Research 27, 1967.
    """
    matrices = [_checked(matrix, name) for matrix, name in ((first, "first"), (second, "second"))]
    size = len(matrices[0])
    if len(matrices[1]) != size:
        raise EvaluationError(
            f"matrices of {size} and {len(matrices[1])} items: the sizes must be equal"
        )
    if size < 4:
        raise EvaluationError(f"a Mantel test needs four items or more, there are {size}")
    if permutations < 1:
        raise EvaluationError(f"{permutations} permutations: at least one is needed")
    one, two = (_ranks(matrix) for matrix in matrices)
    observed = float((one * two).sum())
    random = stream(seed, "mantel")
    reached = 0
    for _ in range(permutations):
        order = random.permutation(size)
        # tolerance for rounding: an equal correlation counts
        reached += abs((one[np.ix_(order, order)] * two).sum()) >= abs(observed) - 1e-9
    return MantelResult(observed, (reached + 1) / (permutations + 1), permutations, size)


def _checked(matrix: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise EvaluationError(f"the {name} matrix is {list(values.shape)}, not square")
    off = values[~np.eye(len(values), dtype=bool)]
    if not np.isfinite(off).all():
        raise EvaluationError(f"the {name} matrix has NaN or infinite entries")
    if not np.allclose(values - np.diag(np.diag(values)), values.T - np.diag(np.diag(values))):
        raise EvaluationError(f"the {name} matrix is not symmetric")
    if len(off) and np.ptp(off) == 0:
        raise EvaluationError(
            f"all entries of the {name} matrix are equal: the correlation is undefined"
        )
    return values


def _ranks(matrix: np.ndarray) -> np.ndarray:
    """Return the ranks off the diagonal, centred and of length 1; 0 on the diagonal."""
    upper = np.triu_indices(len(matrix), 1)
    ranks = rankdata(matrix[upper])
    ranks -= ranks.mean()
    whole = np.zeros_like(matrix)
    whole[upper] = ranks / np.sqrt(2 * np.square(ranks).sum())
    return np.asarray(whole + whole.T)
