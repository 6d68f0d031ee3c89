import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.migration import MissingImage
from facever.models.extractor import Extractor
from facever.models.loading import load_model
from facever.operating_point import OperatingPoint
from facever.recognizer import Recognizer


@pytest.fixture(scope="module")
def new(models: list[Path]) -> Extractor:
    """Another model, whose batches are small."""
    return load_model(models[1], batch_size=4)


@pytest.fixture
def images(people: Path, tmp_path: Path) -> Path:
    """The people's images, to be moved and changed."""
    whole = shutil.ignore_patterns("broken.jpg")
    return Path(shutil.copytree(people, tmp_path / "images", ignore=whole))


@pytest.fixture
def filled(gallery: Gallery, model: Extractor, images: Path) -> Gallery:
    """Twelve images of four people."""
    assert Recognizer(model, gallery).enroll(images).images == 12
    return gallery


def assert_is_of(gallery: Gallery, model: Extractor, images: Path, tmp_path: Path) -> None:
    """Compare all answers with those of a gallery that never knew another model."""
    probes = sorted(images.rglob("*.png"))
    with Gallery.create(tmp_path / "fresh", model) as fresh:
        Recognizer(model, fresh).enroll(images)
        expected = Recognizer(model, fresh).search(probes, k=4)
    for answer, wanted in zip(
        Recognizer(model, gallery).search(probes, k=4), expected, strict=True
    ):
        scores = {c.person: c.score for c in answer.candidates}  # one image may be two people's
        assert scores == pytest.approx({c.person: c.score for c in wanted.candidates}, abs=1e-5)


def test_a_gallery_moves_to_another_model(
    filled: Gallery,
    model: Extractor,
    new: Extractor,
    images: Path,
    tmp_path: Path,
    make_point: Callable[..., OperatingPoint],
) -> None:
    filled.update("a", {"site": "A"})
    filled.add_operating_point("old", make_point(model))
    done = Recognizer(new, filled).migrate()
    assert (done.finished, done.images, done.resumed, done.missing) == (True, 12, 0, [])
    assert (done.before, done.fingerprint) == (model.fingerprint, new.fingerprint)
    assert done.lost == ["old"]
    assert filled.operating_points() == {}
    assert filled.metadata("a") == {"site": "A"}
    assert_is_of(filled, new, images, tmp_path)
    with pytest.raises(GalleryError, match=model.fingerprint):
        Recognizer(model, filled).search([images / "a" / "0.png"])
    with pytest.raises(GalleryError, match="already"):
        Recognizer(new, filled).migrate()


class Stopped(BaseException):
    """Like a signal: nothing expects it."""


def disturb(
    monkeypatch: pytest.MonkeyPatch, extractor: Extractor, block: int, act: Callable[[], None]
) -> None:
    """Do something once, after so many blocks were embedded."""
    blocks, left = extractor.blocks, iter([block])

    def disturbed(*args: object, **options: object) -> Iterator[object]:
        at = next(left, None)
        for index, one in enumerate(blocks(*args, **options)):
            if index == at:
                act()
            yield one

    monkeypatch.setattr(extractor, "blocks", disturbed)


