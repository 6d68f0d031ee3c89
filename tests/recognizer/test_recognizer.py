import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facever.data.decode import decode, decode_bytes
from facever.data.manifest import Manifest
from facever.errors import DataError, GalleryError, ModelError
from facever.gallery.gallery import Gallery
from facever.models.extractor import Extractor
from facever.models.loading import load_model
from facever.recognizer import Recognizer


@pytest.fixture
def recognizer(model: Extractor, gallery: Gallery) -> Recognizer:
    return Recognizer(model, gallery)


@pytest.fixture
def no_files(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every temporary file and folder, once there is a gallery."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("mkdtemp", "mkstemp", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_crops_are_those_of_their_images(
    recognizer: Recognizer, people: Path, workers: int
) -> None:
    """Also where one image fails, and where processes load them."""
    gallery = recognizer.gallery
    gallery.set_keep_crops(True)
    assert recognizer.enroll(people, workers=workers).images == gallery.info().crops == 12
    for person in "abcd":
        for image in gallery.images(person):
            assert image.source is not None
            kept = decode_bytes(gallery.crop(person, image.image))
            np.testing.assert_array_equal(kept, decode(image.source))


@pytest.mark.usefixtures("no_files")
def test_from_images_to_answers(make_point, recognizer: Recognizer, people: Path) -> None:
    done = recognizer.enroll(people)
    assert (done.images, done.new_people, done.duplicates) == (12, 4, [])
    assert [source for source, _ in done.failed] == [str(people / "a" / "broken.jpg")]
    again = recognizer.enroll(str(people))
    assert (again.images, len(again.duplicates)) == (0, 12)

    probes = [people / "b" / "1.png", people / "d" / "0.png"]
    found = recognizer.search(probes, k=2)
    assert [answer.candidates[0].person for answer in found] == ["b", "d"]
    assert [answer.candidates[0].score for answer in found] == pytest.approx([1, 1], abs=1e-5)

    probes.append(people / "a" / "broken.jpg")
    point = make_point(recognizer.model, threshold=0.99999)
    result = recognizer.verify_person(probes, "b", operating_point=point)
    assert result.same == [True, False, None]
    assert [error is None for error in result.errors] == [True, True, False]
    assert result.errors[2] == f"{people / 'a' / 'broken.jpg'}: not an image of a known format"


def test_answers_are_those_of_the_vectors(
    recognizer: Recognizer, model: Extractor, people: Path, tmp_path: Path
) -> None:
    """The long way round: a folder of embeddings, and the gallery asked with it."""
    faces = model.extract(Manifest.from_folder(people), tmp_path / "faces", workers=0)
    with Gallery.create(tmp_path / "other", model) as other:
        other.enroll(faces)
        recognizer.enroll(people)
        probes = sorted((people / "c").iterdir())
        wanted = other.search(model.embed(probes), 4, fingerprint=model.fingerprint)
        for found, one in zip(recognizer.search(probes, 4), wanted, strict=True):
            assert [c.person for c in found.candidates] == [c.person for c in one.candidates]
            scores = [c.score for c in one.candidates]
            assert [c.score for c in found.candidates] == pytest.approx(scores, abs=1e-6)
        images = [(i.source, i.norm, i.quality) for i in recognizer.gallery.images("b")]
        assert images == [(i.source, i.norm, i.quality) for i in other.images("b")]


def test_images_may_be_given_in_any_way(recognizer: Recognizer, people: Path) -> None:
    recognizer.enroll(people)
    path = people / "d" / "2.png"
    (expected,) = recognizer.search(path, k=4)
    assert expected.candidates[0].person == "d"
    for given in (str(path), path.read_bytes(), Image.open(path), decode(path), decode(path)[None]):
        assert list(recognizer.search(given, k=4)) == [expected]
        assert recognizer.verify_person(given, "d").scores == [expected.candidates[0].score]
    mixed = [path, b"no image", decode(people / "a" / "0.png")]
    answers = recognizer.search(mixed, k=1)
    assert [answer.error for answer in answers] == [
        None,
        "image: not an image of a known format",
        None,
    ]
    assert [one.candidates[0].person for one in answers if one.error is None] == ["d", "a"]


def test_more_images_than_go_through_the_model_together(
    recognizer: Recognizer, models: list[Path], people: Path
) -> None:
    recognizer.enroll(people)
    names = ("a/0.png", "b/1.png", "a/broken.jpg", "c/2.png", "d/0.png")
    small = Recognizer(load_model(models[0], batch_size=2), recognizer.gallery)
    answers = list(small.search([people / name for name in names], 1))
    assert [bool(one.error) for one in answers] == [False, False, True, False, False]
    assert [one.candidates[0].person for one in answers if one.candidates] == list("abcd")


