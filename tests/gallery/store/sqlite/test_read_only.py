"""The store's file where it cannot be written, by another user when the tests run as root."""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from facever.errors import GalleryError
from facever.gallery.store.store import Store


def answer(pipe: Connection, folder: Path) -> None:
    """Open a store without the right to write, and evaluate what is asked."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    said: object
    try:
        store = Store.open(folder, 0.2)
        said = store.read_only
    except GalleryError as error:
        said = str(error)
    pipe.send(said)
    while (question := pipe.recv()) is not None:
        try:
            said = eval(question)
        except GalleryError as error:
            said = str(error)
        pipe.send(said)


class Reader:
    """Another process, and another user when the tests run as root."""

    def __init__(self, folder: Path) -> None:
        forking = multiprocessing.get_context("fork")
        self.pipe, other = forking.Pipe()
        self.process = forking.Process(target=answer, args=(other, folder), daemon=True)
        self.process.start()
        other.close()
        self.said = self.pipe.recv()

    def ask(self, expression: str) -> object:
        self.pipe.send(expression)
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may read."""
    made = Path(tempfile.mkdtemp(prefix="facever-test-"))
    made.chmod(0o755)
    yield made / "gallery"
    (made / "gallery").chmod(0o755)
    shutil.rmtree(made)


@pytest.fixture
def reader() -> Iterator[Callable[[Path], Reader]]:
    made: list[Reader] = []

    def make(folder: Path) -> Reader:
        made.append(Reader(folder))
        return made[-1]

    yield make
    for each in made:
        each.close()


def lock(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


def unlock(folder: Path) -> None:
    """Let its owner write, and others only read."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


@pytest.fixture
def others(make_store, some, folder: Path):
    """A store that was closed, with two people, which others may read."""
    store = make_store()
    store.enroll(some("ab"), {"a": {"k": 1}}, "keep")
    store.close()
    shutil.copytree(store.folder, folder)
    assert [path.name for path in folder.iterdir()] == ["gallery.db"]
    lock(folder)
    return folder


def test_what_its_owner_changes_is_seen(others: Path, some, reader) -> None:
    reader = reader(others)
    assert reader.ask("store.counts()") == (2, 2)
    unlock(others)
    owner = Store.open(others, 1)
    owner.remove("a")
    assert reader.ask("[tuple(each) for each in store.people()]") == [("b", 1)]
    owner.enroll(some("cc", first=5), {}, "keep")
    assert reader.ask("store.counts()") == (2, 3)
    owner.close()  # the log is folded in and gone
    assert reader.ask("[tuple(each) for each in store.people()]") == [("b", 1), ("c", 2)]
    owner = Store.open(others, 1)
    owner.set_templates("mean")
    owner.purge()
    assert reader.ask("store.entry_count()") == 2
    owner.close()


def test_a_change_in_the_middle_of_reading_is_said(others: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    store = Store.open(others, 1)
    try:
        with (
            pytest.raises(GalleryError, match=r"was changed while it was read; try again$"),
            store.reading(),
        ):
            store.entries_after(0)
            os.utime(store.folder / "gallery.db", ns=(1, 1))
        assert store.counts() == (2, 2)
    finally:
        store.close()


def test_an_older_format_is_upgraded_by_who_may(others: Path, reader) -> None:
    unlock(others)
    with closing(sqlite3.connect(others / "gallery.db")) as db:
        db.execute("PRAGMA user_version = 1")
    lock(others)
    assert "has the older format 1 and cannot be written by this user" in str(reader(others).said)


def test_a_log_that_nobody_folded_in(make_store, some, folder: Path, reader) -> None:
    """A copy of a gallery in use, where nothing can be written: its log is read, or it is said."""
    store = make_store()
    store.enroll(some("ab"), {}, "keep")
    folder.mkdir()
    for path in store.folder.iterdir():
        shutil.copy(path, folder)
    lock(folder)
    first = reader(folder)
    assert (first.said, first.ask("store.counts()")) == (True, (2, 2))
    unlock(folder)
    (folder / "gallery.db-shm").unlink()
    lock(folder)
    assert reader(folder).said == (
        f"{folder / 'gallery.db'} was copied while in use, and its log has changes that are not "
        "in the file: open it once with write permission"
    )
