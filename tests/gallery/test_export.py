"""An export and its import are the same gallery; a damaged one is refused whole."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.core.files import sha256_of_file
from facever.embeddings.embedding_set import META, ROWS, VECTORS, EmbeddingSet
from facever.errors import DataError, FaceverError, GalleryError
from facever.gallery.export import SEAL
from facever.gallery.gallery import Gallery


def content(gallery: Gallery) -> dict:
    """Return all that is known of everybody, without the images' numbers."""
    return {
        each.person: (
            gallery.metadata(each.person),
            [{**image.to_dict(), "image": 0} for image in gallery.images(each.person)],
            vectors_of(gallery, each.person),
        )
        for each in gallery.people()
    }


def vectors_of(gallery: Gallery, person: str) -> list[bytes]:
    entries = zip(*gallery.entries(), strict=True)
    return [vector.tobytes() for owner, vector in entries if owner == person]


@pytest.fixture
def full(empty: Gallery, units, run_sql) -> Gallery:
    """People with and without images, metadata, sources, hashes and qualities."""
    faces = EmbeddingSet.from_arrays(
        units(5), list("abaab"), fingerprint="model-1", path=["/x/0.jpg", None, "2", "3", "4"],
        quality=[0.5, None, 1.5, None, None],
    )  # fmt: skip
    empty.enroll(
        faces,
        hashes=["h0", None, "h2", None, "h0"],
        metadata={"a": {"name": "Ädä", "n": [1, {"x": None}], "t": True}},
        duplicates="keep",
    )
    empty.enroll(units(1, seed=4), "plain", fingerprint="model-1")
    empty.enroll(
        units(1, seed=5),
        "alone",
        fingerprint="model-1",
        sources=["s"],
        metadata={"alone": {"k": 1}},
    )
    empty.remove("alone", "s")
    run_sql("UPDATE images SET enrolled = '2020-01-0' || image || 'T00:00:00+00:00'")
    return empty


@pytest.fixture
def other(tmp_path: Path):
    with Gallery.create(tmp_path / "other", fingerprint="model-1", dimension=8) as gallery:
        yield gallery


def test_there_and_back(full: Gallery, other: Gallery, tmp_path: Path) -> None:
    assert full.export(tmp_path / "out") == 6
    done = other.import_(tmp_path / "out")
    assert (done.images, done.new_people, done.failed) == (6, 4, [])
    assert content(other) == content(full)
    assert len(content(full)["a"][1]) == 3
    assert other.check() == []
    files = [tmp_path / "out", *(tmp_path / "out").iterdir()]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o700, *[0o600] * 4]
    with pytest.raises(GalleryError, match="no person 'x' is enrolled"):
        other.images("x")


def test_it_is_an_embedding_set(full: Gallery, other: Gallery, tmp_path: Path) -> None:
    full.export(tmp_path / "out")
    faces = EmbeddingSet.load(tmp_path / "out")
    assert (len(faces), faces.failures, faces.meta.fingerprint) == (7, 1, "model-1")
    done = other.enroll(faces, duplicates="keep")
    assert [reason for _, reason in done.failed] == ["no image is enrolled"]
    for person in ("a", "b", "plain"):
        assert vectors_of(other, person) == vectors_of(full, person) != []
        mine, yours = other.images(person), full.images(person)
        assert [(i.source, i.norm, i.quality) for i in mine] == [
            (i.source, i.norm, i.quality) for i in yours
        ]


def test_importing_twice_and_into_others(full: Gallery, other: Gallery, tmp_path: Path) -> None:
    full.export(tmp_path / "out")
    other.enroll(np.eye(8)[:1], "a", fingerprint="model-1", metadata={"a": {"mine": 1, "t": 0}})
    done = other.import_(tmp_path / "out")
    assert [d.index for d in done.duplicates] == [4]  # the same hash twice
    assert other.metadata("a") == {"mine": 1, **full.metadata("a")}
    again = other.import_(tmp_path / "out")
    assert (again.images, again.new_people) == (2, 0)  # without a source or hash none is known
    with pytest.raises(GalleryError, match="is already enrolled as 'a'"):
        other.import_(tmp_path / "out", duplicates="refuse")


def test_an_empty_gallery(empty: Gallery, other: Gallery, tmp_path: Path) -> None:
    assert empty.export(tmp_path / "out") == 0
    assert other.import_(tmp_path / "out").images == 0
    assert list(other.people()) == []


