import numpy as np
import pytest

from facever.embeddings.unit import first_not_unit, pair_cosines, unit_rows
from facever.errors import DataError


def test_rows_keep_their_direction_and_their_length_is_told() -> None:
    given = np.random.default_rng(0).normal(size=(20, 5)) * 7
    units, lengths = unit_rows(given)
    for row, unit, length in zip(given, units, lengths, strict=True):
        exact = sum(x * x for x in row.tolist()) ** 0.5
        assert length == np.float32(exact)
        assert np.allclose(unit, row / exact, rtol=1e-6)
    assert units.dtype == lengths.dtype == np.float32


def test_extreme_lengths_neither_overflow_nor_vanish() -> None:
    units, _ = unit_rows(np.float32([[3e30, 4e30], [3e-30, 4e-30], [0, 0]]))
    assert np.allclose(units, [[0.6, 0.8], [0.6, 0.8], [0, 0]])


def test_nan_is_refused() -> None:
    with pytest.raises(DataError, match="vector 1 contains NaN or infinity"):
        unit_rows(np.float32([[1, 0], [np.nan, 1]]))


@pytest.mark.parametrize("wrong", [[0, 0], [2, 0], [np.nan, 0], [0.99, 0], [np.inf, 0]])
def test_the_first_row_that_is_not_unit_is_found(wrong: list[float]) -> None:
    good = [[1, 0], [0.6, 0.8]]
    assert first_not_unit(np.float32(good)) is None
    assert first_not_unit(np.float32([*good, wrong, wrong])) == 2


def test_a_pair_has_one_cosine_whatever_it_is_computed_beside() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(2, 400, 67)).astype(np.float32)
    together = pair_cosines(first, second)
    order = generator.permutation(400)
    assert np.array_equal(pair_cosines(first[order], second[order]), together[order])
    assert np.array_equal(pair_cosines(second, first), together)
    for row in range(400):
        alone = pair_cosines(first[row : row + 1], second[row : row + 1])
        assert alone == together[row]
        exact = sum(float(a) * float(b) for a, b in zip(first[row], second[row], strict=True))
        lengths = [sum(float(a) ** 2 for a in one[row]) ** 0.5 for one in (first, second)]
        assert together[row] == pytest.approx(exact / lengths[0] / lengths[1], rel=1e-6, abs=1e-7)
    assert together.dtype == np.float32


def test_a_cosine_does_not_depend_on_lengths_and_stays_in_its_range() -> None:
    first = np.array([[0.6, 0.8], [1.001, 0.0], [4e36, 0.0], [0.0, 0.0], [np.nan, 1.0]])
    second = np.array([[0.6, 0.8], [0.5, 0.75**0.5], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = pair_cosines(first, second)
    assert found[:3].tolist() == [1.0, 0.5, 1.0]
    assert np.isnan(found[3:]).all()
