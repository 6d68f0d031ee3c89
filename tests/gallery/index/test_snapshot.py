from pathlib import Path

import numpy as np
import pytest

from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.engine import Entries, State
from facever.gallery.index.sealed import SealError
from facever.gallery.index.snapshot import Snapshot, allowed_lag, count_in, write_snapshot
from facever.gallery.records import Change


def state(dimension: int = 3) -> State:
    return State("gallery", "generation", Change(7, "stamp"), dimension, 5)


def batches(*sizes: int, dimension: int = 3) -> list[Entries]:
    random, first, made = np.random.default_rng(0), 1, []
    for size in sizes:
        vectors = random.normal(size=(size, dimension)).astype(np.float32)
        owners, checksums = random.integers(0, 9, size), random.integers(0, 2**32, size, np.uint32)
        made.append(Entries(np.arange(first, first + size), owners, vectors, checksums))
        first += size
    return made


@pytest.mark.parametrize("dimension", [1, 3, 4])
@pytest.mark.parametrize("sizes", [(), (0,), (5,), (4, 3), (1000, 1)])
def test_what_is_written_is_read(
    tmp_path: Path, sizes: tuple[int, ...], dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "CHUNK", 100)
    given, path = batches(*sizes, dimension=dimension), tmp_path / "index.snapshot"
    for batch in given:
        batch.owners[1:3] = -1
    write_snapshot(path, state(dimension), iter(given))
    found = Snapshot.read(path)
    none = np.empty((0, dimension), np.float32)
    empty = Entries(np.empty(0, int), np.empty(0, int), none, np.empty(0, np.uint32))
    expected = [np.concatenate(column) for column in zip(empty, *given, strict=True)]
    living = expected[1] >= 0
    for column, right in zip(found.entries, expected, strict=True):
        assert np.array_equal(column, right[living])
    assert found.state == state(dimension)
    assert count_in(path) == living.sum()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("magic", [b"FVINDEX\0", b"FVINDEX2"])
def test_a_snapshot_of_before_is_told_from_a_damaged_one(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "index.snapshot"
    path.write_bytes(b"vectors" + magic + bytes(8))
    with pytest.raises(SealError, match=r"^of an older format$"):
        Snapshot.read(path)


def test_how_far_it_may_be_behind() -> None:
    assert [allowed_lag(count) for count in (0, 20_000, 20_020, 10**6)] == [
        1000,
        1000,
        1001,
        50_000,
    ]
