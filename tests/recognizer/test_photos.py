"""Photos through a recognizer and its gallery: enrolled, searched, verified, moved, exported."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facever.data.acquisition import FailureToAcquire
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError, GalleryError
from facever.gallery.gallery import Gallery
from facever.models.images import embed_given, embed_images, embed_probes
from facever.recognizer import Recognizer
from tests.squares import AlignedColours, SquareCropper, patch, photo, write


class OtherColours(AlignedColours):
    fingerprint, dimension = "other colours", 12

    def embed(self, images):
        return super().embed(images) * np.arange(1, 13)


class CropColours(AlignedColours):
    fingerprint, alignment = "colours of crops", "none"

    def embed(self, images):
        return AlignedColours.embed(self, [image[:16, :16] for image in images])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two people with two photos each, and one, c, in whose photo nobody is."""
    root = tmp_path / "photos"
    for row, person in enumerate("aabb"):
        place = (10 + row, 20 - row, 30 + row, patch(ord(person)))
        write(root / person / f"{row}.png", photo(place, (70, 70, 8, patch(9))))
    write(root / "c" / "4.png", photo())
    return root


@pytest.fixture
def recognizer(tmp_path: Path) -> Recognizer:
    model = AlignedColours()
    gallery = Gallery.create(tmp_path / "gallery", model)
    return Recognizer(model, gallery, photos=SquareCropper())


def test_one_photo_without_a_face_stops_no_other(recognizer, photos: Path):
    done = recognizer.enroll(photos)
    assert (done.images, done.new_people, done.given, done.people) == (4, 2, 5, 3)
    assert done.failed == [(str(photos / "c/4.png"), "no face found")]
    assert done.not_enrolled == ["c"]
    said = done.to_dict()
    acquire, enrol = said["failure_to_acquire"], said["failure_to_enrol"]
    assert (acquire["failed"], acquire["attempts"], acquire["rate"]) == (1, 5, 0.2)
    assert (enrol["failed"], enrol["attempts"]) == (1, 3)
    assert enrol["interval"]["low"] == pytest.approx(1 - 0.975 ** (1 / 3))  # of 1 of 3, exact
    info = recognizer.gallery.info()
    assert (info.images, info.photos) == (4, 4)
    assert [one.quality for one in recognizer.gallery.images("b")] == [32, 33]


def test_a_search_answers_for_each_face(recognizer, photos: Path):
    recognizer.enroll(photos)
    both = photo((5, 5, 30, patch(ord("b"))), (50, 40, 20, patch(ord("a"))))
    [answer] = recognizer.search(both)
    assert answer.candidates[0].person == "b"
    assert answer.face["box"] == "5.0 5.0 30.0 30.0"
    recognizer.photos = SquareCropper("all")
    found = recognizer.search([photo(), both])
    assert [one.error for one in found] == ["no face found", None, None]
    assert [one.candidates[0].person for one in list(found)[1:]] == ["b", "a"]
    faces = [(one.face["image"], one.face.get("face")) for one in found]
    assert faces == [(0, None), (1, "1"), (1, "2")]
    assert found.to_dict()["answers"][2]["face"]["quality"] == 20
    verified = recognizer.verify_person(both, "a")
    assert verified.scores[1] > 0.999 > verified.scores[0]
    assert verified.faces[1]["box"] == "50.0 40.0 20.0 20.0"
    for refused in (lambda: recognizer.enroll(photos), lambda: recognizer.verify(both, both)):
        with pytest.raises(ConfigError, match=r"one face of a photo.*--face"):
            refused()


def test_nobody_in_any_photo_changes_nothing(recognizer):
    with pytest.raises(DataError, match="not one of 2 photos could be acquired, first: no face"):
        recognizer.enroll([photo(), photo()], "a")
    assert recognizer.gallery.info().people == 0


@pytest.mark.parametrize("which", ["largest", "all"])
def test_probes_without_a_table_have_the_answers_of_an_embedding_set(recognizer, photos, which):
    recognizer.enroll(photos)
    both = photo((5, 5, 30, patch(ord("b"))), (50, 40, 20, patch(ord("a"))))
    given = [both, photo(), photos / "a" / "0.png", photos / "missing.png"]
    cropper = SquareCropper(which)
    table = embed_given(recognizer.model, given, photos=cropper)
    probes = embed_probes(recognizer.model, given, photos=cropper)
    assert probes.acquired.tolist() == table.acquired.tolist()
    assert len(probes) == len(table) == (6 if which == "all" else 4)
    gallery = recognizer.gallery
    assert gallery.search(probes).to_dict() == gallery.search(table).to_dict()
    assert gallery.verify(probes, "a").to_dict() == gallery.verify(table, "a").to_dict()
    with pytest.raises(GalleryError, match="other colours"):
        gallery.search(replace(probes, meta=replace(probes.meta, fingerprint="other colours")))


def test_photos_without_faces_are_not_the_same_person(recognizer):
    with pytest.raises(FailureToAcquire, match="image 0: no face found"):
        recognizer.verify(photo(), photo())
    one = photo((5, 5, 30, patch(1)))
    with pytest.raises(FailureToAcquire, match="image 1: no face found"):
        recognizer.verify(one, photo())
    result = recognizer.verify(one, photo((40, 40, 20, patch(1))))
    assert result.score == pytest.approx(1, abs=1e-6)
    assert [face["box"] for face in result.faces] == ["5.0 5.0 30.0 30.0", "40.0 40.0 20.0 20.0"]


