"""Person ids are data: kept and found as they are (once canonical), one line each, never paths."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.gallery.gallery import Gallery

IDS = [
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "-rf",
    "'; DROP TABLE people; --",
    '" OR 1=1',
    "<script>alert(1)</script>",
    "%s{0}$(id)`id`",
    "\U0001f600",
    "\u202egnp.exe",
    "\u0627\u0644\u0639\u0631\u0628",
    "\xe9",
    "a\nb",
    "\x1b[31mred\x07",
    "a\0b",
    "NULL",
    "x" * 10_000,
]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A gallery of such people, whose metadata and sources are no better."""
    rows = np.eye(len(IDS), dtype=np.float32)
    with Gallery.create(tmp_path / "g", fingerprint="m", dimension=len(IDS)) as gallery:
        about = {name: {name: name} for name in IDS}
        gallery.enroll(rows, IDS, fingerprint="m", sources=IDS, metadata=about)
        gallery.rebuild()
    return tmp_path / "g"


def _printed(said: str) -> list[str]:
    assert said.replace("\n", "").isprintable()
    return said.splitlines()


def test_they_are_kept_and_found(strange: Path) -> None:
    rows = np.eye(len(IDS), dtype=np.float32)
    with Gallery.open(strange) as gallery:
        found = gallery.search(rows, 1, fingerprint="m")
        assert [answer.candidates[0].person for answer in found] == IDS
        for row, name in zip(rows, IDS, strict=True):
            assert gallery.verify(row, name, fingerprint="m").scores == [1.0]
            assert gallery.metadata(name) == {name: name}
            assert [image.source for image in gallery.images(name)] == [name]
            assert [one.person for one in gallery.people({name: name})] == [name]
            narrow = gallery.search(row, 5, fingerprint="m", where={name: name})[0]
            assert [candidate.person for candidate in narrow.candidates] == [name]
        assert gallery.check() == []
        for name in IDS:
            assert gallery.remove(name, name) == 1
            gallery.update(name, new_id=f"{name}!")
            assert gallery.removed(name) is not None
            assert gallery.remove(f"{name}!") == 0
        assert (gallery.info().people, gallery.check()) == (0, [])
        gallery.purge()
    for file in strange.iterdir():
        content = file.read_bytes()
        assert not any(name.encode() in content for name in IDS if len(name) > 8)


def test_they_are_never_paths(strange: Path, tmp_path: Path) -> None:
    with Gallery.open(strange) as gallery:
        gallery.export(tmp_path / "export")
    there = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert {path.parts[0] for path in there} == {"g", "export"}
    assert all(len(path.parts) <= 2 for path in there)
    assert not any("x" * 20 in path.name or "passwd" in path.name for path in there)
    with Gallery.create(tmp_path / "again", fingerprint="m", dimension=len(IDS)) as gallery:
        assert gallery.import_(tmp_path / "export").images == len(IDS)
        assert sorted(one.person for one in gallery.people()) == sorted(IDS)
        assert all(gallery.metadata(name) == {name: name} for name in IDS)
    with closing(sqlite3.connect(strange / "gallery.db")) as db:
        assert db.execute("SELECT count(*) FROM people").fetchone() == (len(IDS),)


def test_commands_show_each_in_one_line(facever, strange: Path, tmp_path: Path) -> None:
    vectors = np.eye(len(IDS), dtype=np.float32)
    EmbeddingSet.from_arrays(vectors, IDS, fingerprint="m", path=IDS).save(tmp_path / "probes")
    status, said, _ = facever("gallery", "people", strange)
    assert (status, len(_printed(said))) == (0, 2 + len(IDS))
    words = ("gallery", "search", strange, "--embeddings", tmp_path / "probes", "-k", 1)
    assert len(_printed(facever(*words)[1])) >= len(IDS)
    for name in IDS:
        if name.startswith("-") or "\0" in name:  # no argument of a process can hold NUL
            continue
        status, said, _ = facever("gallery", "images", strange, name)
        assert (status, len(_printed(said))) == (0, 4)
        status, said, error = facever("gallery", "update", strange, name, "--rename", IDS[0])
        if name != IDS[0]:
            assert (status, len(_printed(error))) == (2, 1)
            assert "the id '../../x' is already taken" in error
    status, said, error = facever("gallery", "remove", strange, "nobody\n\x1b[31m")
    assert (status, said) == (2, "")
    assert _printed(error)[0].startswith("error: no person 'nobody\\n\\x1b[31m' is enrolled")
