"""A store of the first format is upgraded, whole, by whoever opens it first and may write."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Binding, Settings
from facever.gallery.store.sqlite import schema
from facever.gallery.store.store import FILE, Store

VECTORS = np.float32([[1, 0], [0.6, 0.8], [0, 1]])

# As format 1 wrote it: three images, of which one was removed since.
FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (change INTEGER PRIMARY KEY AUTOINCREMENT, stamp TEXT NOT NULL,
    time TEXT NOT NULL, action TEXT NOT NULL, people INTEGER NOT NULL, images INTEGER NOT NULL);
CREATE TABLE people (person INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL DEFAULT '{}', created TEXT NOT NULL);
CREATE TABLE images (image INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    source TEXT, hash TEXT, enrolled TEXT NOT NULL, norm REAL, vector BLOB NOT NULL);
CREATE INDEX images_by_person ON images (person);
CREATE INDEX images_by_hash ON images (hash) WHERE hash IS NOT NULL;
CREATE INDEX images_by_source ON images (source) WHERE source IS NOT NULL;
CREATE TABLE removed (image INTEGER PRIMARY KEY,
    change INTEGER NOT NULL REFERENCES changes (change));
CREATE INDEX removed_by_change ON removed (change);
CREATE TABLE operating_points (name TEXT PRIMARY KEY, kind TEXT NOT NULL, point TEXT NOT NULL,
    added TEXT NOT NULL);
INSERT INTO meta VALUES ('fingerprint', '"model-1"'), ('dimension', '2'), ('metric', '"cosine"'),
    ('preprocessing', '{"size": 112}'), ('options', '{"flip": true}'), ('gallery', '"abc"'),
    ('created', '"2024-05-01T10:00:00+00:00"');
INSERT INTO changes VALUES (1, 's1', '2024-05-01T10:00:00+00:00', 'create', 0, 0),
    (2, 's2', '2024-05-01T11:00:00+00:00', 'enroll', 2, 3),
    (3, 's3', '2024-05-01T12:00:00+00:00', 'remove', 0, 1);
INSERT INTO people VALUES (1, 'a', '{"site": "A"}', '2024'), (2, 'b', '{}', '2024');
INSERT INTO removed VALUES (3, 3);
"""


@pytest.fixture
def former(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.executescript(FORMAT_1)
        db.executemany(
            "INSERT INTO images VALUES (?, ?, ?, NULL, '2024-05-01T11:00:00+00:00', 2.5, ?)",
            [(1, 1, "1.jpg", VECTORS[0].tobytes()), (2, 2, "2.jpg", VECTORS[1].tobytes())],
        )
        db.execute("PRAGMA user_version = 1")
        db.commit()
    return tmp_path


def tables(path: Path) -> list[tuple[str, list[str]]]:
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema ORDER BY name")]
        return [(n, [r[1] for r in db.execute(f"PRAGMA table_info({n})")]) for n in names]


def test_format_1_is_upgraded(former: Path) -> None:
    with closing(Store.open(former, 1)) as store:
        assert store.binding == Binding("model-1", 2, "cosine", {"size": 112}, {"flip": True})
        assert store.settings == Settings("all", "float32", "auto")
        assert (store.gallery, store.change().number, store.counts()) == ("abc", 3, (2, 2))
        numbers, _, vectors, _ = store.entries_after(0)
        assert numbers.tolist() == [1, 2]
        assert np.array_equal(vectors, VECTORS[:2])
        assert store.entries_removed_after(2).tolist() == [3]
        assert (store.images("a")[0].source, store.images("a")[0].quality) == ("1.jpg", None)
        assert list(store.check()) == []
        store.set_templates("quality_mean")  # the norm serves
        store.remove("b")
        assert len(store.audit()) == 1
        generation = store.generation()
    with closing(Store.open(former, 1)) as again:
        assert again.generation() == generation


def test_it_becomes_what_a_new_store_is(former: Path, tmp_path: Path) -> None:
    Store.open(former, 1).close()
    (tmp_path / "new").mkdir()
    Store.create(tmp_path / "new", Binding("m", 2))
    assert tables(former / FILE) == tables(tmp_path / "new" / FILE)
    with closing(sqlite3.connect(former / FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.FORMAT,)


def test_an_upgrade_that_fails_changes_nothing(
    former: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(former / FILE)

    def broken(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "write_facts", broken)
    with pytest.raises(KeyboardInterrupt):
        Store.open(former, 1)
    assert tables(former / FILE) == before
    monkeypatch.undo()
    Store.open(former, 1).close()
    assert tables(former / FILE) != before


def test_settings_that_are_missing(make_store) -> None:
    store = make_store()
    with closing(sqlite3.connect(store.folder / "gallery.db")) as db:
        db.execute("DELETE FROM meta WHERE key IN ('storage', 'generation')")
        db.commit()
    with pytest.raises(GalleryError, match="is damaged: its table of facts lacks 'generation'"):
        make_store()


def test_two_open_it_at_once(former: Path) -> None:
    errors: list[BaseException] = []

    def open_it() -> None:
        try:
            Store.open(former, 5).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
