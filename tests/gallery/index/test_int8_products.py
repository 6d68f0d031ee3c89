"""The highest int8 products against sorting all of them."""

import numpy as np
import pytest

from facever.gallery.index import int8_products
from facever.gallery.index.int8_products import SECOND, highest_products


def products(codes: np.ndarray, probes: np.ndarray) -> np.ndarray:
    each = probes.astype(np.int64) @ codes.astype(np.int64).T
    return each[0] if len(each) == 1 else SECOND * each[0] + each[1]


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize(("rows", "depth"), [(10, 10), (333, 7), (1000, 64), (1000, 1)])
def test_against_sorting(monkeypatch, rows: int, depth: int, words: int, chosen: bool) -> None:
    monkeypatch.setattr(int8_products, "_PROBES", 5)
    monkeypatch.setattr(int8_products, "_CELLS", 1500)
    random = np.random.default_rng(rows + depth)
    codes = random.integers(-127, 128, (rows, 48), dtype=np.int8)
    probes = random.integers(-127, 128, (words, 12, 48), dtype=np.int8)
    which = np.sort(random.choice(rows, rows * 9 // 10, replace=False)) if chosen else None
    whole = products(codes, probes)
    found, places = highest_products(codes, probes, depth, which)
    kept = whole if which is None else whole[:, which]
    expected = np.full((12, depth), -np.inf)
    ranked = -np.sort(-kept, axis=1)[:, :depth]
    expected[:, : ranked.shape[1]] = ranked
    assert np.array_equal(found, expected)
    there = places >= 0
    assert np.array_equal(there, np.isfinite(found))
    assert np.array_equal(np.take_along_axis(whole, np.maximum(places, 0), 1)[there], found[there])
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in places)
