"""The highest int8 products by FAISS, in parts and threads, against sorting all of them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest

from facever.gallery.index import quantiser
from facever.gallery.index.quantiser import Quantiser


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    before = faiss.omp_get_max_threads()
    monkeypatch.setattr(quantiser, "_PART", 4)
    monkeypatch.setattr(quantiser, "_BLOCK", 100)
    faiss.omp_set_num_threads(request.param)
    yield request.param
    faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize(("rows", "depth"), [(3, 5), (333, 7), (1000, 64), (1000, 1), (50, 50)])
def test_against_sorting(threads: int, rows: int, depth: int, chosen: bool) -> None:
    random = np.random.default_rng(rows + depth)
    codes = random.integers(-127, 128, (rows, 48), dtype=np.int8)
    probes = random.integers(-127, 128, (4, 48), dtype=np.int8)
    which = np.sort(random.choice(rows, rows * 2 // 3, replace=False)) if chosen else None
    whole = probes.astype(np.int64) @ codes.astype(np.int64).T
    expected = np.full((4, depth), -np.inf)
    ranked = -np.sort(-(whole if which is None else whole[:, which]), axis=1)[:, :depth]
    expected[:, : ranked.shape[1]] = ranked
    held = Quantiser(codes)
    assert len(held._parts) == min(threads, max(1, rows // 4))
    for now in (threads, 1):  # fewer threads later
        faiss.omp_set_num_threads(now)
        found, places = held.highest(probes, depth, which)
        assert np.array_equal(found, expected)
        there = places >= 0
        assert np.array_equal(there, np.isfinite(found))
        assert np.array_equal(
            np.take_along_axis(whole, np.maximum(places, 0), 1)[there], found[there]
        )
        assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in places)
        assert which is None or np.isin(places[there], which).all()
    assert faiss.omp_get_max_threads() == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_starts_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiser, "_PART", 4)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        codes = np.random.default_rng(0).integers(-127, 128, (20, 16), dtype=np.int8)
        held, probe = Quantiser(codes), np.ones((1, 16), np.int8)
        expected = held.highest(probe, 3)[1].tolist()
        child = os.fork()
        if not child:
            signal.alarm(20)  # ends the child if it waits for threads that it does not have
            os._exit(held.highest(probe, 3)[1].tolist() != expected)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="no /proc/self/smaps")
def test_the_memory_of_mapped_codes_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "codes"
    path.write_bytes(np.random.default_rng(0).integers(0, 256, 1 << 22, dtype=np.uint8).tobytes())
    codes = np.memmap(path, np.uint8, mode="r")[: 1 << 22].view(np.int8).reshape(-1, 64)

    def resident() -> int:
        _, _, said = Path("/proc/self/smaps").read_text().partition(str(path))
        return int(said.partition("Rss:")[2].split()[0])

    total = int(codes.astype(np.int64).sum())
    assert resident() >= 4096
    held = Quantiser(codes)
    assert resident() == 0
    probe = np.ones((1, 64), np.int8)
    assert held.highest(probe, 1)[0] == codes.astype(np.int64).sum(axis=1).max()
    assert int(codes.astype(np.int64).sum()) == total
