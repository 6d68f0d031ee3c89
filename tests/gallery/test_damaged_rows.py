"""Rows of a store that are not what they must be: one line each, and the rest goes on."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from facever.errors import FaceverError, GalleryError
from facever.gallery.gallery import Gallery

pytestmark = pytest.mark.in_folder("PostgreSQL refuses rows of other types, and orphans")

DEEP = '{"k": ' * 100_000 + "1" + "}" * 100_000
LONG = '{"k": ' + "1" * 5000 + "}"
DAMAGES = {
    "metadata no JSON": "UPDATE people SET metadata = '{' WHERE id = 'c'",
    "metadata a list": "UPDATE people SET metadata = '[1]' WHERE id = 'c'",
    "metadata a blob": "UPDATE people SET metadata = x'00ff' WHERE id = 'c'",
    "metadata deep": f"UPDATE people SET metadata = '{DEEP}' WHERE id = 'c'",
    "metadata long integer": f"UPDATE people SET metadata = '{LONG}' WHERE id = 'c'",
    "an integer for a vector": "UPDATE images SET vector = 17 WHERE image = 36",
    "a text for a vector": "UPDATE images SET vector = 'x' WHERE image = 36",
    "an orphan": "DELETE FROM people WHERE id = 'c'",
    "a blob for an id": "UPDATE people SET id = x'63ff' WHERE id = 'c'",
    "a number for a source": "UPDATE images SET source = x'00' WHERE image = 36",
    "a text for a norm": "UPDATE images SET norm = 'long' WHERE image = 36",
    "a text for a checksum": "UPDATE image_checksums SET checksum = 'x' WHERE image = 36",
}


def spoil(gallery: Gallery, sql: str) -> None:
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as db:
        db.execute(sql)
        db.commit()


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("name", DAMAGES)
def test_reading_goes_on_with_the_rest(
    gallery: Gallery, units: Callable, tmp_path, capsys, name: str, indexed: bool
) -> None:
    if indexed:
        gallery.rebuild()
    spoil(gallery, DAMAGES[name])
    gallery.close()
    with Gallery.open(gallery.path) as opened:
        found = opened.search(units(60), 5, fingerprint="model-1")
        assert all(len(answer.candidates) == 5 for answer in found)
        json.dumps(found.to_dict())
        assert found[0].candidates[0].person == "a"
        people = [one.person for one in opened.people()]
        assert {"a", "b"} <= set(people)
        json.dumps(people)
        assert opened.people({"k": "v"}) is not None
        assert list(opened.people({"k": "v"})) == []
        said = []
        for person in ("a", "c"):
            try:
                json.dumps([opened.metadata(person), *(i.to_dict() for i in opened.images(person))])
                opened.verify(units(1), person, fingerprint="model-1")
            except FaceverError as error:
                said.append((person, str(error)))
        assert all(person == "c" and "\n" not in line for person, line in said)
        opened.info()
        assert opened.export(tmp_path / "export") >= 55
        problems = [finding.problem for finding in opened.check()]
        assert problems
        assert all(len(problem.splitlines()) == 1 for problem in problems)
        opened.remove("b")  # so does changing what is whole
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["b", "z"])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_damaged_id_names_nobody_else(
    gallery: Gallery, capsys, damaged: str, indexed: bool
) -> None:
    """A flipped bit of "c" in the table of people, which the index of ids does not know."""
    if indexed:
        gallery.rebuild()
    own = next(v for p, v in zip(*gallery.entries(), strict=True) if p == "c")
    gallery.close()
    file = gallery.path / "gallery.db"
    whole = file.read_bytes()
    assert whole.count(b"c{}20") == 1  # id, metadata and time of the row
    file.write_bytes(whole.replace(b"c{}20", damaged.encode() + b"{}20"))
    with Gallery.open(gallery.path) as opened:
        for rule in ("max", "mean"):
            answer = opened.search(own, 3, fingerprint="model-1", rule=rule)[0]
            assert answer.candidates[0].score < 0.99
            assert damaged not in [one.person for one in answer.candidates if one.score > 0.99]
            assert len(answer.candidates) == 3
        assert any("people" in finding.problem for finding in opened.check())
    assert "is damaged and omitted" in capsys.readouterr().err


META = ["dimension", "fingerprint", "templates", "storage", "index", "gallery", "audit_key"]


@pytest.mark.parametrize("value", ["{", "[" * 100_000, "1" * 5000, "null", "-3", '"?"', "[1]"])
@pytest.mark.parametrize("key", META)
def test_what_a_store_says_of_itself(gallery: Gallery, key: str, value: str) -> None:
    gallery.close()
    spoil(gallery, f"UPDATE meta SET value = '{value}' WHERE key = '{key}'")
    if value == '"?"' and key in ("fingerprint", "gallery", "index"):
        return  # a text like another
    with pytest.raises(GalleryError) as refusal:
        Gallery.open(gallery.path)
    assert "gallery.db is damaged" in str(refusal.value)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("value", ["{", "[" * 100_000, '{"k": ' + "1" * 30 + "}"])
def test_points_and_migrations_that_are_no_json(gallery, make_point, value: str) -> None:
    gallery.add_operating_point("door", make_point())
    spoil(gallery, f"UPDATE operating_points SET point = '{value}'")
    assert gallery.operating_points() == {}
    assert any("door" in finding.problem for finding in gallery.check())
    gallery.remove_operating_point("door")
    spoil(gallery, f"INSERT INTO meta VALUES ('migration', '{value}')")
    with pytest.raises(GalleryError, match="is damaged: the record of its migration"):
        gallery.migration()


def test_no_bit_of_a_stored_point_can_flip_in_silence(gallery, make_point) -> None:
    gallery.add_operating_point("door", make_point())
    whole = gallery.operating_points()["door"].model_dump_json()
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as db:
        ((stored,),) = db.execute("SELECT CAST(point AS BLOB) FROM operating_points").fetchall()
        for bit in range(0, 8 * len(stored), 13):
            flipped = bytearray(stored)
            flipped[bit // 8] ^= 1 << bit % 8
            db.execute("UPDATE operating_points SET point = CAST(? AS TEXT)", [bytes(flipped)])
            db.commit()
            assert gallery.operating_points() == {}, bit
        assert "operating point 'door': damaged" in str(gallery.info().unusable)
        db.execute("UPDATE operating_points SET point = CAST(? AS TEXT)", [stored])
        db.commit()
    assert gallery.operating_points()["door"].model_dump_json() == whole


def test_long_integers_of_earlier_versions_are_kept(empty: Gallery) -> None:
    empty.enroll(np.eye(1, 8), "a", fingerprint="model-1")
    spoil(empty, f"UPDATE people SET metadata = '{{\"k\": {10**30}}}'")
    assert empty.metadata("a") == {"k": 10**30}
    empty.update("a", {"x": 1})
    assert empty.metadata("a") == {"k": 10**30, "x": 1}
    assert empty.check() == []
