import os
import time
from pathlib import Path

import numpy as np
import pytest

from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.snapshot import Snapshot, SnapshotError, write_snapshot
from facever.gallery.records import Change

CHANGE = Change(7, "stamp")


def parts(*sizes: int, dimension: int = 3) -> list:
    random, first = np.random.default_rng(0), 1
    made = []
    for size in sizes:
        vectors = random.normal(size=(size, dimension)).astype(np.float32)
        made.append((vectors, np.arange(first, first + size), random.integers(0, 9, size)))
        first += size
    return made


@pytest.mark.parametrize("dimension", [1, 3, 4])
@pytest.mark.parametrize("sizes", [(0,), (5,), (4, 3), (1000, 1)])
def test_what_is_written_is_read(
    tmp_path: Path, sizes: tuple[int, ...], dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_BLOCK_BYTES", 100)
    given = parts(*sizes, dimension=dimension)
    given[0][2][1:3] = -1
    write_snapshot(tmp_path / "index.snapshot", "gallery", CHANGE, given)
    found = Snapshot.read(tmp_path / "index.snapshot")
    vectors, images, owners = (np.concatenate(column) for column in zip(*given, strict=True))
    living = owners >= 0
    assert np.array_equal(found.vectors, vectors[living])
    assert np.array_equal(found.images, images[living])
    assert np.array_equal(found.owners, owners[living])
    assert (found.trailer.change, found.trailer.stamp) == (7, "stamp")
    assert snapshots.count_in(tmp_path / "index.snapshot") == living.sum()


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "index.snapshot"
    write_snapshot(path, "gallery", CHANGE, parts(3))
    whole = path.read_bytes()
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        path.write_bytes(broken)
        with pytest.raises(SnapshotError, match="damaged"):
            Snapshot.read(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotError, match="damaged"):
            Snapshot.read(path)
        snapshots.count_in(path)  # says something, whatever the bytes
    path.write_bytes(whole)
    assert len(Snapshot.read(path).images) == 3


def test_missing_and_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SnapshotError, match="missing"):
        Snapshot.read(tmp_path / "index.snapshot")
    assert snapshots.count_in(tmp_path / "index.snapshot") == 0
    write_snapshot(tmp_path / "index.snapshot", "gallery", CHANGE, parts(3))
    monkeypatch.setattr(snapshots, "FORMAT", 0)
    with pytest.raises(SnapshotError, match="of a newer format"):
        Snapshot.read(tmp_path / "index.snapshot")


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "index.snapshot", "gallery", CHANGE, parts(3))
    assert (tmp_path / "index.snapshot").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_writer_left_is_deleted_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    old, fresh = (tmp_path / f".index.{name}.tmp.snapshot" for name in ("old", "fresh"))
    for leftover in (old, fresh):
        leftover.write_bytes(b"vectors")
    os.utime(old, (time.time() - 4000,) * 2)
    write_snapshot(tmp_path / "index.snapshot", "gallery", CHANGE, parts(3))
    assert not old.exists()
    assert fresh.exists()
