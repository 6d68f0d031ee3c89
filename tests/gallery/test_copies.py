"""Copies of galleries: every row, from and to both engines, whatever ends them on the way."""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from facever.data.crops import KeptCrop
from facever.errors import GalleryError, UnavailableError
from facever.gallery import copies
from facever.gallery.copies import copy_gallery
from facever.gallery.gallery import Gallery
from facever.gallery.place import place_of
from facever.gallery.records import Binding, Equivalence, NewImages
from facever.gallery.store import copies as rows
from facever.gallery.store.postgres.connection import PostgresConnection
from facever.gallery.store.sqlite.connection import SqliteConnection
from facever.gallery.store.store import Store
from facever.gallery.uses import UseLog
from tests.gallery.test_uses import ROW


@pytest.fixture
def full(tmp_path: Path, units, make_point, make_calibration) -> Path:
    """A gallery with something in each of its tables, and unused last numbers."""
    folder = tmp_path / "full"
    Gallery.create(
        folder,
        fingerprint="model-1",
        dimension=8,
        preprocessing={"size": [2, 2]},
        templates="mean",
        keep_crops=True,
    ).close()
    people = [f"p{n % 9}" for n in range(40)]
    named = [None if n % 5 == 0 else f"Ä {n}.jpg" for n in range(40)]
    new = NewImages(
        people, units(40), [1 + n / 7 for n in range(40)], named, named,
        [50.0 + n for n in range(40)], None, ["[1, 2]" if n % 2 else None for n in range(40)],
        [f"cam {n % 3}" for n in range(40)],
        [f"2026-11-01T08:{n:02}:00+00:00" if n % 4 else None for n in range(40)],
        lambda n: KeptCrop("none", bytes(range(n))) if n % 3 else None,
    )  # fmt: skip
    with closing(Store.open(folder, 1)) as store:
        store.enroll(
            new, {"p1": {"site": "Ä", "höhe": 1.5, "deep": {"x": [None, True, 2**60]}}}, "skip"
        )
        store.add_person("nobody", {})
        store.accept_equivalent(Equivalence("other", "model-1", 8, 1e-6, 1e-7, "crops", "now"))
    with Gallery.open(folder) as gallery:
        gallery.add_operating_point("door", make_point())
        gallery.add_calibration("odds", make_calibration())
        gallery.update("p5", {"role": "guest"}, new_id="five")
        gallery.merge("p6", "p7")
        gallery.split("p0", [gallery.images("p0")[0].image], "zero")
        gallery.remove("p2")
        gallery.enroll(units(2, 7), "last", fingerprint="model-1")
        gallery.remove("last")  # its numbers are never used again
        gallery.begin_migration(Binding("model-2", 4, preprocessing={"size": [2, 2]}))
        pending = [image.image for image in gallery.pending_images()][:11]
        gallery.add_migrated(pending, units(11, 3, 4), [None] * 11, fingerprint="model-2")
    with UseLog(folder) as log:
        log.add([ROW, replace(ROW, person=None, score=None, image=None), replace(ROW, person="é")])
    return folder


@pytest.fixture
def places(tmp_path: Path, postgres_emptied: str) -> Callable[[str], str | Path]:
    """Where copies go: names beginning with "pg" are in PostgreSQL."""
    return lambda name: (
        f"{postgres_emptied}&gallery={name}" if name.startswith("pg") else tmp_path / name
    )


def held(folder: Path, file: str = "gallery.db") -> dict[str, list[tuple]]:
    """Every row of every table of a file, read without facever."""
    with closing(sqlite3.connect(folder / file)) as db:
        names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return {
            name: sorted(db.execute(f"SELECT * FROM {name}"), key=repr) for (name,) in list(names)
        }


