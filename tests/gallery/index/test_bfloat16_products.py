"""The highest bfloat16 products against float64, and the bound of their error."""

import numpy as np
import pytest
import torch

from facever.embeddings.unit import unit_rows
from facever.gallery.index import bfloat16_products
from facever.gallery.index.bfloat16_products import Rounding, bound, highest_products


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((rows, width)))[0]


@pytest.mark.parametrize(("rows", "depth"), [(10, 12), (1000, 64), (1000, 1)])
def test_against_float64(monkeypatch: pytest.MonkeyPatch, rows: int, depth: int) -> None:
    monkeypatch.setattr(bfloat16_products, "_PROBES", 5)
    monkeypatch.setattr(bfloat16_products, "_CELLS", 1500)
    vectors, probes = unit(rows, 48, 1), unit(12, 48, 2)
    lost, damaged = Rounding.of(vectors)
    found, places = highest_products(vectors, probes, depth, damaged)
    exact = probes.astype(np.float64) @ vectors.T.astype(np.float64)
    there = places >= 0
    assert (there.sum(axis=1) == min(rows, depth)).all()
    assert np.isneginf(found[~there]).all()
    limit = bound(probes, lost, found)[:, None]
    errors = np.abs(found - np.take_along_axis(exact, np.maximum(places, 0), 1))
    assert (errors[there] <= np.broadcast_to(limit, there.shape)[there]).all()
    ranked = -np.sort(-exact, axis=1)[:, :depth]
    assert (np.abs(found[:, : ranked.shape[1]] - ranked) <= limit).all()
    others = exact.copy()
    np.put_along_axis(others, np.where(there, places, places[:, :1]), -np.inf, 1)
    assert (others <= np.where(there, found, np.inf).min(axis=1, keepdims=True) + limit).all()
    assert all(len(set(row[row >= 0])) == min(rows, depth) for row in places)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_holds_where_every_rounding_goes_one_way(sign: int) -> None:
    """Every value lies in the middle of two bfloat16 numbers, and all errors have one sign."""
    width = 512
    value = (1 + 2.0**-8 + sign * 2.0**-20) / 32  # rounded up, or down, by nearly 2**-8 / 32
    vectors = np.full((40, width), value, np.float32)
    probes = vectors[:1].copy()
    lost, damaged = Rounding.of(vectors)
    found, _ = highest_products(vectors, probes, 1, damaged)
    exact = float(probes[0].astype(np.float64) @ vectors[0].astype(np.float64))
    error, limit = abs(float(found[0, 0]) - exact), bound(probes, lost, found)[0]
    assert error > 1.9 * 2.0**-8 * exact  # nearly two of the three roundings
    assert error <= limit
    assert limit < 3 * 2.0**-8


def test_the_bound_has_what_the_vectors_and_the_sum_lose() -> None:
    """A vector is rounded down by as much as is possible, and so is the sum; the probe is exact."""
    vector, probe = np.full(272, 0, np.float32), np.full(272, 0, np.float32)
    vector[:256], probe[:256] = (1 + 2.0**-8 * (1 - 2.0**-10)) / 16, 1 / 16
    vector[256], probe[256] = 2.0**-4, 2.0**-4 * (1 - 2.0**-7)
    vectors, probes = vector[None], probe[None]
    lost, damaged = Rounding.of(vectors)
    found, _ = highest_products(vectors, probes, 1, damaged)
    error = float(probes[0].astype(np.float64) @ vectors[0].astype(np.float64)) - found[0, 0]
    limit = bound(probes, lost, found)[0]
    assert found[0, 0] == 1
    assert 1.98 * 2.0**-8 < error <= limit < 2.05 * 2.0**-8


def test_what_is_lost_by_rounding() -> None:
    vectors = unit(300, 40, 7)
    there = torch.from_numpy(vectors).to(torch.bfloat16).double().numpy()
    lost = np.linalg.norm(vectors - there, axis=1)
    assert Rounding.of(vectors) == (pytest.approx(lost.max(), rel=1e-5), False)
    vectors[[3, 4, 5]] = np.array([[np.nan], [np.inf], [1e20]])
    left = np.delete(lost, [3, 4, 5]).max()
    assert Rounding.of(vectors) == (pytest.approx(left, rel=1e-5), True)


@pytest.mark.parametrize("negative", [False, True])
def test_a_damaged_vector_comes_first(negative: bool) -> None:
    vectors = unit(100, 16, 3)
    vectors[70] = -np.nan if negative else np.nan
    found, places = highest_products(vectors, unit(4, 16, 4), 2, Rounding.of(vectors).damaged)
    assert np.isposinf(found[:, 0]).all()
    assert (places[:, 0] == 70).all()
    assert np.isfinite(found[:, 1]).all()


def test_a_library_that_sums_in_bfloat16_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16_products, "multiplies_bfloat16", lambda: True)
    bfloat16_products._sums_in_float32.cache_clear()
    try:
        assert bfloat16_products.is_usable(1e12)
        bfloat16_products._sums_in_float32.cache_clear()
        one = torch.ones((), dtype=torch.bfloat16)
        monkeypatch.setattr(torch.Tensor, "__matmul__", lambda *_: one)
        assert not bfloat16_products.is_usable(1e12)
    finally:
        bfloat16_products._sums_in_float32.cache_clear()
