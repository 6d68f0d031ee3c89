"""Crops that a gallery keeps: what the model saw, whole or not at all, and gone when removed."""

import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from facever.core.files import sha256_of_file
from facever.core.json_files import read_json, write_json
from facever.data.crops import KeptCrop, is_plain_png, png_of
from facever.data.decode import decode_bytes
from facever.data.given import pixels_of
from facever.errors import GalleryError, NotEnrolledError
from facever.gallery.copies import copy_gallery
from facever.gallery.gallery import Gallery
from facever.gallery.records import NewImages
from facever.gallery.store import crops as stored
from facever.recognizer import Recognizer
from tests.http_photos import CropColours, file_of, shot
from tests.squares import AlignedColours, SquareCropper

PEOPLE = ["a", "a", "b", "c"]
PHOTOS = [shot("a"), shot("a", 1), shot("b"), shot("c")]


class CentralColours(CropColours):
    """A model of crops that looks at their centre."""

    fingerprint, preprocessing = "colours of centres", {"size": [16, 16], "crop": 0.8}


class NextColours(AlignedColours):
    """Another model of the same crops."""

    fingerprint = "next colours"

    def embed(self, images):
        return AlignedColours.embed(self, images)[:, ::-1]


class LargeColours(NextColours):
    """Another model, of larger crops."""

    fingerprint, preprocessing = "large colours", {"size": [20, 16]}

    def embed(self, images):
        return NextColours.embed(self, [cv2.resize(one, (16, 16)) for one in images])


def open_(gallery: Gallery, model: Any = None) -> Recognizer:
    return Recognizer(model or AlignedColours(), gallery, photos=SquareCropper())


def seen(photo: bytes) -> np.ndarray:
    """What the model sees of a photo."""
    return SquareCropper().crop(pixels_of(photo), (16, 16)).pixels


def chunks(png: bytes) -> set[bytes]:
    """The names of the parts of a PNG file."""
    names, at = set(), 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        names.add(png[at + 4 : at + 8])
        at += size + 12
    return names


@pytest.fixture
def kept(place):
    """A gallery that keeps crops, of three people."""
    with Gallery.create(place, AlignedColours(), keep_crops=True) as gallery:
        open_(gallery).enroll(PHOTOS, PEOPLE)
        yield gallery


# -- what is kept -------------------------------------------------------------------------------


def test_it_is_what_the_model_saw(kept: Gallery, tmp_path: Path) -> None:
    for person in "abc":
        for image in kept.images(person):
            assert image.crop
            png = kept.crop(person, image.image)
            np.testing.assert_array_equal(decode_bytes(png), seen(PHOTOS[image.image - 1]))
            assert chunks(png) == {b"IHDR", b"IDAT", b"IEND"}
    assert (kept.info().keep_crops, kept.info().crops) == (True, 4)
    assert "kept, of 4 images" in str(kept.info())
    assert kept.check() == []
    with Gallery.create(tmp_path / "without", AlignedColours()) as without:
        open_(without).enroll(PHOTOS, PEOPLE)
        assert without.entries()[1].tobytes() == kept.entries()[1].tobytes()
        assert not any(one.crop for one in without.images("a"))
        assert (without.info().keep_crops, without.info().crops) == (False, 0)