def test_a_stopped_migration_goes_on_where_it_was(
    filled: Gallery,
    model: Extractor,
    new: Extractor,
    models: list[Path],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop() -> None:
        raise Stopped

    disturb(monkeypatch, new, 2, stop)
    with pytest.raises(Stopped):
        Recognizer(new, filled).migrate()
    with Gallery.open(filled.path) as opened:
        state = opened.migration()
        assert state is not None
        assert (state.done, state.pending) == (8, 4)
        found = Recognizer(model, opened).search([images / "b" / "1.png"], 1)[
            0
        ]  # the old one serves
        assert found.candidates[0].person == "b"
        with pytest.raises(GalleryError, match="finish or abandon it before"):
            Recognizer(load_model(models[1], flip=True), opened).migrate()
        done = Recognizer(new, opened).migrate()
        assert (done.finished, done.images, done.resumed) == (True, 4, 8)
    assert_is_of(filled, new, images, tmp_path)


@pytest.mark.parametrize("moment", ["between blocks", "before the end"])
def test_what_is_enrolled_meanwhile_moves_too(
    filled: Gallery,
    model: Extractor,
    new: Extractor,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    late = images / "e" / "9.png"
    late.parent.mkdir()
    late.write_bytes((images / "a" / "0.png").read_bytes() + b"another image, by its bytes")

    def enroll() -> None:
        with Gallery.open(filled.path) as other:
            assert Recognizer(model, other).enroll(late, "e").images == 1
            other.remove("d")

    if moment == "between blocks":
        disturb(monkeypatch, new, 1, enroll)
    else:
        finish, todo = filled.finish_migration, [enroll]

        def late_finish(*args: object, **options: object) -> int:
            if todo:
                todo.pop()()
            return finish(*args, **options)

        monkeypatch.setattr(filled, "finish_migration", late_finish)
    done = Recognizer(new, filled).migrate()
    assert done.finished
    assert {one.person for one in filled.people()} == set("abce")
    shutil.rmtree(images / "d")
    assert_is_of(filled, new, images, tmp_path)


def test_images_that_are_gone_or_changed(
    filled: Gallery, model: Extractor, new: Extractor, images: Path, tmp_path: Path
) -> None:
    (images / "a" / "0.png").unlink()
    (images / "b" / "1.png").write_bytes((images / "b" / "2.png").read_bytes())
    vector = np.eye(model.dimension, dtype=np.float32)[0]
    filled.enroll(vector, "nowhere", fingerprint=model.fingerprint)
    done = Recognizer(new, filled).migrate()
    assert (done.finished, done.images, len(done.missing)) == (False, 10, 3)
    assert done.missing == [
        MissingImage(1, "a", str(images / "a" / "0.png"), "no such file"),
        MissingImage(5, "b", str(images / "b" / "1.png"), "the file has changed since enrolment"),
        MissingImage(13, "nowhere", None, "it was enrolled as a vector, without a source"),
    ]
    assert (
        Recognizer(model, filled).search([images / "c" / "0.png"], 1)[0].candidates[0].person == "c"
    )
    done = Recognizer(new, filled).migrate(missing="remove")
    assert (done.finished, done.images, done.resumed, len(done.missing)) == (True, 0, 10, 3)
    assert [tuple(one) for one in filled.people()][:4] == [("a", 2), ("b", 2), ("c", 3), ("d", 3)]
    (images / "b" / "1.png").unlink()
    assert_is_of(filled, new, images, tmp_path)


def test_images_that_were_moved_are_found_below_a_root(
    filled: Gallery, new: Extractor, images: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    images.rename(moved)
    (moved / "0.png").write_bytes((moved / "a" / "0.png").read_bytes())
    (moved / "a" / "0.png").write_bytes(b"another picture")
    assert len(Recognizer(new, filled).migrate(root=moved.parent).missing) == 12
    done = Recognizer(new, filled).migrate(
        root=moved
    )  # a/0.png has other bytes, 0.png the right ones
    assert (done.finished, done.images, done.missing) == (True, 12, [])


def test_sources_without_a_hash_are_taken_at_their_own_place_only(
    gallery: Gallery,
    model: Extractor,
    new: Extractor,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(images)  # a relative source is not relative to wherever one stands
    paths = sorted(images.rglob("?.png"))[:4]
    relative = [str(path.relative_to(images)) for path in paths[:2]]
    sources = [*relative, str(paths[2]), str(tmp_path / "gone" / "b" / "0.png")]
    vectors = model.embed(paths)
    gallery.enroll(vectors, list("aaab"), fingerprint=model.fingerprint, sources=sources)
    assert [one.source for one in Recognizer(new, gallery).migrate().missing] == [
        *relative,
        sources[3],
    ]
    done = Recognizer(new, gallery).migrate(root=images)
    assert [(one.source, one.reason) for one in done.missing] == [(sources[3], "no such file")]
    assert len(Recognizer(new, gallery).migrate().missing) == 1  # the others were kept


def test_images_of_an_array_file_move(
    gallery: Gallery, model: Extractor, new: Extractor, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "faces.npy", pixels)
    frame = pd.DataFrame({"path": [f"faces.npy#{i}" for i in range(3)], "identity": list("abc")})
    Recognizer(model, gallery).enroll(Manifest.from_frame(frame, tmp_path, "faces"))
    pixels[1] = 0
    np.save(tmp_path / "faces.npy", pixels)
    assert [one.person for one in Recognizer(new, gallery).migrate().missing] == ["b"]


def test_wrong_use(filled: Gallery, new: Extractor, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"missing is 'drop' \(allowed: refuse, remove\)"):
        Recognizer(new, filled).migrate(missing="drop")  # type: ignore[arg-type]
    with pytest.raises(GalleryError, match=r"/no is not a folder"):
        Recognizer(new, filled).migrate(root=tmp_path / "no")
    assert filled.migration() is None
