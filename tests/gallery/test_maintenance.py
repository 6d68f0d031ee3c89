"""What keeps a gallery in order: purge to the last byte, check, copies, settings, migration."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.index import snapshot as snapshots
from facever.gallery.records import Binding
from facever.gallery.storage import encoded

MANY = 1500  # enough for a snapshot


def everything(folder: Path) -> bytes:
    """Return every byte of every file, with the names."""
    return b"\0".join(
        str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


@pytest.mark.parametrize("templates", ["all", "mean"])
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_after_a_purge_no_byte_is_left(
    tmp_path: Path, units: Callable[..., NDArray], storage: str, templates: str
) -> None:
    folder = tmp_path / "gallery"
    with Gallery.create(
        folder, fingerprint="model-1", dimension=32, storage=storage, templates=templates
    ) as gallery:
        others = units(MANY, seed=1, dimension=32)
        names = [f"other {n}" for n in range(MANY)]
        gallery.enroll(others, names, fingerprint="model-1")
        gallery.rebuild()
        secret = units(3, seed=2, dimension=32)
        gallery.enroll(
            secret,
            ["Zacharias Quux", "Zacharias Quux", "Xenia Foobar"],
            fingerprint="model-1",
            sources=["/photos/quuxone.jpg", "/photos/quuxtwo.jpg", "/photos/xenia.jpg"],
            hashes=["cafebabe01", "cafebabe02", "cafebabe03"],
            metadata={
                "Zacharias Quux": {"badge": "BADGE-4711", "note": "allergic to bees"},
                "Xenia Foobar": {"badge": "BADGE-4712"},
            },
        )
        gallery.rebuild()  # the snapshot has them too
        gallery.update("Zacharias Quux", {"note": "forgotten"}, new_id="Zacharias Quuux")
        gallery.merge("Xenia Foobar", "other 7")
        leftover = folder / ".index.killed.tmp.snapshot"
        leftover.write_bytes(secret.tobytes())
        assert any(f in everything(folder) for f in (secret[0].tobytes(), b"Zacharias"))
        gallery.remove("Zacharias Quuux")
        gallery.remove("other 7", "/photos/xenia.jpg")
        gallery.update("other 7", remove_keys=["badge"])
        if (storage, templates) == ("float32", "all"):
            assert removed_in_another_process(folder)
        gallery.purge()
        found = everything(folder)
        traces = [
            b"Zacharias", b"Xenia", b"quuxone", b"quuxtwo", b"xenia", b"cafebabe0", b"BADGE-47",
            b"bees", b"forgotten",
        ]  # fmt: skip
        for kind in ("float32", "float16", "int8"):
            for vector in encoded(secret, kind):  # type: ignore[arg-type]
                traces += [vector, vector[: len(vector) // 2], vector[len(vector) // 2 :]]
        assert [trace for trace in traces if trace in found] == []
        assert b"other 8" in found
        assert next(encoded(others[8:9], storage)) in found  # type: ignore[arg-type]
        best = gallery.search(others[8:9], 1, fingerprint="model-1")[0].candidates[0]
        assert best.person == "other 8"
        assert gallery.info().people == MANY
        assert gallery.check() == []
        assert (folder / snapshots.FILE).is_file()


def removed_in_another_process(folder: Path) -> bool:
    """Ask another process, before the purge, who is nearest to those who were removed."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); import numpy as np\n"
        "from facever import Gallery\n"
        "v = np.random.default_rng(2).normal(size=(3, 32)).astype(np.float32)\n"
        "v /= np.linalg.norm(v, axis=1, keepdims=True)\n"
        "with Gallery.open(sys.argv[1]) as g: found = g.search(v, 3, fingerprint='model-1')\n"
        "sys.exit(any(c.score > 0.95 or 'Z' in c.person for a in found for c in a.candidates))"
    )
    command = [sys.executable, "-c", script, str(folder), str(Path.cwd())]
    return subprocess.run(command, check=False).returncode == 0


