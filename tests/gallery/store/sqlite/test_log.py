"""What was removed stays removed, whatever befalls the log."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery

pytestmark = pytest.mark.in_folder("it is about SQLite's log")

REMOVE_AND_DIE = """
import os, signal, sys
from facever.gallery.gallery import Gallery
gallery = Gallery.open(sys.argv[1], wait=0.2)
exec(sys.argv[2])
print("done", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
REMOVALS = {
    "a person": "gallery.remove('b')",
    "an image": "gallery.remove('b', '35.jpg')",
    "an id": "gallery.update('b', new_id='other')",
    "by merging": "gallery.merge('b', 'c')",
    "what is known": "gallery.update('b', remove_keys=['site'])",
}


def _die_after(path: Path, change: str) -> str:
    """Make a change in another process that is killed when it is acknowledged."""
    words = [sys.executable, "-c", REMOVE_AND_DIE, str(path), change]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr
    return done.stderr


def _flip_log(path: Path, at: float) -> None:
    """Flip one bit of the log, where there is one."""
    log = path / "gallery.db-wal"
    if log.exists() and (content := bytearray(log.read_bytes())):
        content[int(at * (len(content) - 1))] ^= 4
        log.write_bytes(content)


@pytest.mark.parametrize("change", REMOVALS.values(), ids=list(REMOVALS))
def test_a_removal_outlives_a_kill_and_a_flipped_bit(gallery: Gallery, change: str) -> None:
    gallery.update("b", {"site": "A"})
    gallery.close()
    _die_after(gallery.path, change)
    before = {file.name: file.read_bytes() for file in gallery.path.iterdir()}
    states = []
    for at in (0.3, 0.5, 0.7, 0.9):
        for name, content in before.items():
            (gallery.path / name).write_bytes(content)
        _flip_log(gallery.path, at)
        with Gallery.open(gallery.path) as opened:
            ids = {person for person, _ in opened.people()}
            known = opened.metadata("b") if "b" in ids else None
            sources = [one.source for one in opened.images("b")] if "b" in ids else []
            states.append((sorted(ids), known, sources))
            assert [one for one in opened.check() if one.part != "files"] == []
    with Gallery.open(gallery.path) as opened:
        assert states == [states[0]] * 4
        ids, known, sources = states[0]
        assert ("b" not in ids) or known == {} or "35.jpg" not in sources


def test_a_reader_delays_that_and_the_next_writer_finishes_it(
    gallery: Gallery, units: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery.close()
    with closing(sqlite3.connect(gallery.path / "gallery.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        said = _die_after(gallery.path, "gallery.remove('b')")
        assert "gallery.db: no answer contains the removed" in said
        assert "log still does" in said
        with Gallery.open(gallery.path, wait=0.2) as opened:
            assert "b" not in {person for person, _ in opened.people()}  # and yet it holds
            opened.enroll(units(1, seed=2), "late", fingerprint="model-1")
        assert reader.execute("SELECT count(*) FROM people WHERE id = 'b'").fetchone() == (1,)
        reader.execute("ROLLBACK")
        assert _die_after(gallery.path, "gallery.update('a', {'site': 'A'})") == ""
        content = (gallery.path / "gallery.db").read_bytes()  # the reader's end would empty the log
        log = (gallery.path / "gallery.db-wal").read_bytes()
    for at in (0.1, 0.5, 0.9):
        (gallery.path / "gallery.db").write_bytes(content)
        (gallery.path / "gallery.db-wal").write_bytes(log)
        _flip_log(gallery.path, at)
        with Gallery.open(gallery.path) as opened:
            assert "b" not in {person for person, _ in opened.people()}
            assert [one for one in opened.check() if one.part != "files"] == []


@pytest.mark.parametrize(
    "name", ["gallery.db", "gallery.db-wal", "gallery.db-shm", "gallery.db-journal"]
)
@pytest.mark.parametrize("kind", ["fifo", "link to a device"])
def test_only_regular_files_are_opened(gallery: Gallery, name: str, kind: str) -> None:
    gallery.close()
    path = gallery.path / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(GalleryError, match=r"no gallery at|is not a regular file: remove it"):
        Gallery.open(gallery.path)