@pytest.mark.in_folder("what is kept is made before the store")
@pytest.mark.parametrize("model", [CropColours, CentralColours])
def test_of_crops_that_are_given(place: Path, tmp_path: Path, model: type) -> None:
    draw = np.random.default_rng(0)
    size = (16, 16) if model is CropColours else (20, 20)  # 0.8 of it is the model's
    right = draw.integers(0, 256, (*size, 3), np.uint8)
    larger = draw.integers(0, 256, (40, 30, 3), np.uint8)
    with (
        Gallery.create(place, model(), keep_crops=True) as gallery,
        Gallery.create(tmp_path / "without", model()) as without,
    ):
        for one in (gallery, without):
            Recognizer(model(), one).enroll([right, larger], "ada")
        np.testing.assert_array_equal(decode_bytes(gallery.crop("ada", 1)), right)
        reduced = cv2.resize(larger, size, interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(decode_bytes(gallery.crop("ada", 2)), reduced)
        assert gallery.entries()[1].tobytes() == without.entries()[1].tobytes()


@pytest.mark.in_folder("the image is refused before the store")
@pytest.mark.parametrize("keep_crops", [False, True])
def test_a_crop_of_too_many_pixels_is_not_decoded_smaller(
    place: Path, monkeypatch: pytest.MonkeyPatch, keep_crops: bool
) -> None:
    monkeypatch.setenv("FACEVER_MAX_PIXELS", "300")
    large, small = (file_of(np.full((side, side, 3), 9), ".jpg") for side in (20, 16))
    with Gallery.create(place, CropColours(), keep_crops=keep_crops) as gallery:
        done = Recognizer(CropColours(), gallery).enroll([large, small], "ada")
        assert (done.images, len(done.failed)) == (1, 1)
        assert "more than the 300 allowed" in done.failed[0][1]


@pytest.mark.in_folder("its files are read")
def test_nothing_else_of_a_photo_is_kept(place: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a secret camera"
    path = place.parent / "a.jpg"
    Image.fromarray(pixels_of(shot("a"))).save(path, exif=exif, quality=100)
    assert b"a secret camera" in path.read_bytes()
    with Gallery.create(place, AlignedColours(), keep_crops=True) as gallery:
        assert open_(gallery).enroll([path], "a").images == 1
        assert gallery.images("a")[0].crop
    assert not any(b"a secret camera" in one.read_bytes() for one in place.iterdir())


def test_what_has_none(kept: Gallery) -> None:
    vector = kept.entries()[1][:1]
    kept.enroll(vector, "d", fingerprint=AlignedColours.fingerprint, conflicts="ignore")
    assert [one.crop for one in kept.images("d")] == [False]
    with pytest.raises(NotEnrolledError, match=r"^no crop of image 5 of 'd' is kept$"):
        kept.crop("d", 5)
    with pytest.raises(NotEnrolledError, match=r"^'a' has no image number 5$"):
        kept.crop("a", 5)
    with pytest.raises(NotEnrolledError, match=r"^no person 'x' is enrolled$"):
        kept.crop("x", 1)


def test_the_setting_can_be_changed(place) -> None:
    with Gallery.create(place, AlignedColours()) as gallery:
        recognizer = open_(gallery)
        recognizer.enroll(PHOTOS[:1], "a")
        assert gallery.set_keep_crops(True) == 0
        recognizer.enroll(PHOTOS[1:2], "a")
        assert [one.crop for one in gallery.images("a")] == [False, True]
        before = gallery.change
        assert gallery.set_keep_crops(True) == 0
        assert gallery.change == before
        with Gallery.open(place) as other:
            assert other.keeps_crops
            assert other.set_keep_crops(False) == 1
        assert gallery.info().crops == 0
        recognizer.enroll(PHOTOS[2:], ["b", "c"])
        assert not any(one.crop for person in "abc" for one in gallery.images(person))
        gallery.set_keep_crops(True)  # those that were removed do not come back
        assert gallery.info().crops == 0
        assert gallery.check() == []


@pytest.mark.in_folder("it is refused before the store")
def test_a_model_that_takes_any_size_has_none(place: Path) -> None:
    with pytest.raises(GalleryError, match="does not state the size of its input"):
        Gallery.create(place, fingerprint="m", dimension=2, keep_crops=True)
    assert not place.exists()
    with Gallery.create(place, fingerprint="m", dimension=2) as gallery:
        with pytest.raises(GalleryError, match="does not state the size of its input"):
            gallery.set_keep_crops(True)
        assert not gallery.keeps_crops


# -- changes and removals -----------------------------------------------------------------------


def test_merge_and_split_move_them(kept: Gallery) -> None:
    first, second = (kept.crop("a", image) for image in (1, 2))
    kept.split("a", [2], "again")
    [moved] = kept.images("again")
    assert (moved.crop, kept.crop("again", moved.image)) == (True, second)
    kept.merge("a", "b")
    [_, moved] = kept.images("b")
    assert kept.crop("b", moved.image) == first
    assert kept.info().crops == 4
    kept.update("again", new_id="more")
    assert kept.crop("more", kept.images("more")[0].image) == second
    assert kept.check() == []


REMOVALS: dict[str, Callable[[Gallery], object]] = {
    "an image": lambda gallery: gallery.remove("a", 1),
    "a person": lambda gallery: gallery.remove("a"),
    "people": lambda gallery: gallery.remove_all(["a", "b"]),
    "the setting": lambda gallery: gallery.set_keep_crops(False),
    "after a merge": lambda gallery: (gallery.merge("a", "b"), gallery.remove("b")),
    "after a split": lambda gallery: (gallery.split("a", [1], "x"), gallery.remove("x")),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_removed_crop_is_gone(place, run_sql, removal: str) -> None:
    """No part of it is in a table; and in a folder, in no file either, without a purge."""
    draw = np.random.default_rng(1)
    pngs = [draw.bytes(50_000) for _ in PEOPLE]  # as large as several pages of SQLite
    new = NewImages(
        PEOPLE,
        np.eye(12, dtype=np.float32)[:4],
        [1.0] * 4,
        [None] * 4,
        [None] * 4,
        crops=lambda row: KeptCrop("none", pngs[row]),
    )
    with Gallery.create(place, AlignedColours(), keep_crops=True) as gallery:
        gallery._store.enroll(new, {}, "keep")
        assert gallery.crop("a", 1) == pngs[0]
        if isinstance(place, Path):
            assert any(pngs[0][:64] in one.read_bytes() for one in place.iterdir())
        REMOVALS[removal](gallery)
        gallery.check()
        held = b"".join(bytes(png) for (png,) in run_sql("SELECT png FROM crops"))
        assert pngs[0] not in held
        assert (pngs[3] in held) == (removal != "the setting")
        if isinstance(place, Path):
            files = b"".join(one.read_bytes() for one in place.iterdir())
            parts = [pngs[0][at : at + 64] for at in range(0, 50_000, 64)]
            assert not any(part in files for part in parts)
        gallery.purge()
        assert gallery.check() == []


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE crops SET png = (SELECT png FROM crops WHERE image = 3) WHERE image = 1",
        "UPDATE crops SET checksum = checksum + 1 WHERE image = 1",
        "UPDATE crops SET alignment = 'none' WHERE image = 1",
        "UPDATE crops SET (alignment, png, checksum) ="
        " (SELECT alignment, png, checksum FROM crops WHERE image = 2) WHERE image = 1",
    ],
)
def test_a_damaged_one_is_named_and_never_shown(
    kept: Gallery, run_sql, tmp_path: Path, capsys, damage: str
) -> None:
    run_sql(damage)
    with pytest.raises(NotEnrolledError, match="the crop of image 1 is damaged: remove the image"):
        kept.crop("a", 1)
    assert capsys.readouterr().err.count("the crop of image 1 is damaged") == 1
    with pytest.raises(NotEnrolledError, match="is damaged"):
        kept.crop("a", 1)
    assert "damaged" not in capsys.readouterr().err  # it is said once
    assert decode_bytes(kept.crop("a", 2)).shape == (16, 16, 3)
    assert ["crop of image 1" in one.problem for one in kept.check()] == [True]
    assert open_(kept).search(PHOTOS[0], 1)[0].candidates[0].score == pytest.approx(1)
    assert set(kept.person_export("a").crops) == {2}
    assert kept.export(tmp_path / "export") == 4
    with zipfile.ZipFile(tmp_path / "export" / "crops.zip") as archive:
        assert sorted(archive.namelist()) == ["1.png", "2.png", "3.png"]
    kept.merge("a", "b")  # it is not made whole by moving it
    assert len(kept.check()) == 1
    assert len(kept.person_export("b").crops) == 2


@pytest.mark.in_folder("PostgreSQL refuses values of another type")
@pytest.mark.parametrize("value", ["CAST(png AS TEXT)", "17", "x''"])
def test_a_value_of_another_type_is_damage(kept: Gallery, run_sql, value: str) -> None:
    run_sql(f"UPDATE crops SET png = {value} WHERE image = 1")
    if value == "CAST(png AS TEXT)":  # the same bytes: the type alone was damaged
        assert is_plain_png(kept.crop("a", 1))
    else:
        with pytest.raises(NotEnrolledError, match="damaged"):
            kept.crop("a", 1)


@pytest.mark.in_folder("bytes of its file are changed")
def test_damaged_bytes_of_the_file_stop_nothing_else(place: Path) -> None:
    """One bit, in one of the pages that only a crop has."""
    png = np.random.default_rng(2).bytes(50_000)
    one = NewImages(["z"], np.eye(12, dtype=np.float32)[:1], [1.0], [None], [None])
    with Gallery.create(place, AlignedColours(), keep_crops=True) as gallery:
        open_(gallery).enroll(PHOTOS, PEOPLE)
        gallery._store.enroll(replace(one, crops=lambda _: KeptCrop("none", png)), {}, "keep")
        gallery.purge()  # the log is empty: everything is in the file
    file = place / "gallery.db"
    content = bytearray(file.read_bytes())
    at = bytes(content).index(png[30_000:30_100])
    content[at] ^= 4
    file.write_bytes(content)
    with Gallery.open(place) as gallery:
        recognizer = open_(gallery)
        assert recognizer.search(PHOTOS[0], 1)[0].candidates[0].person == "a"
        assert recognizer.enroll([shot("d")], "d").images == 1
        assert is_plain_png(gallery.crop("a", 1))
        with pytest.raises(NotEnrolledError, match="the crop of image 5 is damaged"):
            gallery.crop("z", 5)
        assert [one.problem[:26] for one in gallery.check()] == ["the crop of image 5 is dam"]
        gallery.remove("z")
        assert gallery.check() == []


def test_nothing_else_reads_them(kept: Gallery, place, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a crop was read")

    monkeypatch.setattr(stored, "_verified", read)
    with Gallery.open(place) as gallery:
        recognizer = open_(gallery)
        assert recognizer.search(PHOTOS[0], 1)[0].candidates[0].person == "a"
        assert recognizer.verify_person(PHOTOS[0], "a").scores == pytest.approx([1])
        assert recognizer.enroll([shot("d")], "d").images == 1
        gallery.rebuild()
        assert gallery.info().crops == 5
        assert all(one.crop for one in gallery.images("a"))
        gallery.remove("b")
        with pytest.raises(AssertionError, match="was read"):
            gallery.crop("a", 1)


# -- copies and exports -------------------------------------------------------------------------


def test_an_export_has_them(kept: Gallery, tmp_path: Path) -> None:
    kept.enroll(kept.entries()[1][:1], "d", fingerprint=kept.fingerprint, conflicts="ignore")
    kept.add_person("nobody")
    kept.remove("a", 1)
    kept.export(tmp_path / "export")
    assert (tmp_path / "export" / "crops.zip").stat().st_mode & 0o777 == 0o600
    with Gallery.create(tmp_path / "new", AlignedColours(), keep_crops=True) as new:
        assert "crops of" not in new.import_(tmp_path / "export", conflicts="ignore").note
        for person in "abcd":
            pairs = zip(kept.images(person), new.images(person), strict=True)
            for before, after in pairs:
                assert before.crop == after.crop == (person != "d")
                if before.crop:
                    assert kept.crop(person, before.image) == new.crop(person, after.image)
        assert new.check() == []
    with Gallery.create(tmp_path / "without", AlignedColours()) as without:
        done = without.import_(tmp_path / "export", conflicts="ignore")
        assert "keeps no crops" in done.note
        assert without.info().crops == 0
    kept.set_keep_crops(False)
    kept.export(tmp_path / "export")
    assert not (tmp_path / "export" / "crops.zip").exists()


@pytest.mark.in_folder("the export is changed, not the gallery")
@pytest.mark.parametrize("change", ["bytes", "text", "photo", "missing", "no zip"])
def test_a_changed_export_is_refused(kept: Gallery, tmp_path: Path, change: str) -> None:
    path = tmp_path / "export"
    kept.export(path)
    archive, seal = path / "crops.zip", path / "export.json"
    png, names = kept.crop("a", 1), ["0.png", "1.png", "2.png", "3.png"]
    if change == "bytes":
        archive.write_bytes(archive.read_bytes()[:-1])
    elif change == "no zip":
        archive.write_bytes(b"PK")
    else:
        note = b"\0\0\0\5tEXta\0bcd\0\0\0\0"  # metadata; its checksum does not matter
        content = {"text": png[:33] + note + png[33:], "photo": b"\xff\xd8\xff"}.get(change, png)
        with zipfile.ZipFile(archive, "w") as made:
            for name in names[: -1 if change == "missing" else None]:
                made.writestr(name, content)
    if change != "bytes":  # whoever changed it has sealed it again
        said = read_json(seal)
        said["sha256"]["crops.zip"] = sha256_of_file(archive)
        write_json(seal, said)
    with Gallery.create(tmp_path / "new", AlignedColours(), keep_crops=True) as new:
        with pytest.raises(GalleryError, match=r"crops\.zip"):
            new.import_(path)
        assert new.info().people == 0


def test_a_copy_has_them(kept: Gallery, place, tmp_path: Path) -> None:
    copy_gallery(place, tmp_path / "copy")
    with Gallery.open(tmp_path / "copy") as copy:
        assert copy.keeps_crops
        assert [copy.crop("a", image) for image in (1, 2)] == [
            kept.crop("a", image) for image in (1, 2)
        ]
        assert copy.check() == []


# -- another model ------------------------------------------------------------------------------


def test_they_stand_in_for_missing_sources(place, tmp_path: Path) -> None:
    paths = [tmp_path / f"{row}.png" for row in range(4)]
    for path, photo in zip(paths, PHOTOS, strict=True):
        path.write_bytes(photo)
    with (
        Gallery.create(place, AlignedColours(), keep_crops=True) as gallery,
        Gallery.create(tmp_path / "other", AlignedColours()) as other,
    ):
        for one in (gallery, other):
            for path, person in zip(paths, PEOPLE, strict=True):
                open_(one).enroll([path], person)
        done = open_(other, NextColours()).migrate()
        assert (done.finished, done.crops) == (True, 0)
        paths[0].unlink()
        paths[2].write_bytes(shot("z"))  # another photo in its place
        done = open_(gallery, NextColours()).migrate()
        assert (done.finished, done.images, done.crops, done.missing) == (True, 4, 2, [])
        assert gallery.entries()[0] == other.entries()[0]
        assert np.allclose(gallery.entries()[1], other.entries()[1], atol=1e-6)
        assert gallery.info().crops == 4
        assert gallery.check() == []


def test_images_without_a_source_migrate_too(kept: Gallery) -> None:
    """As those that are enrolled over HTTP."""
    done = open_(kept, NextColours()).migrate()
    assert (done.finished, done.images, done.crops) == (True, 4, 4)
    assert open_(kept, NextColours()).search(PHOTOS[2], 1)[0].candidates[0].person == "b"
    assert all(one.crop for one in kept.images("a"))


def test_only_where_the_new_model_takes_the_same_crop(kept: Gallery, run_sql) -> None:
    done = open_(kept, LargeColours()).migrate()
    assert (done.finished, done.images, len(done.missing)) == (False, 0, 4)
    assert done.missing[0].reason.startswith("it was enrolled as bytes, over HTTP or in Python")
    assert done.missing[0].reason.endswith(
        "without a source; its kept crop has 16 x 16 pixels and alignment arcface-112, and the new "
        "model takes 20 x 16 and arcface-112"
    )
    kept.abandon_migration()
    run_sql("UPDATE crops SET png = (SELECT png FROM crops WHERE image = 3) WHERE image = 2")
    done = open_(kept, NextColours()).migrate()
    assert [(one.image, "crop" in one.reason) for one in done.missing] == [(2, False)]
    kept.abandon_migration()
    done = Recognizer(NextColours(), kept, photos=False).migrate()
    assert {one.reason.partition("; ")[2] for one in done.missing if one.image != 2} == {
        "its kept crop is of a face, and photos are to be embedded whole"
    }
    kept.abandon_migration()
    done = Recognizer(CropColours(), kept, photos=False).migrate(missing="remove")
    assert (done.finished, done.images, len(done.missing)) == (True, 0, 4)
    assert (kept.info().images, kept.info().crops) == (0, 0)


@pytest.mark.in_folder("it is refused before the store")
def test_a_next_model_must_state_its_size(kept: Gallery) -> None:
    class AnySize(NextColours):
        preprocessing = {}  # noqa: RUF012

    with pytest.raises(GalleryError, match="does not state the size of its input"):
        open_(kept, AnySize()).migrate()
    kept.set_keep_crops(False)
    assert not open_(kept, AnySize()).migrate().finished  # their sources are missing


# -- PNG ----------------------------------------------------------------------------------------


@pytest.mark.in_folder("no gallery")
def test_a_plain_png(where_kept: str) -> None:
    assert where_kept == "folder"
    png = png_of(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert is_plain_png(png)
    for wrong in (png[:-1], png + b"\0", b"", png[:33], file_of(np.zeros((9, 9, 3)), ".jpg")):
        assert not is_plain_png(wrong)


@pytest.mark.in_folder("its file is changed")
def test_the_setting_must_be_one(kept: Gallery, place: Path) -> None:
    kept.close()
    with closing(sqlite3.connect(place / "gallery.db")) as db, db:
        db.execute("UPDATE meta SET value = '\"yes\"' WHERE key = 'keep_crops'")
    with pytest.raises(GalleryError, match="damaged"):
        Gallery.open(place)
