"""The log of uses: rows, retention, erasure to the last byte, and what follows a removal."""

import hashlib
import hmac
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from facever.errors import UnavailableError
from facever.gallery.gallery import Gallery
from facever.gallery.place import place_of
from facever.gallery.use_tables import FILE
from facever.gallery.uses import ERASED, Use, UseLog

ROW = Use(
    "2026-01-01T10:00:00.000+00:00",
    "2026-01-01T10:00:00.100+00:00",
    "door",
    "search",
    "known",
    "ada-lovelace",
    0.75,
    "score > 0.5",
    "model",
    "gallery",
    7,
    "ab" * 32,
    "request-1",
)


@pytest.fixture
def gallery(place):
    with Gallery.create(place, fingerprint="model", dimension=3) as made:
        made.enroll(np.eye(3), ["ada-lovelace", "bob", "cy"], fingerprint="model")
        yield made


@pytest.fixture
def log(gallery, place):
    with UseLog(place_of(place)) as made:
        yield made


def held_bytes(folder) -> bytes:
    return b"".join(one.read_bytes() for one in folder.iterdir() if one.name.startswith(FILE))


def test_rows_come_back(log):
    rows = [replace(ROW, person=who, ended=f"2026-01-0{day}") for day, who in enumerate("abca", 1)]
    log.add(rows)
    assert log.rows() == rows
    assert log.rows("a") == [rows[0], rows[3]]
    assert log.rows(since="2026-01-03") == rows[2:]
    assert log.rows(last=1) == rows[3:]


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_only_its_owner_may_read_the_log(gallery, log):
    log.add([ROW])
    assert (gallery.path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_the_key_of_the_hashes_is_in_the_log(gallery, log):
    with closing(sqlite3.connect(gallery.path / FILE)) as db:
        (key,) = db.execute("SELECT value FROM facts WHERE name = 'key'").fetchone()
    assert log.hash_of(b"image") == hmac.new(key, b"image", hashlib.sha256).hexdigest()


def test_the_hash_of_an_image_is_keyed(log, place, tmp_path):
    with UseLog(place_of(place)) as again:
        assert again.hash_of(b"image") == log.hash_of(b"image")
    with UseLog(tmp_path) as other:
        assert other.hash_of(b"image") != log.hash_of(b"image")


@pytest.mark.usefixtures("gallery")
def test_rows_are_kept_for_some_days(place):
    now = datetime.now(UTC)
    rows = [
        replace(ROW, ended=(now - timedelta(days=days)).isoformat(timespec="seconds"))
        for days in (200, 184, 182, 0)
    ]
    with UseLog(place_of(place), days=183) as log:
        log.add(rows)
        assert log.rows() == rows[2:]


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_an_erased_person_is_in_no_byte(gallery, log):
    log.add([ROW, replace(ROW, person="bob")])
    assert b"ada-lovelace" in held_bytes(gallery.path)
    assert log.erase("ada-lovelace") == 1
    log.purge()
    assert b"ada-lovelace" not in held_bytes(gallery.path)
    assert [one.person for one in log.rows()] == ["bob"]


def test_a_removed_person_is_a_random_word(gallery, log, where_kept):
    log.add([ROW, replace(ROW, score=0.5), replace(ROW, person="bob"), replace(ROW, person="cy")])
    gallery.remove("ada-lovelace")
    first, second, third, _ = log.rows()
    assert first.person == second.person
    assert first.person.startswith(ERASED)
    assert (first.score, third.person) == (0.75, "bob")
    gallery.remove_all(["bob", "cy"])
    words = {one.person for one in log.rows()}
    assert len(words) == 3
    assert all(one.startswith(ERASED) for one in words)
    gallery.purge()
    if where_kept == "folder":
        assert b"ada-lovelace" not in held_bytes(gallery.path)


def test_rows_follow_a_new_id_and_a_merge(gallery, log):
    log.add([ROW, replace(ROW, person="bob")])
    gallery.update("ada-lovelace", new_id="ada")
    assert [one.person for one in log.rows()] == ["ada", "bob"]
    gallery.merge("ada", "bob")
    assert [one.person for one in log.rows()] == ["bob", "bob"]
    gallery.remove("bob", 2)  # one image
    assert log.rows()[0].person == "bob"


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_a_gallery_without_a_service_has_no_log(gallery):
    gallery.remove("bob")
    assert not (gallery.path / FILE).exists()
    assert UseLog.existing(gallery.path) is None


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_a_log_that_cannot_be_changed_is_said(gallery):
    (gallery.path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(UnavailableError, match=r"gallery was changed.*--erase"):
        gallery.remove("bob")
    assert [one.person for one in gallery.people()] == ["ada-lovelace", "cy"]
    (gallery.path / FILE).chmod(0o600)
    assert gallery.check() == []