def test_what_was_removed_and_when(gallery: Gallery, place) -> None:
    assert gallery.removed("a") is None
    gallery.remove("b", "35.jpg")
    assert gallery.removed("b") is None  # the person is there still
    gallery.remove("a")
    gallery.merge("b", "c")
    gallery.update("d", new_id="e2")
    found = gallery.audit()
    assert [(e.action, e.images) for e in found[:2]] == [("remove images", 1), ("remove", 35)]
    assert [gallery.removed(person) for person in "abd"] == found[1:]
    assert [e.action for e in found[1:]] == ["remove", "merge", "rename"]
    assert gallery.removed("c") is None
    assert gallery.removed("nobody ever") is None
    with pytest.raises(GalleryError, match="a person id cannot be encoded in UTF-8"):
        gallery.removed("\ud800")
    with Gallery.open(place) as again:
        assert again.audit() == found
        assert again.removed("a") == found[1]


def test_all_is_well(gallery: Gallery) -> None:
    assert gallery.check() == []
    gallery.rebuild()
    assert gallery.check() == []
    gallery.remove("a")  # the snapshot is behind, which is as it should be
    gallery.enroll(np.eye(8)[:2], "new", fingerprint="model-1")
    assert gallery.check() == []


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_files_that_others_may_read(gallery: Gallery) -> None:
    (gallery.path / "gallery.db").chmod(0o604)
    gallery.path.chmod(0o755)
    assert [(f.part, f.problem) for f in gallery.check()] == [
        ("files", f"{gallery.path} is accessible to users other than the owner (mode 755)"),
        (
            "files",
            f"{gallery.path}/gallery.db is accessible to users other than the owner (mode 604)",
        ),
    ]


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_a_temporary_file_that_goes_while_files_are_looked_at(
    gallery: Gallery, monkeypatch
) -> None:
    """Another thread or process writes the index beside the check."""
    stat, temporary = Path.stat, gallery.path / ".index.snapshot.facever-1-aaaaaaaa.tmp"

    def look(path: Path, **how: bool):
        if path == temporary:
            temporary.unlink(missing_ok=True)
        return stat(path, **how)

    temporary.touch(0o600)
    monkeypatch.setattr(Path, "stat", look)
    assert gallery.check() == []
    assert not temporary.exists()


def test_an_index_that_is_not_the_stores(gallery: Gallery, index_folder) -> None:
    """A snapshot that is sealed and yet wrong is found by comparing it."""
    gallery.rebuild()
    path = index_folder / snapshots.FILE
    whole = path.read_bytes()
    for change in ("vectors", "owners", "fewer"):
        snapshot = snapshots.Snapshot.read(path)
        wrong = snapshot.entries
        if change == "vectors":
            wrong = wrong._replace(vectors=wrong.vectors[::-1])
        if change == "owners":
            wrong = wrong._replace(owners=wrong.owners[::-1])
        if change == "fewer":
            wrong = wrong.rows(slice(1, -1))
        snapshots.write_snapshot(path, snapshot.state, [wrong])
        (finding,) = gallery.check()
        assert finding.part == "index"
        assert str(path) in finding.problem
        assert ("lacks entry 1" if change == "fewer" else "damaged vectors") in finding.problem
        path.write_bytes(whole)
    path.write_bytes(whole[:-7])
    assert [f.part for f in gallery.check()] == ["index"]
    path.unlink()
    assert gallery.check() == []


def test_an_approximate_index_that_is_damaged(gallery: Gallery, index_folder) -> None:
    gallery.rebuild("HNSW8")
    assert gallery.check() == []
    path = index_folder / "index.faiss"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert [f.problem for f in gallery.check()] == [f"{path} is damaged"]


def test_a_decision_of_another_model(gallery: Gallery, make_point) -> None:
    point = make_point("1:N", fingerprint="model-0")
    gallery._store.add_measured("operating point", "door", "1:N", point.model_dump_json())
    assert [(f.part, f.problem) for f in gallery.check()] == [
        ("decisions", "'door' is for another model, model-0: remove it")
    ]


