"""The Mantel test against every permutation."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from facever.errors import EvaluationError
from facever.evaluation.statistics.mantel import mantel


def symmetric(size: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(size, size))
    return values + values.T


def test_the_correlation_is_spearmans_off_the_diagonal() -> None:
    one, two = symmetric(9, 0), symmetric(9, 1)
    one[0, 1] = one[1, 0] = one[2, 3]  # a tie
    one[3, 2] = one[2, 3]
    two = two + 0.7 * one
    upper = np.triu_indices(9, 1)
    found = mantel(one, two, 99)
    assert found.correlation == pytest.approx(spearmanr(one[upper], two[upper]).statistic)
    assert mantel(one, -two, 99).correlation == pytest.approx(-found.correlation)
    assert mantel(one + 100 * np.eye(9), np.exp(two), 99) == found  # ranks, and no diagonal


@pytest.mark.parametrize("mixed", [0.0, 0.6, -0.6])
def test_p_against_all_permutations(mixed: float) -> None:
    one = symmetric(6, 2)
    two = symmetric(6, 3) + 2 * mixed * one
    upper = np.triu_indices(6, 1)
    observed = abs(spearmanr(one[upper], two[upper]).statistic)
    exact = np.mean(
        [
            abs(spearmanr(one[np.ix_(order, order)][upper], two[upper]).statistic)
            >= observed - 1e-12
            for order in permutations(range(6))
        ]
    )
    found = mantel(one, two, permutations=4000, seed=1)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000) + 1e-3)
    assert (found.p * 4001) == pytest.approx(round(found.p * 4001))
    assert found.p >= 1 / 4001


def test_a_perfect_match_has_the_smallest_p_and_seeds_repeat() -> None:
    one = symmetric(12, 4)
    assert mantel(one, one, 199).p == 1 / 200
    assert mantel(one, symmetric(12, 5), 199, 3) == mantel(one, symmetric(12, 5), 199, 3)
    assert mantel(one, one, 199).to_dict() == {
        "correlation": pytest.approx(1), "p": 0.005, "permutations": 199, "size": 12,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((3, 4)), symmetric(4, 0), r"the first matrix is \[3, 4\], not square"),
        (symmetric(4, 0), symmetric(5, 0), "matrices of 4 and 5 items"),
        (symmetric(3, 0), symmetric(3, 1), "needs four items or more, there are 3"),
        (symmetric(4, 0), np.triu(symmetric(4, 1)), "the second matrix is not symmetric"),
        (symmetric(4, 0), np.full((4, 4), np.nan), "NaN or infinite entries"),
        (symmetric(4, 0), np.eye(4), "all entries of the second matrix are equal"),
    ],
)
def test_bad_matrices(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        mantel(first, second, 9)


def test_at_least_one_permutation() -> None:
    with pytest.raises(EvaluationError, match="0 permutations"):
        mantel(symmetric(4, 0), symmetric(4, 1), 0)
