"""The snapshot, and the seal that it ends with: what is written is read, and damage is noticed."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.unit import unit_rows
from facever.gallery.index import sealed
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.codes import LEAST, Codes
from facever.gallery.index.sealed import SealError, checksum, said_by, seal, stamp_of, unseal
from facever.gallery.index.snapshot import (
    Snapshot,
    allowed_lag,
    codes_size,
    count_in,
    lacks_codes,
    write_snapshot,
)
from facever.gallery.index.state import State
from facever.gallery.records import Change, Entries

MAGIC, SAID = b"FVTESTS1", {"count": 7, "of": "tests"}


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


@pytest.mark.parametrize("cone", [False, True])
def test_the_codes_are_those_of_the_vectors(
    tmp_path: Path, cone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "CHUNK", 1000)
    (given,), path = batches(LEAST + 100, dimension=20), tmp_path / "index.snapshot"
    given = given._replace(vectors=unit_rows(given.vectors + 9 * cone)[0])
    given.vectors[[5, 50]] = np.eye(20, dtype=np.float32)[[0, 3]]  # outside the scale
    given.owners[:50] = -1
    assert codes_size(path) == 0
    write_snapshot(path, state(20), [given])
    codes, expected = Snapshot.read(path).codes, Codes.of(given.vectors[50:])
    assert codes is not None
    assert expected is not None
    assert np.array_equal(codes.codes, expected.codes)
    assert np.array_equal(codes.outside, expected.outside)
    assert 0 in codes.outside
    assert (codes.scale.axis is not None) == cone
    assert np.array_equal(codes.scale.axis, expected.scale.axis) if cone else True
    assert (codes.scale.step, codes.reach) == (expected.scale.step, pytest.approx(expected.reach))
    assert codes_size(path) == codes.codes.nbytes
    assert not lacks_codes(path)


def test_vectors_that_no_scale_fits_have_no_codes(tmp_path: Path) -> None:
    (given,), path = batches(LEAST, dimension=4), tmp_path / "index.snapshot"
    given.vectors[::3] = np.nan
    write_snapshot(path, state(4), [given])
    assert Snapshot.read(path).codes is None
    assert (codes_size(path), lacks_codes(path)) == (0, False)


@pytest.mark.parametrize("magic", [b"FVINDEX\0", b"FVINDEX2", b"FVINDEX3"])
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


# -- the seal -----------------------------------------------------------


def sealed_file(path: Path, size: int) -> bytes:
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    seal(path, MAGIC, SAID)
    return content


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 50_000])
def test_what_is_sealed_is_read(tmp_path: Path, size: int, monkeypatch) -> None:
    monkeypatch.setattr(sealed, "CHUNK", 16384)
    content = sealed_file(tmp_path / "file", size)
    found, said = unseal(tmp_path / "file", MAGIC)
    assert found.tobytes() == content
    assert said == SAID == said_by(tmp_path / "file")


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    sealed_file(path, 40)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            broken = bytearray(whole)
            broken[position] ^= 1 << bit
            path.write_bytes(broken)
            with pytest.raises(SealError, match="damaged"):
                unseal(path, MAGIC)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SealError, match="damaged"):
            unseal(path, MAGIC)
        said_by(path)  # says something, whatever the bytes
    path.write_bytes(whole)
    assert unseal(path, MAGIC)[1] == SAID


def test_what_changes_in_a_block_changes_the_checksum() -> None:
    """One bit, any two bits in the same place of two words, words that change places."""
    random = np.random.default_rng(0)
    block = random.integers(0, 256, 8192, dtype=np.uint8)
    right = checksum([block])
    for position in range(0, 8192, 7):
        broken = block.copy()
        broken[position] ^= 1 << position % 8
        assert checksum([broken]) != right
    for _ in range(200):
        first, second = random.choice(1024, 2, replace=False) * 8 + 5
        broken = block.copy()
        broken[first] ^= 16
        broken[second] ^= 16
        assert checksum([broken]) != right
        words = block.view("<u8").copy()
        words[[first // 8, second // 8]] = words[[second // 8, first // 8]]
        assert checksum([words.view(np.uint8)]) != right
    two = random.integers(0, 256, 16384, dtype=np.uint8)
    assert (
        checksum([two[8192:], two[:8192]]) != checksum([two]) == checksum([two[:8192], two[8192:]])
    )


def test_other_files_have_their_reason(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(SealError, match=r"^missing$"):
        unseal(path, MAGIC)
    assert (said_by(path), stamp_of(path)) == ({}, None)
    sealed_file(path, 9000)
    with pytest.raises(SealError, match=r"^of another format$"):
        unseal(path, b"FVTESTS2")
    with pytest.raises(SealError, match=r"^of an older format$"):
        unseal(path, b"FVTESTS2", MAGIC)
    path.write_bytes(b"")
    with pytest.raises(SealError, match=r"^damaged$"):
        unseal(path, MAGIC)


def test_a_file_that_takes_anothers_place_has_another_stamp(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("a")
    other.write_text("b")
    before = stamp_of(path)
    assert before == stamp_of(path)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert stamp_of(path) != before


def test_a_file_that_is_replaced_as_it_is_opened_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, opening = sealed_file(tmp_path / "file", 9000), sealed.open_regular
    sealed_file(tmp_path / "next", 70)

    def open_and_replace(path: Path):
        opened = opening(path)
        if (tmp_path / "next").exists():
            (tmp_path / "next").replace(path)
        return opened

    monkeypatch.setattr(sealed, "open_regular", open_and_replace)
    assert unseal(tmp_path / "file", MAGIC)[0].tobytes() == content
    assert not (tmp_path / "next").exists()


@pytest.mark.parametrize("said", [b"[]", b"{", b"[" * 100_000, b'{"count": ' + b"1" * 30 + b"}"])
def test_a_whole_file_that_says_nothing_of_itself_is_damaged(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(said + struct.pack("<8sI", MAGIC, len(said)))
    content = np.frombuffer(path.read_bytes(), np.uint8)
    path.write_bytes(content.tobytes() + struct.pack("<I", checksum([content])))
    with pytest.raises(SealError, match="damaged"):
        unseal(path, MAGIC)
    assert said_by(path) == {}


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SealError, match="damaged"):
        unseal(tmp_path / "fifo", MAGIC)
    assert said_by(tmp_path / "fifo") == {}
