import sqlite3
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Binding


def test_the_file_shrinks_and_the_log_is_empty(open_store, some) -> None:
    store = open_store()
    store.enroll(some("a" * 3000 + "b"), {}, "keep")
    store.purge()
    full = store.path.stat().st_size
    store.remove("a")
    before = store.change(), store.vectors_of("b").tobytes()
    store.purge()
    assert store.path.stat().st_size < full - 3000 * 24
    assert store.path.with_name("gallery.db-wal").stat().st_size == 0
    assert (store.change(), store.vectors_of("b").tobytes()) == before
    store.enroll(some("c", first=4000), {}, "keep")
    assert store.images("c")[0].image == 3002  # numbers are never used twice


def test_a_reader_that_does_not_end(open_store, some) -> None:
    store, reader = open_store(), open_store()
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


def test_a_reader_that_ends_is_waited_for(open_store, some) -> None:
    store, reader = open_store(), open_store()
    store._wait = 20
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
    assert store.path.with_name("gallery.db-wal").stat().st_size == 0


def test_another_writer(open_store) -> None:
    store, writer = open_store(), open_store()
    with (
        writer.writing(),
        pytest.raises(GalleryError, match="another process is writing to it"),
    ):
        store.purge()


def test_migrated_vectors_of_who_went_are_gone_too(open_store, some) -> None:
    store = open_store()
    store.enroll(some("ab"), {}, "keep")
    store.begin_migration(Binding("model-2", 4))
    secret = np.float32([[0.1234, 0.5, -0.5, 0.7]])
    store.add_migrated([1], secret, [1.0], "model-2")
    store.remove("a")
    store.purge()
    assert secret.tobytes() not in store.path.read_bytes()
    with closing(sqlite3.connect(store.path)) as db:
        assert db.execute("SELECT count(*) FROM migrated").fetchone() == (0,)