def test_images_without_a_path_are_enrolled(recognizer: Recognizer, people: Path) -> None:
    first, second, third = (people / "a" / f"{shot}.png" for shot in range(3))
    done = recognizer.enroll([first, second.read_bytes(), Image.open(third)], ["ann", "bea", "cy"])
    assert (done.images, done.new_people) == (3, 3)
    sources = [recognizer.gallery.images(who)[0].source for who in ("ann", "bea", "cy")]
    assert sources == [str(first), None, None]
    # a file and its bytes are one image; so are pixels, however they come
    again = recognizer.enroll([first.read_bytes(), second, decode(third)], "eve")
    assert [d.known_as for d in again.duplicates] == ["ann", "bea", "cy"]
    with pytest.raises(DataError, match="people="):
        recognizer.enroll([decode(first)])
    with pytest.raises(GalleryError, match="1 values of person id for 2 vectors"):
        recognizer.enroll([decode(first), first], ["ann"])


def test_a_person_of_images_and_folders(recognizer: Recognizer, people: Path) -> None:
    done = recognizer.enroll([people / "a" / "0.png", people / "b"], "x", metadata={"x": {"n": 1}})
    assert (done.images, done.new_people) == (4, 1)
    assert recognizer.gallery.metadata("x") == {"n": 1}


def test_duplicates_are_known_by_their_bytes(
    recognizer: Recognizer, people: Path, tmp_path: Path
) -> None:
    recognizer.enroll(people / "a" / "0.png", "ann")
    copy = tmp_path / "copy.png"
    copy.write_bytes((people / "a" / "0.png").read_bytes())
    done = recognizer.enroll(copy, "bea")
    assert [(d.person, d.known_as) for d in done.duplicates] == [("bea", "ann")]
    copy.write_bytes((people / "a" / "1.png").read_bytes())
    assert recognizer.enroll(copy, "bea").images == 1


def test_images_of_an_array_file(recognizer: Recognizer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    np.save(tmp_path / "faces.npy", pixels)
    frame = pd.DataFrame({"path": [f"faces.npy#{i}" for i in range(3)], "identity": list("abc")})
    done = recognizer.enroll(Manifest.from_frame(frame, tmp_path, "faces"))
    assert [(d.person, d.known_as) for d in done.duplicates] == [("c", "a")]
    assert recognizer.search(f"{tmp_path}/faces.npy#1", 1)[0].candidates[0].person == "b"


def test_when_no_image_can_be_read_nothing_is_enrolled(
    recognizer: Recognizer, people: Path
) -> None:
    broken = people / "a" / "broken.jpg"
    for ask in (
        lambda: recognizer.enroll(broken, "a"),
        lambda: recognizer.search([broken]),
        lambda: recognizer.search(b"no image"),
    ):
        with pytest.raises(DataError, match="not one of 1 images could be read"):
            ask()
    assert recognizer.gallery.info().people == 0


def test_the_gallerys_options_are_used_without_anybody_repeating_them(
    model: Extractor, people: Path, models: list[Path], tmp_path: Path
) -> None:
    flipped = load_model(models[0], flip=True)
    with Gallery.create(tmp_path / "gallery", flipped) as gallery:
        recognizer = Recognizer.load(models[0], gallery)
        assert recognizer.model.fingerprint == flipped.fingerprint
        assert recognizer.enroll(people).images == 12
        probe = people / "c" / "2.png"
        assert recognizer.search(probe, 1)[0].candidates[0].person == "c"
        for wrong in (model, load_model(models[1], flip=True)):
            other = Recognizer(wrong, gallery)
            for ask in (
                lambda other=other: other.search(probe),
                lambda other=other: other.verify_person(probe, "c"),
                lambda other=other: other.enroll(people),
            ):
                with pytest.raises(GalleryError, match="use the gallery's model") as refusal:
                    ask()
                assert wrong.fingerprint in str(refusal.value)
                assert gallery.fingerprint in str(refusal.value)


def test_what_needs_a_gallery_says_so(model: Extractor, people: Path, models: list[Path]) -> None:
    probe = people / "c" / "2.png"
    alone = Recognizer(model)
    for ask in (
        lambda: alone.search(probe),
        lambda: alone.verify_person(probe, "c"),
        lambda: alone.enroll(people),
        alone.migrate,
    ):
        with pytest.raises(GalleryError, match=r"needs a gallery: Recognizer\(model, gallery\)"):
            ask()
    with pytest.raises(ModelError, match=r"is a path, not a model: give facever.load_model"):
        Recognizer(models[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ask",
    ["create_gallery", "enroll_images", "search_images", "verify_images", "migrate_gallery"],
)
def test_former_names_work_for_one_version(
    ask: str, model: Extractor, gallery: Gallery, models: list[Path], people: Path, tmp_path: Path
) -> None:
    from facever import workflows

    probe = [people / "c" / "2.png"]
    Recognizer(model, gallery).enroll(people)
    calls = {
        "create_gallery": lambda do: do(tmp_path / "new", model).info().fingerprint,
        "enroll_images": lambda do: do(gallery, model, Manifest.from_folder(people)).images,
        "search_images": lambda do: do(gallery, model, probe, 1)[0].candidates[0].person,
        "verify_images": lambda do: do(gallery, model, "c", probe, None, "mean").rule,
        "migrate_gallery": lambda do: do(gallery, load_model(models[1])).finished,
    }
    wanted = dict(zip(calls, (model.fingerprint, 0, "c", "mean", True), strict=True))
    with pytest.warns(DeprecationWarning, match=rf"{ask} goes with the next version: use "):
        assert calls[ask](getattr(workflows, ask)) == wanted[ask]
