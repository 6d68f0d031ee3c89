import errno
from pathlib import Path

import numpy as np
import pytest

from facever.gallery.index import approximate as room
from facever.gallery.index.approximate import Approximate, rows_among, write_approximate
from facever.gallery.index.sealed import SealError, padding, seal, unseal
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.state import State
from facever.gallery.records import Change, Entries

STATE = State("gallery", "generation", Change(7, "stamp"), 8, 5)


@pytest.fixture
def snapshot(units) -> Snapshot:
    numbers = np.arange(300) * 3 + 5
    return Snapshot(STATE, Entries(numbers, numbers % 50, units(300), np.zeros(300, np.uint32)))


def written(path: Path, snapshot: Snapshot, kind: str = "IVF4,Flat:nprobe=4") -> Path:
    write_approximate(path / "index.faiss", kind, kind, snapshot)
    return path / "index.faiss"


def opened(path: Path, snapshot: Snapshot, kind: str = "IVF4,Flat:nprobe=4"):
    return Approximate.read(path, kind, snapshot, lambda state: state == STATE)


@pytest.mark.parametrize(
    "kind",
    [
        "IVF4,Flat:nprobe=4",
        "HNSW8:efSearch=300",
        "SQ8",
        "SQfp16",
        "IVF4_HNSW8,SQ8:nprobe=4",
        "IVF4,RaBitQ4,RFlat:nprobe=4,k_factor_rf=4",
    ],
)
def test_it_proposes_the_rows_that_exact_search_finds(tmp_path, snapshot, units, kind) -> None:
    path = written(tmp_path, snapshot, kind)
    assert path.stat().st_mode & 0o777 == 0o600
    found = opened(path, snapshot, kind)
    assert (found.kind, found.covered) == (kind, 300)
    queries = units(20, seed=1)
    best = np.argsort(-queries @ snapshot.entries.vectors.T, axis=1)[:, :10]
    rows = found.propose(queries, 20)
    assert all(set(right) <= set(proposed) for right, proposed in zip(best, rows, strict=True))
    assert found.propose(queries, 1000).shape == (20, 300)


def test_parameters_are_kept_and_short_lists_end_with_none(tmp_path, snapshot, units) -> None:
    one, two = (
        opened(written(tmp_path, snapshot, kind), snapshot, kind).propose(units(5), 300)
        for kind in ("IVF4,Flat:nprobe=1", "IVF4,Flat:nprobe=2")
    )
    for rows in (*one, *two):
        count = (rows >= 0).sum()
        assert count < 300  # what the cells that were not probed hold is not found
        assert len(set(rows[:count])) == count
        assert (rows[count:] == -1).all()
    assert ((one >= 0).sum(axis=1) < (two >= 0).sum(axis=1)).all()


def test_rows_of_a_later_snapshot_are_found_by_their_numbers(tmp_path, snapshot, units) -> None:
    """Some went and some came: what is proposed are rows of the snapshot that is there now."""
    path, entries = written(tmp_path, snapshot), snapshot.entries
    stays = np.arange(300) % 4 != 0
    came = Entries(np.arange(2000, 2010), np.arange(10), units(10, seed=3), np.zeros(10, np.uint32))
    later = Snapshot(
        STATE,
        Entries(*(np.concatenate(pair) for pair in zip(entries.rows(stays), came, strict=True))),
    )
    found = opened(path, later)
    assert found.covered == stays.sum()
    queries = entries.vectors[1:41]
    rows = found.propose(queries, 1)[:, 0]
    for query, row, stayed in zip(queries, rows, stays[1:41], strict=True):
        if stayed:
            assert np.array_equal(later.entries.vectors[row], query)
        else:
            assert row == -1


def test_every_damage_is_noticed_before_faiss_reads(tmp_path, snapshot, monkeypatch) -> None:
    path = written(tmp_path, snapshot)
    whole = path.read_bytes()
    monkeypatch.setattr(room, "_opened", lambda *_: pytest.fail("FAISS saw damaged bytes"))
    random = np.random.default_rng(0)
    for position in random.choice(len(whole), 300, replace=False):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        path.write_bytes(broken)
        with pytest.raises(SealError, match="damaged"):
            opened(path, snapshot)
        path.write_bytes(whole[:position])
        with pytest.raises(SealError, match="damaged"):
            opened(path, snapshot)


def test_of_another_state_or_kind(tmp_path, snapshot) -> None:
    with pytest.raises(SealError, match=r"^missing$"):
        opened(tmp_path / "index.faiss", snapshot)
    path = written(tmp_path, snapshot)
    with pytest.raises(SealError, match=r"^of kind 'IVF4,Flat:nprobe=4'$"):
        opened(path, snapshot, "HNSW8")
    with pytest.raises(SealError, match=r"^of another state of the gallery$"):
        Approximate.read(path, "IVF4,Flat:nprobe=4", snapshot, lambda _: False)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("IVF4096,Flat", "index 'IVF4096,Flat' needs at least 4,096 gallery vectors to train; "),
        ("PQ4x4:ht=2", "index 'PQ4x4:ht=2' cannot search by cosine similarity ("),
    ],
)
def test_what_cannot_be_made_says_why_and_leaves_no_index(
    tmp_path, snapshot, capsys, kind, reason
) -> None:
    path = written(tmp_path, snapshot, kind)
    said = opened(path, snapshot, kind)
    assert isinstance(said, str)
    assert said.startswith(reason)
    assert said.endswith(": search is exact until then")
    assert capsys.readouterr().err == said + "\n"
    assert path.stat().st_size < 1000