def test_there_and_back_again_every_row_is_the_same(full: Path, places) -> None:
    there = copy_gallery(full, places("pg"))
    aside = copy_gallery(places("pg"), places("pg_2"))
    back = copy_gallery(places("pg_2"), places("back"))
    copy_gallery(full, places("near"))
    wanted = held(full)
    assert all(wanted.values()), "a table of the gallery has no row"
    assert held(places("back")) == wanted == held(places("near"))
    for name in ("back", "near"):
        assert held(places(name), "uses.db") == held(full, "uses.db")
    assert there.sha256 == aside.sha256 == back.sha256
    assert there.rows == sum(map(len, wanted.values()))
    assert (there.people, there.uses, there.resumed) == (9, 3, False)


@pytest.mark.parametrize("name", ["pg", "folder"])
def test_a_copy_is_the_gallery_until_one_of_them_changes(full: Path, places, units, name) -> None:
    copy_gallery(full, places(name))
    with Gallery.open(full) as one, Gallery.open(places(name)) as two:
        assert two.check() == []
        probes = units(5, 9)
        answers = [
            found.search(probes, fingerprint="model-1", rule="max").answers for found in (one, two)
        ]
        assert answers[0] == answers[1]
        assert two.removed("p2") == one.removed("p2") is not None
        for gallery in (one, two):
            gallery.enroll(units(1, 8), "new", fingerprint="model-1")
        assert one.images("new")[0].image == two.images("new")[0].image
    stores = [closing(Store.open(place_of(place), 1)) for place in (full, places(name))]
    with stores[0] as first, stores[1] as second:
        assert first.gallery == second.gallery
        assert first.change().number == second.change().number
        assert not second.had(first.change())
    with UseLog(full) as first, UseLog(place_of(places(name))) as second:
        assert first.hash_of(b"image") == second.hash_of(b"image")