@pytest.mark.in_folder("PostgreSQL has checksums of its pages")
def test_a_damaged_store_is_told_once(gallery: Gallery) -> None:
    gallery.enroll(np.repeat(np.eye(8), 200, axis=0), "z", fingerprint="model-1", duplicates="keep")
    path = gallery.path / "gallery.db"
    gallery.close()
    content = bytearray(path.read_bytes())
    content[16384 * 3 :] = b"\xff" * (len(content) - 16384 * 3)
    path.write_bytes(bytes(content))
    try:
        with Gallery.open(gallery.path) as damaged:
            assert damaged.check()
    except GalleryError as error:
        assert "restore it from a copy" in str(error)  # noqa: PT017 - damage may show at opening


def test_settings_are_shown_and_kept(place, tmp_path: Path, faces) -> None:
    kwargs = {"fingerprint": "model-1", "dimension": 8}
    with Gallery.create(
        place, templates="medoids:2", storage="float16", index="flat", **kwargs
    ) as gallery:
        gallery.enroll(faces)
        info = gallery.info()
        assert (info.templates, info.storage, info.index) == ("medoids:2", "float16", "flat")
        assert (info.images, info.entries, info.read_only) == (60, 23, False)
        gallery.set_templates("all")
        gallery.set_storage("int8")
        gallery.rebuild("auto")
    with Gallery.open(place) as again:
        info = again.info()
        assert (info.templates, info.storage, info.index) == ("all", "int8", "auto")
        assert info.entries == 60
    for wrong in ({"templates": "best"}, {"storage": "int4"}, {"index": "IVF"}):
        with pytest.raises(GalleryError):
            Gallery.create(tmp_path / "new", **kwargs, **wrong)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("templates", ["all", "mean", "medoids:2"])
def test_search_and_verify_follow_the_templates(
    gallery: Gallery, place, faces, templates: str
) -> None:
    with Gallery.open(place) as reader:
        reader.search(faces, 1)  # its index is of other templates
        gallery.set_templates(templates)
        for who in (gallery, reader):
            best = who.search(faces.vectors[:1], 12, fingerprint="model-1")[0].candidates
            told = {c.person: c.score for c in best}
            for person in ("a", "b", "single"):
                known = who.verify(faces.vectors[:1], person, fingerprint="model-1")
                assert known.scores[0] == pytest.approx(told[person], abs=1e-5)
                assert known.images == {"all": {"a": 35, "b": 3}, "mean": {}}.get(
                    templates, {"a": 2, "b": 2}
                ).get(person, 1)


def test_a_migration(gallery: Gallery, place, faces, units) -> None:
    with Gallery.open(place) as reader:
        reader.search(faces, 1)
        new = units(60, seed=5, dimension=5)
        gallery.begin_migration(Binding("model-2", 5))
        numbers = [each.image for each in gallery.pending_images()]
        with pytest.raises(GalleryError, match=r"shape \[60, 8\], but the gallery has dimension 5"):
            gallery.add_migrated(numbers, faces.vectors, [1.0] * 60, fingerprint="model-2")
        with pytest.raises(GalleryError, match="vector 3 has length 2"):
            wrong = new * np.where(np.arange(60) == 3, 2, 1)[:, None]
            gallery.add_migrated(numbers, wrong, [1.0] * 60, fingerprint="model-2")
        gallery.add_migrated(numbers, new, [1.0] * 60, fingerprint="model-2")
        assert gallery.migration().pending == 0
        assert reader.search(faces, 1)[0].candidates  # the old model serves
        gallery.finish_migration("model-2")
        with pytest.raises(GalleryError, match=r"model-1 do not match .* model-2"):
            reader.search(faces, 1)
        assert (reader.fingerprint, reader.dimension) == ("model-2", 5)
        best = reader.search(new[59:], 1, fingerprint="model-2")[0].candidates[0]
        assert (best.person, round(best.score, 5)) == ("single", 1)
        gallery.begin_migration(Binding("model-3", 5))
        gallery.abandon_migration()
        assert reader.migration() is None