def test_another_file_that_takes_its_place_while_it_is_checked_is_checked_too(
    tmp_path, snapshot, monkeypatch
) -> None:
    path, real, opens = written(tmp_path, snapshot), room._opened, []
    (tmp_path / "next").mkdir()
    later = written(tmp_path / "next", snapshot)

    def slow(*given: object) -> object:
        opens.append(given)
        if len(opens) == 1:
            later.replace(path)
        return real(*given)

    monkeypatch.setattr(room, "_opened", slow)
    assert isinstance(opened(path, snapshot), Approximate)
    assert len(opens) == 2


def test_rows_among_numbers() -> None:
    numbers = np.array([2, 3, 7, 9])
    assert rows_among(np.array([1, 2, 7, 8, 11]), numbers).tolist() == [-1, 0, 2, -1, -1]
    assert rows_among(numbers, numbers).tolist() == [0, 1, 2, 3]
    assert rows_among(numbers, numbers[:0]).tolist() == [-1] * 4
    assert rows_among(numbers[:0], numbers).tolist() == []


class FakeGpu:
    """FAISS on a machine with a GPU, as far as its calls go."""

    def __init__(self, faiss, works: bool) -> None:
        self._faiss, self._works, self.cloned = faiss, works, []

    def __getattr__(self, name: str) -> object:
        return getattr(self._faiss, name)

    def get_num_gpus(self) -> int:
        return 1

    def StandardGpuResources(self) -> str:  # noqa: N802
        return "resources"

    def index_cpu_to_gpu(self, resources: str, device: int, index: object) -> object:
        if not self._works:
            raise RuntimeError("This index type is not implemented on GPU.")
        self.cloned.append((resources, device))
        return index


@pytest.mark.parametrize("works", [True, False])
def test_a_gpu_takes_the_index_where_there_is_one(
    tmp_path, snapshot, units, monkeypatch, capsys, works
) -> None:
    path = written(tmp_path, snapshot)
    assert Approximate.flat_on_gpu(snapshot) is None
    gpu = FakeGpu(room.import_faiss(), works)
    monkeypatch.setattr(room, "import_faiss", lambda: gpu)
    queries = units(5, seed=1)
    best = np.argmax(queries @ snapshot.entries.vectors.T, axis=1)
    for found in (opened(path, snapshot), Approximate.flat_on_gpu(snapshot)):
        assert np.array_equal(found.propose(queries, 1)[:, 0], best)
    assert gpu.cloned == [("resources", 0)] * 2 * works
    assert ("does not work on the GPU (This index type" in capsys.readouterr().err) != works


def _sealed_again(path: Path, bytes_of_faiss: bytes) -> None:
    """Put other bytes where FAISS's are, under a seal that is whole."""
    content, said = unseal(path, room.MAGIC)
    numbers = content[len(content) - 8 * said["count"] :].tobytes()
    path.write_bytes(bytes_of_faiss + bytes(padding(len(bytes_of_faiss))) + numbers)
    seal(path, room.MAGIC, said)


@pytest.mark.parametrize("content", [b"", b"garbage!" * 9, b"IxFI" + bytes([255]) * 60])
def test_a_whole_file_that_faiss_cannot_read_is_named(tmp_path, snapshot, content) -> None:
    path = written(tmp_path, snapshot)
    _sealed_again(path, content)
    with pytest.raises(SealError, match="not readable by FAISS"):
        opened(path, snapshot)


@pytest.mark.parametrize("shape", [(40, 5), (39, 8)])
def test_a_whole_file_of_other_vectors_is_named(tmp_path, snapshot, shape) -> None:
    path, faiss = written(tmp_path, snapshot), room.import_faiss()
    other = faiss.IndexFlatIP(shape[1])
    other.add(np.zeros(shape, np.float32))
    _sealed_again(path, faiss.serialize_index(other).tobytes())
    with pytest.raises(SealError, match=f"width {shape[1]}"):
        opened(path, snapshot)


def test_a_full_disk_inside_faiss_is_said_and_leaves_what_stood_there(
    tmp_path, snapshot, monkeypatch
) -> None:
    path, faiss = written(tmp_path, snapshot), room.import_faiss()
    before = path.read_bytes()

    def full(index: object, name: str) -> None:
        Path(name).write_bytes(b"half")
        raise RuntimeError("Error in write_index at io.cpp:99: failed: No space left on device")

    monkeypatch.setattr(faiss, "write_index", full)
    monkeypatch.setattr(room, "_NO_ROOM", 1 << 62)
    with pytest.raises(OSError, match="No space left on device") as error:
        written(tmp_path, snapshot)
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_kind_that_faiss_cannot_read_again_is_not_made_again_and_again(
    tmp_path, snapshot, monkeypatch, capsys
) -> None:
    def unreadable(*given: object) -> object:
        raise RuntimeError("failed: no such index")

    monkeypatch.setattr(room, "_opened", unreadable)
    path = written(tmp_path, snapshot)
    assert "cannot be read again (no such index)" in opened(path, snapshot)