def killed_at(insert: int, connection: type, *given: object) -> int:
    """Copy in another process that is killed at an insert; return its exit code."""

    def work() -> None:
        inserts = connection.insert
        left = [insert]

        def counted(self, table, columns, rows) -> None:
            inserts(self, table, columns, rows)
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        connection.insert = counted
        copy_gallery(*given)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize(
    ("name", "connection"), [("pg", PostgresConnection), ("folder", SqliteConnection)]
)
def test_a_copy_that_is_killed_is_resumed(
    full: Path, places, name: str, connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_ROWS_AT_ONCE", 13)
    for insert in (1, 2, 5, 4, 3, 6):
        assert killed_at(insert, connection, full, places(name)) == -signal.SIGKILL
        with pytest.raises(GalleryError, match=r"incomplete copy.*facever gallery copy FROM TO"):
            Gallery.open(places(name))
    done = copy_gallery(full, places(name))
    assert done.resumed
    if name == "pg":
        copy_gallery(places("pg"), places("folder"))
    assert held(places("folder")) == held(full)
    assert held(places("folder"), "uses.db") == held(full, "uses.db")


@pytest.mark.parametrize(
    ("name", "connection"), [("pg", PostgresConnection), ("folder", SqliteConnection)]
)
def test_after_a_change_the_copy_begins_again(
    full: Path, places, name: str, connection, capsys, postgres_server
) -> None:
    killed_at(5, connection, full, places(name))
    with Gallery.open(full) as gallery:
        gallery.remove("five")
    assert not copy_gallery(full, places(name)).resumed
    assert "begins again" in capsys.readouterr().err
    with Gallery.open(places(name)) as copy, Gallery.open(full) as gallery:
        assert [one.person for one in copy.people()] == [one.person for one in gallery.people()]
    if name == "folder":
        assert not any(b"five" in file.read_bytes() for file in places(name).iterdir())


def test_what_is_there_is_not_replaced(full: Path, places, tmp_path: Path) -> None:
    for name in ("pg", "other"):
        Gallery.create(places(name), fingerprint="model-1", dimension=8).close()
        with pytest.raises(GalleryError, match="already exists"):
            copy_gallery(full, places(name))
    with pytest.raises(GalleryError, match="already exists"):
        copy_gallery(full, full)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mine.txt").write_text("mine")
    with pytest.raises(GalleryError, match="already exists"):
        copy_gallery(full, tmp_path / "files")
    with pytest.raises(GalleryError, match="no gallery at"):
        copy_gallery(tmp_path / "none", places("new"))
    assert not (tmp_path / "new").exists()
    with pytest.raises(GalleryError, match="cannot be read"):
        copy_gallery(full, tmp_path / ("long" * 99))
    killed_at(3, SqliteConnection, full, places("new"))
    with pytest.raises(GalleryError, match="incomplete copy of another gallery"):
        copy_gallery(places("other"), places("new"))
    with pytest.raises(GalleryError, match="incomplete copy"):
        copy_gallery(places("new"), places("newer"))
    with pytest.raises(GalleryError, match="already exists"):
        Gallery.create(places("new"), fingerprint="model-1", dimension=8)


@pytest.mark.parametrize("name", ["pg", "folder"])
def test_a_row_that_is_written_wrongly_is_found(
    full: Path, places, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = PostgresConnection if name == "pg" else SqliteConnection
    insert = connection.insert

    def wrong(self, table, columns, new) -> None:
        if table == "people":
            new = [(*row[:3], "2020") if row[0] == 1 else row for row in new]
        insert(self, table, columns, new)

    monkeypatch.setattr(connection, "insert", wrong)
    with pytest.raises(GalleryError, match="not equal"):
        copy_gallery(full, places(name))
    with pytest.raises(GalleryError, match="incomplete"):
        Gallery.open(places(name))


def test_of_two_processes_that_copy_one_is_told(
    full: Path, places, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = rows.RowDigest.add, []

    def interrupted(self, table, new) -> None:
        add(self, table, new)
        calls.append(table)
        if calls.count("people") == 1 and table == "people":
            copy_gallery(full, places("pg"))

    monkeypatch.setattr(rows.RowDigest, "add", interrupted)
    with pytest.raises(UnavailableError, match="another process"):
        copy_gallery(full, places("pg"))
    with Gallery.open(places("pg")) as gallery:
        assert gallery.check() == []


def test_damaged_rows_are_copied_with_a_warning(full: Path, places, capsys) -> None:
    with closing(sqlite3.connect(full / "gallery.db")) as db, db:
        db.execute("UPDATE images SET vector = zeroblob(32) WHERE image = 5")
        db.execute("UPDATE template_checksums SET checksum = 1 WHERE template = 4")
    for source, target in ((full, "pg"), (places("pg"), "back")):
        copy_gallery(source, places(target))
        assert "image 5 of" in capsys.readouterr().err
    assert held(places("back")) == held(full)


def test_a_row_that_postgres_cannot_hold_is_named(full: Path, places) -> None:
    with Gallery.open(full) as gallery:
        gallery.update("p8", new_id="a\0b")
    for _ in range(2):
        with pytest.raises(GalleryError, match=r"NUL.*copying people 1 to \d+.*same command"):
            copy_gallery(full, places("pg"))
    copy_gallery(full, places("folder"))
    with Gallery.open(full) as gallery:
        gallery.update("a\0b", new_id="p8")
    copy_gallery(full, places("pg"))


def test_a_copy_of_what_others_write_is_of_one_state(
    full: Path, places, monkeypatch: pytest.MonkeyPatch, units
) -> None:
    add, calls = rows.RowDigest.add, []

    def written(self, table, new) -> None:
        add(self, table, new)
        calls.append(table)
        if calls.count("changes") == 1 and table == "changes":
            with Gallery.open(full) as gallery:
                gallery.remove("p1")
                gallery.enroll(units(3, 5), "late", fingerprint="model-1")

    before = held(full)
    monkeypatch.setattr(rows.RowDigest, "add", written)
    copy_gallery(full, places("pg"))
    copy_gallery(places("pg"), places("folder"))
    assert held(places("folder")) == before


def test_progress_counts_the_rows_written_and_the_rows_verified(
    full: Path, places, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    @contextmanager
    def progress(description: str, total: int, unit: str) -> Iterator[SimpleNamespace]:
        counts = []
        yield SimpleNamespace(advance=counts.append)
        seen.append((total, sum(counts), len(counts) > 2))

    monkeypatch.setattr(copies, "progress", progress)
    copy_gallery(full, places("folder"))
    [(total, counted, often)] = seen
    assert total == counted
    assert often
