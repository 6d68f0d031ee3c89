"""What befalls a gallery's files: each fault has its line, and nothing that can be kept is lost."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.index import approximate as approximates
from facever.gallery.index.sealed import seal, unseal
from facever.gallery.index.writing import LOCK
from facever.gallery.store.sqlite.schema import FORMAT

DAMAGED = "it is damaged; restore it from a copy"
NO_SQLITE = "it is not an SQLite file; restore it from a copy"
NO_STORE = "is not a gallery's store"

pytestmark = pytest.mark.in_folder(
    "it is about the files of a folder; of servers: tests/gallery/store/postgres"
)


@pytest.fixture
def closed(gallery: Gallery) -> Path:
    """The folder of a gallery of sixty images, closed, with an index."""
    gallery.rebuild()
    gallery.close()
    return gallery.path


def refused(path: Path, do: Callable[[Gallery], object], wait: float = 0.2) -> str:
    """Return the one line with which an opening or what follows it is refused."""
    with pytest.raises(GalleryError) as error, Gallery.open(path, wait=wait) as opened:
        do(opened)
    return str(error.value)


# -- the store ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, f" {NO_STORE}"),
        (1, f" {NO_STORE}"),
        (15, f": {NO_SQLITE}"),
        (50, f": {DAMAGED}"),
        (200, f": {DAMAGED}"),
        (16384, f": {DAMAGED}"),
        (-16384, f": {DAMAGED}"),
    ],
)
def test_a_truncated_store(closed: Path, size: int, said: str) -> None:
    store = closed / "gallery.db"
    os.truncate(store, size if size >= 0 else store.stat().st_size + size)
    assert refused(closed, lambda opened: opened.info()) == f"{store}{said}"


def test_any_flipped_byte_of_the_store_is_refused_or_harmless(closed: Path, faces) -> None:
    """Sixty places, twenty in the header: one line or whole answers, never another error."""
    store, random = closed / "gallery.db", np.random.default_rng(0)
    whole = store.read_bytes()
    refusals = findings = answered = 0
    for case in range(60):
        content = bytearray(whole)
        at = random.integers(100 if case < 20 else len(content))
        content[at] ^= random.integers(1, 256)
        store.write_bytes(content)
        try:
            with Gallery.open(closed, wait=0.2) as opened:
                assert len(opened.search(faces)) == 60
                found = opened.check()
                findings += bool(found)
                assert all(f.problem.isprintable() for f in found)
        except GalleryError as error:
            refusals += str(error).startswith(str(store))
        else:
            answered += 1
    assert (refusals > 5, findings > 3) == (True, True)
    assert refusals + answered == 60


def test_a_store_that_is_another_file(closed: Path) -> None:
    store = closed / "gallery.db"
    store.write_text("mine" * 1000)
    assert refused(closed, lambda opened: opened.info()) == f"{store}: {NO_SQLITE}"
    store.unlink()
    with closing(sqlite3.connect(store)) as db:
        db.execute("CREATE TABLE mine (a)")
    assert refused(closed, lambda opened: opened.info()) == f"{store} {NO_STORE}"


def test_a_gallery_of_a_newer_format(closed: Path) -> None:
    store = closed / "gallery.db"
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA user_version = 99")
    before = store.read_bytes()
    assert refused(closed, lambda opened: opened.info()) == (
        f"{store} has format 99, newer than this facever reads ({FORMAT}); update facever "
        "(pip install -U facever)"
    )
    assert store.read_bytes() == before


def test_an_error_that_ended_the_reading_is_the_one_that_is_told(gallery: Gallery) -> None:
    """SQLite rolls back on its own when the disk fails, such as under a log that was deleted."""
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR
    store = gallery.path / "gallery.db"
    with pytest.raises(GalleryError) as error, gallery._store._database.reading() as read:
        read.db.execute("ROLLBACK")
        raise failed
    assert str(error.value) == f"{store}: the disk reports an error"
    assert gallery.info().images == 60


def _change_and_die(path: Path, units: Callable) -> None:
    """Leave changes in the log only, as a killed process does."""
    child = os.fork()
    if not child:
        opened = Gallery.open(path)
        opened.enroll(units(2, seed=9), "late", fingerprint="model-1")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_log_that_a_killed_process_left_is_taken_up(closed: Path, units: Callable) -> None:
    _change_and_die(closed, units)
    assert (closed / "gallery.db-wal").stat().st_size > 0
    with Gallery.open(closed) as opened:
        assert (opened.info().images, opened.check()) == (62, [])


def test_without_its_log_a_store_is_as_it_was_before(closed: Path, units: Callable) -> None:
    _change_and_die(closed, units)
    (closed / "gallery.db-wal").unlink()
    with Gallery.open(closed) as opened:
        assert (opened.info().images, opened.check()) == (60, [])
        opened.enroll(units(1), "later", fingerprint="model-1")
    with Gallery.open(closed) as opened:
        assert (opened.info().images, opened.check()) == (61, [])


def test_a_log_with_a_flipped_byte_is_taken_up_to_there(closed: Path, units: Callable) -> None:
    _change_and_die(closed, units)
    log = closed / "gallery.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with Gallery.open(closed) as opened:
        assert (opened.info().images, opened.check()) == (60, [])


# -- the folder ---------------------------------------------------------------------------------


def test_a_folder_that_goes_under_an_open_gallery(gallery: Gallery, units: Callable) -> None:
    gallery.search(units(1), fingerprint="model-1")
    shutil.rmtree(gallery.path)
    gone = f"{gallery.path / 'gallery.db'} is gone: it was moved or deleted while it was open"
    for do in (
        lambda: gallery.search(units(1), fingerprint="model-1"),
        lambda: gallery.enroll(units(1), "late", fingerprint="model-1"),
        lambda: gallery.remove("a"),
        gallery.info,
        gallery.purge,
        lambda: gallery.export(gallery.path.with_name("export")),
    ):
        with pytest.raises(GalleryError) as error:
            do()
        assert str(error.value) == gone
    with pytest.raises(GalleryError, match="is gone"):
        gallery.rebuild()
    assert gone in {finding.problem for finding in gallery.check()}
    gallery.close()
    assert not gallery.path.exists()


def test_a_store_that_is_replaced_under_an_open_gallery(
    gallery: Gallery, units: Callable, tmp_path: Path
) -> None:
    """A backup is put back: neither does it get what was meant for the other, nor is that lost."""
    with Gallery.open(gallery.path) as other:
        gallery.remove("a")
        copy = tmp_path / "copy"
        gallery.close()
        shutil.copytree(gallery.path, copy)
        shutil.rmtree(gallery.path)
        copy.rename(gallery.path)
        for do in (other.info, lambda: other.enroll(units(1), "late", fingerprint="model-1")):
            with pytest.raises(GalleryError, match="was replaced while it was open; open the gall"):
                do()
    with Gallery.open(gallery.path) as opened:
        assert (opened.info().images, opened.check()) == (25, [])


def test_a_copy_made_while_the_gallery_is_open(
    gallery: Gallery, units: Callable, tmp_path: Path
) -> None:
    gallery.enroll(units(2, seed=9), "late", fingerprint="model-1")
    shutil.copytree(gallery.path, tmp_path / "copy")
    with Gallery.open(tmp_path / "copy") as copy:
        assert (copy.info().images, copy.check()) == (62, [])
        copy.remove("late")
        copy.purge()
    assert len(gallery.verify(units(1), "late", fingerprint="model-1").scores) == 1
    assert gallery.check() == []


# -- the clock ----------------------------------------------------------------------------------


def test_a_clock_that_jumps(empty: Gallery, units: Callable, monkeypatch) -> None:
    """Forwards and back again: no entry is earlier than the one before it, and all are told."""
    clock = {"now": ""}
    monkeypatch.setattr("facever.gallery.store.database.now", lambda: clock["now"])
    for each, year in enumerate((2099, 2030, 2010, 2100)):
        clock["now"] = f"{year}-01-01T00:00:00+00:00"
        empty.enroll(units(1, seed=each), f"p{each}", fingerprint="model-1")
    enrolled = [empty.images(f"p{each}")[0].enrolled for each in range(4)]
    assert [time[:4] for time in enrolled] == ["2099", "2099", "2099", "2100"]
    for each, year in enumerate((2010, 2101, 2030)):
        clock["now"] = f"{year}-01-01T00:00:00+00:00"
        empty.remove(f"p{each}")
    went = empty.audit()
    assert [entry.time[:4] for entry in went] == ["2100", "2101", "2101"]
    assert [empty.removed(f"p{each}") for each in range(4)] == [*went, None]
    assert empty.check() == []
    found = empty.search(units(1, seed=3), 5, fingerprint="model-1")[0].candidates
    assert [candidate.person for candidate in found] == ["p3"]


# -- an approximate index that FAISS cannot read ------------------------------------------------


def test_a_whole_index_that_faiss_cannot_read_is_made_again(
    empty: Gallery, units: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    empty.enroll(units(300), [f"p{row}" for row in range(300)], fingerprint="model-1")
    empty.rebuild("HNSW8")
    empty.close()
    path, probes = empty.path / approximates.FILE, units(9, seed=1)
    content, said = unseal(path, approximates.MAGIC)
    numbers = content[len(content) - 8 * said["count"] :].tobytes()
    path.write_bytes(b"garbage!" * 99 + numbers)
    seal(path, approximates.MAGIC, said)
    capsys.readouterr()
    with Gallery.open(empty.path) as opened:
        found = opened.check()
        assert [(one.part, str(path) in one.problem) for one in found] == [("index", True)]
        answers = opened.search(probes, 3, fingerprint="model-1")
    noted = capsys.readouterr().err
    assert noted.count("\n") == 1
    assert f"{path} is not readable by FAISS" in noted
    with Gallery.open(empty.path) as opened:
        assert opened.check() == []
        assert opened._index.refresh().kind == "HNSW8"
        again = opened.search(probes, 3, fingerprint="model-1")
    for one, other in zip(again, answers, strict=True):
        assert one.candidates[0] == other.candidates[0]
    assert capsys.readouterr().err == ""


# -- what is no file ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index.snapshot", "index.faiss"])
@pytest.mark.parametrize("kind", ["fifo", "link to a device"])
def test_an_index_that_is_no_regular_file_is_made_again(
    closed: Path, units: Callable, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    with Gallery.open(closed) as opened:
        opened.rebuild("HNSW8")
        answers = opened.search(units(3), fingerprint="model-1")
    (closed / name).unlink()
    if kind == "fifo":
        os.mkfifo(closed / name)
    else:
        (closed / name).symlink_to("/dev/zero")
    capsys.readouterr()
    with Gallery.open(closed) as opened:
        assert opened.search(units(3), fingerprint="model-1") == answers
        opened._index.wait()
        assert opened.check() == []
    assert str(closed / name) in capsys.readouterr().err
    assert (closed / name).is_file()
    assert not (closed / name).is_symlink()


def test_garbage_in_the_lock_file_keeps_nobody_from_purging(closed: Path) -> None:
    (closed / LOCK).write_bytes(b"\x00garbage" * 999)
    with Gallery.open(closed) as opened:
        opened.remove("a")
        opened.purge()
        assert "a" not in {person for person, _ in opened.people()}
        assert opened.check() == []


def test_a_lock_that_is_no_file_is_named(closed: Path) -> None:
    (closed / LOCK).unlink()
    os.mkfifo(closed / LOCK)
    assert "Not a regular file: delete it" in refused(closed, Gallery.purge)
    (closed / LOCK).unlink()
    with Gallery.open(closed) as opened:
        opened.purge()
