"""The files of a store: for their owner only, and rid of what was removed."""

import sqlite3
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Binding, NewImages


def test_only_the_owner_may_read_it(make_store, some) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    files = list(store.folder.iterdir())
    assert len(files) == 3  # with SQLite's log and its index
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    store.close()
    assert [file.name for file in store.folder.iterdir()] == ["gallery.db"]


def test_the_file_shrinks_and_the_log_is_empty(make_store, some) -> None:
    store = make_store()
    store.enroll(some("a" * 3000 + "b"), {}, "keep")
    store.purge()
    full = (store.folder / "gallery.db").stat().st_size
    store.remove("a")
    before = store.change(), store.vectors_of("b").tobytes()
    store.purge()
    assert (store.folder / "gallery.db").stat().st_size < full - 3000 * 24
    assert (store.folder / "gallery.db-wal").stat().st_size == 0
    assert (store.change(), store.vectors_of("b").tobytes()) == before
    store.enroll(some("c", first=4000), {}, "keep")
    assert store.images("c")[0].image == 3002  # numbers are never used twice


def test_a_reader_that_does_not_end(make_store, some) -> None:
    store, reader = make_store(), make_store()
    store.enroll(some("ab"), {}, "keep")
    with reader.reading():
        store.remove("a")
        with pytest.raises(
            GalleryError, match=r"keeps reading it \(waited 0.1 s\), and its log st"
        ):
            store.purge()
        assert reader.counts() == (2, 2)
    store.purge()
    assert reader.counts() == (1, 1)


def test_a_reader_that_ends_is_waited_for(make_store, some) -> None:
    store, reader = make_store(wait=20), make_store()
    store.enroll(some("ab"), {}, "keep")
    begun = threading.Event()

    def read() -> None:
        with reader.reading():
            begun.set()
            time.sleep(0.3)

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait()
    store.remove("a")
    store.purge()
    thread.join()
    assert (store.folder / "gallery.db-wal").stat().st_size == 0


def test_another_writer(make_store) -> None:
    store = make_store()
    with closing(sqlite3.connect(store.folder / "gallery.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="another process is writing to it"):
            store.purge()


def test_removed_vectors_are_overwritten(make_store) -> None:
    """Also without a purge: a removal is brought home from the log at once."""
    store = make_store()
    secret = np.float32([[0.123456, -0.98765, 0, 0, 0, 0]])
    store.enroll(NewImages(["a"], secret, [None], [None], [None]), {}, "keep")
    log = store.folder / "gallery.db-wal"
    assert secret.tobytes() in (store.folder / "gallery.db").read_bytes() + log.read_bytes()
    store.remove("a")
    assert secret.tobytes() not in (store.folder / "gallery.db").read_bytes() + log.read_bytes()


def test_migrated_vectors_of_who_went_are_gone_too(make_store, some) -> None:
    store = make_store()
    store.enroll(some("ab"), {}, "keep")
    store.begin_migration(Binding("model-2", 4))
    secret = np.float32([[0.1234, 0.5, -0.5, 0.7]])
    store.add_migrated([1], secret, [1.0], "model-2")
    store.remove("a")
    store.purge()
    assert secret.tobytes() not in (store.folder / "gallery.db").read_bytes()
    with closing(sqlite3.connect(store.folder / "gallery.db")) as db:
        assert db.execute("SELECT count(*) FROM migrated").fetchone() == (0,)


def test_bytes_of_a_storage(make_store, some) -> None:
    store, sizes = make_store(), []
    store.enroll(some("ababa"), {}, "keep")
    for kind in ("float32", "float16", "int8"):
        store.set_storage(kind)
        with closing(sqlite3.connect(store.folder / "gallery.db")) as db:
            sizes += db.execute("SELECT sum(length(vector)) FROM images").fetchone()
    assert sizes == [5 * 6 * 4, 5 * 6 * 2, 5 * 6]