def test_what_was_measured_on_crops_says_so_on_photos(recognizer, photos, make_point, capsys):
    recognizer.enroll(photos)
    point = make_point(recognizer.model, images="crops")
    one = photos / "a" / "0.png"
    for photo_or_crop, noted in ((SquareCropper(), True), (False, False)):
        recognizer.photos = photo_or_crop
        given = one if noted else np.zeros((16, 16, 3), np.uint8)
        notes = [
            recognizer.verify(given, given, point).note,
            recognizer.verify_person(given, "b", operating_point=point).note,
        ]
        for note in notes:
            assert ("measured on crops, these images are photos" in note) == noted
    recognizer.gallery.add_operating_point("crops", point)
    assert (
        "measured on crops, but 4 of 4 images of the gallery are photos" in capsys.readouterr().err
    )
    kept = recognizer.gallery.operating_points()["crops"]
    assert kept.images == "crops"


def test_photos_come_into_a_gallery_of_crops(recognizer, photos: Path):
    """One space, but it is said."""
    crop = np.zeros((16, 16, 3), np.uint8) + np.array(patch(ord("a")), np.uint8)
    crops = Recognizer(recognizer.model, recognizer.gallery, photos=False)
    assert crops.enroll([crop], "a").note.count("photos and") == 0
    assert recognizer.gallery.info().photos == 0
    done = recognizer.enroll(photos)
    assert "the gallery contains 4 photos and 1 crops" in done.note
    assert "4 of them photos" in recognizer.gallery.info().to_text()
    assert crops.search(crop)[0].candidates[0].person == "a"
    assert crops.search(crop)[0].face is None


def test_photos_keep_their_landmarks_through_edits_and_exports(recognizer, photos, tmp_path):
    gallery = recognizer.gallery
    recognizer.enroll(photos)
    gallery.split("b", [gallery.images("b")[0].image], "d")
    gallery.merge("a", "d")
    gallery.remove("d", gallery.images("d")[0].image)
    assert gallery.info().photos == 3
    gallery.export(tmp_path / "export")
    exported = EmbeddingSet.load(tmp_path / "export")
    assert exported.rows["landmarks"].notna().all()
    with Gallery.create(tmp_path / "second", recognizer.model) as second:
        second.import_(tmp_path / "export")
        assert (second.info().images, second.info().photos) == (3, 3)
    assert not list(gallery.check())


def test_a_gallery_of_crops_exports_as_before(tmp_path: Path):
    model = AlignedColours()
    faces = embed_images(model, [np.full((16, 16, 3), 9, np.uint8)], photos=False)
    with Gallery.create(tmp_path / "gallery", model) as gallery:
        gallery.enroll(faces, "a")
        gallery.export(tmp_path / "export")
    assert "landmarks" not in EmbeddingSet.load(tmp_path / "export").rows


def test_a_migration_takes_images_as_they_were_enrolled(recognizer, photos: Path, tmp_path: Path):
    recognizer.enroll(photos)
    gallery, model, cropper = recognizer.gallery, OtherColours(), SquareCropper()
    wanted = embed_images(model, photos, photos=cropper)
    looked = cropper.looked
    done = Recognizer(model, gallery, photos=cropper).migrate()
    assert (done.finished, done.images, cropper.looked) == (True, 4, looked)
    _, vectors = gallery.entries()
    np.testing.assert_allclose(vectors, wanted.vectors[wanted.acquired], atol=1e-6)
    with pytest.raises(GalleryError, match=r"enrolled as photos.*takes crops.*--crops"):
        Recognizer(CropColours(), gallery).migrate()
    assert gallery.fingerprint == model.fingerprint
    gallery.abandon_migration()
    moved = Recognizer(CropColours(), gallery, photos=False).migrate()
    assert (moved.finished, gallery.fingerprint) == (True, "colours of crops")


@pytest.mark.parametrize("damage", ["x'ff00'", "'1 2 3'", "12", "'1 2 3 4 5 6 7 8 9 ten'"])
def test_damaged_landmarks_are_looked_for_again(recognizer, photos: Path, damage: str):
    recognizer.enroll(photos)
    gallery, cropper = recognizer.gallery, SquareCropper()
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as db:
        db.execute(f"UPDATE photos SET landmarks = {damage} WHERE image = 2")
        db.commit()
    done = Recognizer(OtherColours(), gallery, photos=cropper).migrate()
    assert (done.finished, done.images, cropper.looked) == (True, 4, 1)


def test_vectors_of_photos_from_an_embedding_set(recognizer, photos: Path):
    faces = embed_images(recognizer.model, photos, photos=SquareCropper())
    done = recognizer.gallery.enroll(faces)
    assert (done.images, recognizer.gallery.info().photos) == (4, 4)
    crops = replace(faces, meta=replace(faces.meta, acquisition={"images": "crops"}))
    recognizer.gallery.enroll(crops, duplicates="keep")
    assert recognizer.gallery.info().photos == 4
