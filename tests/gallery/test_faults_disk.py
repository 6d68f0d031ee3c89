"""A disk that is full: each change says so and is not made; with room again all goes on."""

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery

DIMENSION = 64
FULL = "the disk is full; nothing was changed"

pytestmark = pytest.mark.in_folder(
    "it is about the files of a folder; of servers: tests/gallery/store/postgres"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB, where this user may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def _refused(do: Callable[[], object]) -> str:
    with pytest.raises(GalleryError) as error:
        do()
    return str(error.value)


def test_a_full_disk(
    disk: Path, units: Callable, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, store = disk / "gallery", disk / "gallery" / "gallery.db"
    people = [f"p{each}" for each in range(500)]
    with Gallery.create(path, fingerprint="m", dimension=DIMENSION) as gallery:
        gallery.enroll(units(500, dimension=DIMENSION), people, fingerprint="m")
        gallery.rebuild()
        before, probes = gallery.info(), units(5, 1, DIMENSION)
        answers = gallery.search(probes, fingerprint="m")
        many = units(40_000, 2, DIMENSION)
        assert _refused(lambda: gallery.enroll(many, "x", fingerprint="m")) == f"{store}: {FULL}"
        assert (gallery.info(), gallery.check()) == (before, [])
        assert store.with_name("gallery.db-wal").stat().st_size == 0  # what was in vain is gone
        _fill(disk / "filling")
        told = [
            _refused(gallery.purge),
            _refused(lambda: gallery.enroll(many, "x", fingerprint="m")),
            _refused(lambda: Gallery.create(disk / "new", fingerprint="m", dimension=8)),
            _refused(lambda: gallery.export(disk / "export")),
            _refused(gallery.rebuild),
        ]
        assert told == [
            f"{store}: {FULL}",
            f"{store}: {FULL}",
            f"{disk / 'new' / 'gallery.db'}: {FULL}",
            f"{disk / 'export'} cannot be written: No space left on device",
            f"{path}: the index was not written: [Errno 28] No space left on device: "
            f"'{path / 'index.snapshot'}'",
        ]
        assert {entry.name for entry in disk.iterdir()} == {"filling", "gallery"}
        with Gallery.open(path) as other:
            assert other.info() == before
            assert other.search(probes, fingerprint="m") == answers
        (disk / "filling").unlink()
        assert gallery.enroll(many[:1], "x", fingerprint="m").images == 1
        gallery.purge()
        assert gallery.check() == []
        assert gallery.info().images == 501
    assert capsys.readouterr().err == ""


def test_a_store_that_can_grow_no_more(empty: Gallery, units: Callable) -> None:
    """The same without a disk of its own: SQLite is told how many pages there are."""
    empty.enroll(units(50), "a", fingerprint="model-1")
    before, store = empty.info(), empty.path / "gallery.db"
    database = empty._store._database
    with database.writing() as change:
        pages = change.db.execute("PRAGMA page_count").fetchone()[0]
    database._writer.execute(f"PRAGMA max_page_count = {pages}")
    changes: list[Callable[[], object]] = [
        lambda: empty.enroll(units(5000), "b", fingerprint="model-1"),
        lambda: empty.update("a", {"about": "x" * 10**6}),
    ]
    for change in changes:
        assert _refused(change) == f"{store}: {FULL}"
        assert (empty.info(), empty.check()) == (before, [])
    database._writer.execute("PRAGMA max_page_count = 1000000")
    assert empty.enroll(units(5000), "b", fingerprint="model-1").images == 5000


def test_a_new_gallery_on_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkdtemp", full)
    made = _refused(lambda: Gallery.create(tmp_path / "new", fingerprint="m", dimension=8))
    assert made == f"{tmp_path / 'new'} cannot be created: No space left on device"


def test_a_search_of_a_gallery_that_nobody_has_open_on_a_full_disk(
    disk: Path, units: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    path, people = disk / "gallery", [f"p{each}" for each in range(500)]
    with Gallery.create(path, fingerprint="m", dimension=DIMENSION) as gallery:
        gallery.enroll(units(500, dimension=DIMENSION), people, fingerprint="m")
        gallery.rebuild()
        answers = gallery.search(units(5, 1, DIMENSION), fingerprint="m")
    _fill(disk / "filling")
    with Gallery.open(path) as gallery:
        assert gallery.search(units(5, 1, DIMENSION), fingerprint="m") == answers
        assert "nothing was changed" in _refused(lambda: gallery.remove("p1"))
        (disk / "filling").unlink()
        assert gallery.remove("p1") == 1
        found = gallery.search(units(500, dimension=DIMENSION)[:9], fingerprint="m")
        assert "p1" not in {one.person for answer in found for one in answer.candidates}
        assert gallery.check() == []
    assert capsys.readouterr().err == ""


def test_a_log_that_a_full_disk_keeps_from_being_read(
    empty: Gallery, units: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of changes: none was wanted."""

    def full(*arguments: object, **more: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    empty.enroll(units(1), "a", fingerprint="model-1")
    monkeypatch.setattr(sqlite3, "connect", full)
    said = _refused(lambda: Gallery.open(empty.path))
    assert said.endswith("the disk reports an error")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    said = _refused(lambda: Gallery.open(empty.path))
    assert "the disk is full" in said
    assert "nothing was changed" not in said


def test_an_enrolment_whose_index_cannot_be_written_is_made(
    disk: Path, units: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk has room for the images, and none for an index of them."""
    path = disk / "gallery"
    with Gallery.create(path, fingerprint="m", dimension=DIMENSION, index="HNSW32") as gallery:
        many = units(12_000, 2, DIMENSION)
        assert gallery.enroll(many, "x", fingerprint="m", conflicts="ignore").images == 12_000
        gallery._index.wait()
        assert gallery.info().images == 12_000
        assert gallery.search(many[:2], k=1, fingerprint="m")[0].candidates[0].person == "x"
    said = capsys.readouterr().err
    assert "warning: the index of" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert {entry.name for entry in path.iterdir()} <= {
        "gallery.db",
        "index.lock",
        "index.snapshot",
    }
