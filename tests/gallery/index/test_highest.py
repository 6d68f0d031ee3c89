"""The highest products of blocks against sorting all of them."""

import numpy as np
import pytest
import torch

from facever.gallery.index import highest
from facever.gallery.index.highest import Highest, whole_groups


def highest_of(
    products: np.ndarray, depth: int, block: int, kind: torch.dtype = torch.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest of products [N, P], given in blocks of so many rows."""
    lowest = torch.tensor(-np.inf, dtype=kind)
    found = Highest(products.shape[1], depth, lowest)
    for begin in range(0, len(products), block):
        some = products[begin : begin + block]
        padded = np.full((whole_groups(len(some)), products.shape[1]), 1e9, np.float32)
        padded[: len(some)] = some
        found.add(torch.from_numpy(padded).to(kind), begin, len(some))
    return found.result()


@pytest.mark.parametrize("block", [1, 33, 100, 1000])
@pytest.mark.parametrize("depth", [1, 7, 64])
@pytest.mark.parametrize("order", [1, -1, 0])  # ascending, descending, or neither
def test_against_sorting(block: int, depth: int, order: int) -> None:
    products = np.random.default_rng(depth).standard_normal((321, 5)).astype(np.float32)
    products[:, 4] = np.round(products[:, 4])  # ties
    if order:
        products = np.sort(products, axis=0)[::order]
    found, rows = highest_of(products, depth, block)
    assert np.array_equal(found, -np.sort(-products.T, axis=1)[:, :depth])
    assert np.array_equal(np.take_along_axis(products.T, rows, 1), found)
    assert all(len(set(row)) == depth for row in rows.tolist())


def test_fewer_rows_than_asked_for() -> None:
    found, rows = highest_of(np.float32([[1, 4], [2, 3]]), 3, 10)
    assert found.tolist() == [[2, 1, -np.inf], [4, 3, -np.inf]]
    assert rows.tolist() == [[1, 0, -1], [0, 1, -1]]


@pytest.mark.parametrize("mean", [0, -9])  # also where all products are negative
@pytest.mark.parametrize("block", [1, 33, 321])
def test_bfloat16_against_sorting(mean: float, block: int) -> None:
    products = np.random.default_rng(2).standard_normal((321, 5)) + mean
    products = torch.from_numpy(products).to(torch.bfloat16).float().numpy()  # with ties
    found, rows = highest_of(products, 7, block, torch.bfloat16)
    assert np.array_equal(found, -np.sort(-products.T, axis=1)[:, :7])
    assert np.array_equal(np.take_along_axis(products.T, rows, 1), found)
    assert all(len(set(row)) == 7 for row in rows.tolist())


def test_equal_products_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    sorted_ = highest._sorted

    def counted(*given):
        found = sorted_(*given)
        kept.append(len(found[0]))
        return found

    monkeypatch.setattr(highest, "_sorted", counted)
    found, rows = highest_of(np.full((5000, 3), 7, np.float32), 2, 5000)
    assert (found == 7).all()
    assert max(kept) == 6
    assert all(len(set(row)) == 2 for row in rows.tolist())
