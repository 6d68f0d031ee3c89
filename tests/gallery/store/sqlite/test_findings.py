"""Each kind of damage to the rows of a file is found."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

DAMAGES = [
    ("UPDATE images SET vector = zeroblob(23) WHERE image = 2", "the vector of image 2 of 'b' ('1')"
     " is damaged"),
    ("UPDATE images SET vector = zeroblob(24) WHERE image = 3", "the vector of image 3 of 'a' ('2')"
     " is damaged"),
    ("UPDATE images SET vector = 5 WHERE image = 3", "the vector of image 3 of 'a' ('2')"),
    ("UPDATE images SET person = 1 WHERE image = 2", "the vector of image 2 of 'a' ('1')"),
    ("UPDATE images SET vector = (SELECT vector FROM images WHERE image = 1) WHERE image = 3",
     "the vector of image 3 of 'a' ('2') is damaged"),
    ("UPDATE images SET source = x'00', norm = 'long' WHERE image = 3", "the source of 1 images"),
    ("UPDATE images SET norm = 'long'", "the norm of 3 images is not real or integer or null"),
    ("UPDATE people SET metadata = '[1]' WHERE person = 1", "the metadata of 'a' cannot be read"),
    ("UPDATE people SET metadata = '{' ", "the metadata of 'b' cannot be read"),
    ("UPDATE people SET id = x'41ff' WHERE person = 2", "a person's id is damaged"),
    ("UPDATE image_checksums SET checksum = checksum + 1 WHERE image = 2", "the vector of image 2"),
    ("DELETE FROM image_checksums WHERE image = 2", "the vector of image 2 of 'b' ('1')"),
    ("CREATE TRIGGER t AFTER DELETE ON people BEGIN SELECT 1; END", "unknown trigger or view"),
    ("DELETE FROM people WHERE person = 2", "the vector of image 2 of nobody ('1') is damaged"),
    ("DELETE FROM people WHERE person = 2", "1 rows of images refer to missing rows"),
    ("INSERT INTO removed VALUES (1, 1)", "1 images exist, but are recorded as removed"),
    ("INSERT INTO templates SELECT 1, 1, vector FROM images WHERE image = 1", "there are 1, "
    "although"),
    ("UPDATE meta SET value = '\"int4\"' WHERE key = 'storage'", "storage is 'int4'"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "message"), DAMAGES)
def test_damage_is_found(make_store, some, sql: str, message: str) -> None:
    store = make_store()
    store.enroll(some("aba"), {"a": {"k": 1}}, "keep")
    with closing(sqlite3.connect(store.folder / "gallery.db")) as db:
        db.execute(sql)
        if "meta" in sql:
            db.execute("UPDATE meta SET value = '\"new\"' WHERE key = 'generation'")
        db.commit()
    problems = [finding.problem for finding in store.check()]
    assert all("\n" not in problem for problem in problems)
    assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM templates WHERE person = 1", "those of 1 people differ from the templates"),
        ("UPDATE templates SET vector = (SELECT vector FROM images)", "the vector of template 1"),
        ("DELETE FROM images WHERE person = 2", "1 belong to people without images"),
    ],
)  # fmt: skip
def test_templates_that_are_not_what_images_make(make_store, some, sql: str, message: str) -> None:
    store = make_store(templates="mean")
    store.enroll(some("aba"), {}, "keep")
    with closing(sqlite3.connect(store.folder / "gallery.db")) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(sql)
        db.commit()
    found = [finding.to_dict() for finding in store.check()]
    assert {finding["part"] for finding in found} == {"templates"}
    assert message in found[0]["problem"]


def test_the_last_of_many_vectors_is_looked_at(make_store, some) -> None:
    store = make_store()
    store.enroll(some("a" * 5000), {}, "keep")
    with closing(sqlite3.connect(store.folder / "gallery.db")) as db:
        twice = np.full(6, 2, np.float32).tobytes()
        db.execute("UPDATE images SET vector = ? WHERE image = 5000", [twice])
        db.commit()
    (finding,) = store.check()
    assert "the vector of image 5000 of 'a' ('4999') is damaged" in finding.problem