def test_where_an_export_goes(full: Gallery, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    folders = [path for path in (tmp_path / "mine", full.path) if isinstance(path, Path)]
    for path in folders:
        with pytest.raises(DataError, match="exists and is not an embedding set"):
            full.export(path)
    with pytest.raises(GalleryError, match="cannot be written: File exists"):
        full.export(tmp_path / "mine" / "file" / "out")
    full.export(tmp_path / "out")
    full.remove("a")
    full.export(tmp_path / "out")  # an older export is replaced
    assert len(EmbeddingSet.load(tmp_path / "out")) == 4


@pytest.mark.parametrize("name", [META, ROWS, VECTORS, SEAL])
def test_a_damaged_export_is_refused_whole(
    full: Gallery, other: Gallery, tmp_path: Path, name: str
) -> None:
    full.export(tmp_path / "out")
    path = tmp_path / "out" / name
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for position in random.integers(len(whole), size=12):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        if name == SEAL and json.loads(whole) == _json(bytes(damaged)):
            continue
        with pytest.raises(FaceverError):
            other.import_(tmp_path / "out")
    path.write_bytes(whole[:-3])
    with pytest.raises(FaceverError):
        other.import_(tmp_path / "out")
    path.unlink()
    with pytest.raises(FaceverError):
        other.import_(tmp_path / "out")
    assert other.info().images == other.info().people == 0
    path.write_bytes(whole)
    assert other.import_(tmp_path / "out").images == 6


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_a_vector_that_changed_is_named(full: Gallery, other: Gallery, tmp_path: Path) -> None:
    full.export(tmp_path / "out")
    path = tmp_path / "out" / VECTORS
    content = bytearray(path.read_bytes())
    content[-300] ^= 1  # the least of a number: still a unit vector
    path.write_bytes(content)
    with pytest.raises(GalleryError, match=r"vectors.npy was changed .*: export the gallery again"):
        other.import_(tmp_path / "out")


def test_a_foreign_export(full: Gallery, tmp_path: Path, faces) -> None:
    full.export(tmp_path / "out")
    with Gallery.create(tmp_path / "third", fingerprint="model-2", dimension=8) as third:
        with pytest.raises(GalleryError, match=r"model-1 do not match .* model-2"):
            third.import_(tmp_path / "out")
        faces.save(tmp_path / "faces")
        with pytest.raises(GalleryError, match=r"is not a gallery export: it has no export.json"):
            third.import_(tmp_path / "faces")
        with pytest.raises(FaceverError, match="export"):
            third.import_(tmp_path / "nothing")
        assert third.info().people == 0


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("metadata", "[1]", "the metadata of a person is not a JSON object"),
        ("metadata", '{"k": NaN}', "the metadata of a person is not a JSON object"),
        ("metadata", "{", "the metadata of a person is not a JSON object"),
        ("metadata", '{"k": ' + "[" * 10**5, "the metadata of a person is not a JSON object"),
        ("metadata", '{"k": ' + "1" * 30 + "}", "the metadata of a person is not a JSON object"),
        ("metadata", '{"other": 1}', "have different metadata; export the gallery again"),
        ("enrolled", "yesterday", "invalid enrolment time; export the gallery again"),
        ("enrolled", "2020-01-01T00:00:00", "invalid enrolment time; export the gallery again"),
        ("quality", -1.0, "the quality of image 0 is not a number above 0"),
        ("identity", "", "rows without a person"),
        ("hash", "", "a hash must be a string"),
        (None, None, "it has no column metadata"),
    ],
)
def test_an_export_that_somebody_made_up(
    full: Gallery, other: Gallery, tmp_path: Path, column: str | None, value, message: str
) -> None:
    """Its seal is whole, its content is not what a gallery writes."""
    full.export(tmp_path / "out")
    path = tmp_path / "out" / ROWS
    rows = pd.read_parquet(path)
    if column is None:
        rows = rows.drop(columns=["metadata"])
    else:
        rows[column] = rows[column].astype(object)
        rows.loc[0, column] = value
    rows.to_parquet(path)
    seal = json.loads((tmp_path / "out" / SEAL).read_text())
    seal["sha256"][ROWS] = sha256_of_file(path)
    (tmp_path / "out" / SEAL).write_text(json.dumps(seal))
    with pytest.raises(GalleryError, match=message):
        other.import_(tmp_path / "out")
    assert other.info().people == 0
    seal["format"] = 2
    (tmp_path / "out" / SEAL).write_text(json.dumps(seal))
    with pytest.raises(GalleryError, match="format 2, newer than this facever reads"):
        other.import_(tmp_path / "out")


def test_what_a_killed_export_left_goes_with_the_next_one(
    full: Gallery, place, tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys\n"
        "from facever.gallery import exports\n"
        "from facever.gallery.gallery import Gallery\n"
        "exports.sha256_of_file = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Gallery.open(sys.argv[1]).export(sys.argv[2])\n"
    )
    out = tmp_path / "exports"
    words = [sys.executable, "-c", code, str(place), str(out / "one")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    left = [path for path in out.rglob("*") if path.name == VECTORS]
    assert len(left) == 1
    assert left[0].stat().st_size > 4 * 8 * full.info().images  # the vectors, all of them
    full.export(out / "two")
    assert [path.name for path in out.iterdir()] == ["two"]
