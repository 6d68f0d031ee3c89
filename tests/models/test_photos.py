"""Photos through models: the rule, what rows say, and an extraction that was interrupted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import facever.data.decode as decode_module
from facever.data.acquisition import FailureToAcquire, box_of
from facever.data.manifest import Manifest
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError, ModelError
from facever.models.extractor import Extractor, load_model
from facever.models.images import embed_images
from facever.models.photos import crop_size, face_step
from tests.squares import AlignedColours, SquareCropper, patch, photo, write

FOUND = ["box", "landmarks", "detection_score", "quality", "quality_reasons"]


class KilledError(Exception):
    pass


@pytest.fixture
def photos(tmp_path: Path) -> Manifest:
    """Six photos; of nobody the third, not an image the fifth."""
    for row in range(6):
        write(tmp_path / "photos" / f"{row}.png", photo((9, 8, 30 + row, patch(row))))
    write(tmp_path / "photos" / "2.png", photo())
    (tmp_path / "photos" / "4.png").write_text("no image")
    frame = pd.DataFrame({"path": [f"{row}.png" for row in range(6)], "identity": list("aabbcc")})
    return Manifest.from_frame(frame, tmp_path / "photos", "photos")


@pytest.fixture
def extractor(run: Path) -> Extractor:
    """A model that needs aligned crops of 24 x 32 pixels."""
    made = load_model(run, batch_size=2)
    made.alignment = "arcface-112"
    return made


def cut(manifest: Manifest, size: tuple[int, int], tmp_path: Path) -> list[Path]:
    """Cut the squares of readable photos by hand and write them."""
    made = []
    for row in (0, 1, 3, 5):
        crop = np.zeros((*size, 3), np.uint8) + np.array(patch(row), np.uint8)
        made.append(write(tmp_path / "crops" / f"{row}.png", crop))
    return made


def test_the_rule_is_what_the_model_and_the_data_say(photos: Manifest):
    crops_model, photo_model = object(), AlignedColours()
    cropper, aligned = SquareCropper(), photos.assign(alignment="arcface-112")
    assert face_step(crops_model, None) is None
    assert face_step(crops_model, False, photos) is None
    assert face_step(photo_model, False, photos) is None
    assert face_step(photo_model, None, aligned) is None  # crops by what they say of themselves
    assert face_step(crops_model, cropper).cropper is cropper  # asked for
    assert face_step(photo_model, cropper, aligned).cropper is cropper
    with pytest.raises(ModelError, match=r"takes crops.*--crops.*facever data align"):
        face_step(crops_model, True)
    aligned = photos.assign(alignment="other-96")
    with pytest.raises(DataError, match=r"photos are aligned by other-96.*needs arcface-112"):
        face_step(photo_model, None, aligned)
    cropper.provenance["template"] = "other-96"
    with pytest.raises(DataError, match="the cropper aligns by other-96"):
        face_step(photo_model, cropper)
    with pytest.raises(ConfigError, match="photos is 'yes'"):
        face_step(photo_model, "yes")


def test_the_crop_has_the_size_that_the_model_takes_the_centre_of():
    model = AlignedColours()
    assert crop_size(model) == (16, 16)
    model.preprocessing = {"size": [90, 45], "crop": 0.9}
    assert crop_size(model) == (100, 50)
    model.preprocessing = {}
    assert crop_size(model) == (112, 112)


@pytest.mark.parametrize("workers", [0, 1])
def test_vectors_are_those_of_the_crops(extractor, photos, tmp_path, workers: int):
    made = extractor.extract(photos, tmp_path / "out", workers=workers, photos=SquareCropper())
    wanted = extractor.embed(cut(photos, (24, 32), tmp_path), photos=False)
    np.testing.assert_allclose(made.vectors[[0, 1, 3, 5]], wanted, atol=1e-6)
    assert len(np.unique(wanted.round(3), axis=0)) == 4
    assert not made.vectors[[2, 4]].any()
    assert made.rows["error"][2] == "no face found"
    assert made.rows["error"][4].endswith("4.png: not an image of a known format")
    assert made.rows["box"].tolist()[:2] == ["9.0 8.0 30.0 30.0", "9.0 8.0 31.0 31.0"]
    assert made.rows[FOUND].isna().all(axis=1).tolist() == [False, False, True, False, True, False]
    assert made.rows["quality"].dropna().tolist() == [30, 31, 33, 35]
    assert made.meta.acquisition == {"images": "photos", **SquareCropper().provenance}
    assert made.meta.fingerprint == extractor.fingerprint  # one space with crops
    memory = extractor.embed_images(photos, workers=0, photos=SquareCropper())
    np.testing.assert_allclose(memory.vectors, made.vectors, atol=1e-6)
    pd.testing.assert_frame_equal(memory.rows, made.rows, check_dtype=False)
    assert memory.meta.acquisition == made.meta.acquisition


def test_crops_have_no_face_step_and_say_so(run: Path, photos: Manifest, tmp_path: Path):
    """A ReID model, whose alignment is none, serves crops."""
    model = load_model(run, batch_size=2)
    assert model.alignment == "none"
    made = model.extract(photos, tmp_path / "out", workers=0)
    assert made.meta.acquisition == {"images": "crops"}
    assert not set(FOUND) & set(made.rows)
    assert made.failures == 1  # a photo of nobody is an image like any other
    with pytest.raises(ModelError, match="takes crops"):
        model.embed(photos.locate(0), photos=True)


def test_an_interrupted_extraction_has_the_same_rows(
    extractor, photos, tmp_path, monkeypatch, capsys
):
    whole = extractor.extract(photos, tmp_path / "whole", workers=0, photos=SquareCropper())
    original, done = Extractor._forward, []

    def forward(self, images):
        done.append(len(images))
        if len(done) == 3:
            raise KilledError
        return original(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(Extractor, "_forward", forward)
        with pytest.raises(KilledError):
            extractor.extract(photos, tmp_path / "out", workers=0, photos=SquareCropper())
    cropper = SquareCropper()
    made = extractor.extract(photos, tmp_path / "out", workers=0, photos=cropper)
    assert "resuming with 2 of 6 rows" in capsys.readouterr().err
    assert cropper.looked == 3  # the first two photos are not looked at again
    for name in ("vectors.npy", "rows.parquet", "meta.json", "trained_on.parquet"):
        first, second = ((tmp_path / d / name).read_bytes() for d in ("whole", "out"))
        assert first == second, name
    assert len(made) == len(whole)


def test_another_cropper_does_not_go_on(extractor, photos, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        patched.setattr(Extractor, "_forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extractor.extract(photos, tmp_path / "out", workers=0, photos=SquareCropper())
    extractor.extract(photos, tmp_path / "out", workers=0, photos=SquareCropper("only"))
    assert "belongs to another extraction" in capsys.readouterr().err


def test_landmarks_of_the_data_are_cut_by(extractor, photos, tmp_path):
    """A data set that brings landmarks is not searched for faces where it does."""
    points = SquareCropper().crop(photo((9, 8, 30, patch(0))), (8, 8)).columns["landmarks"]
    given = photos.assign(landmarks=[points, None, None, "", None, None], quality=[7.0] * 6)
    cropper = SquareCropper()
    made = extractor.extract(given, tmp_path / "out", workers=0, photos=cropper)
    assert cropper.looked == 4
    assert made.rows["landmarks"][0] == points
    assert made.meta.acquisition["landmarks"] == "of the data, where it has some"
    assert made.rows["quality"].tolist() == [7, 31, 7, 33, 7, 35]
    assert pd.isna(made.rows["box"][0])
    wanted = extractor.embed_images(photos, workers=0, photos=SquareCropper())
    np.testing.assert_allclose(made.vectors, wanted.vectors, atol=1e-6)


def test_every_face_has_a_row(extractor, tmp_path):
    two = photo((5, 5, 30, patch(0)), (50, 40, 20, patch(1)))
    names = [write(tmp_path / "in" / "two.png", two), write(tmp_path / "in" / "one.png", two[:36])]
    frame = pd.DataFrame({"path": [str(name) for name in names], "identity": ["a", "b"]})
    manifest = Manifest.from_frame(frame, tmp_path, "several")
    every = SquareCropper("all")
    made = extractor.extract(manifest, tmp_path / "out", workers=0, photos=every)
    assert made.rows["identity"].fillna("").tolist() == ["", "", "b"]
    assert made.rows["face"].tolist() == ["1", "2", "1"]
    assert every.looked == 2  # the second pass looks for none
    given = extractor.embed_images([*names, photo()], photos=SquareCropper("all"))
    assert given.rows["image"].tolist() == [0, 0, 1, 2]
    assert given.rows["error"].fillna("").tolist() == ["", "", "", "no face found"]
    assert given.rows["box"].tolist()[:3] == made.rows["box"].tolist()
    np.testing.assert_allclose(given.vectors[:3], made.vectors, atol=1e-6)
    alone = extractor.embed(two, photos=SquareCropper("all"))
    np.testing.assert_allclose(alone, made.vectors[:2], atol=1e-6)
    with pytest.raises(FailureToAcquire, match="image 0: 2 faces found"):
        extractor.embed(two, photos=SquareCropper("only"))


def test_a_photo_of_too_many_pixels_is_reduced(extractor, tmp_path, monkeypatch):
    large = write(tmp_path / "large.jpg", photo((200, 200, 320, patch(3)), size=800))
    frame = pd.DataFrame({"path": [str(large)], "identity": "a"})
    manifest = Manifest.from_frame(frame, tmp_path, "large")
    limit = 300_000
    original = decode_module._decode
    monkeypatch.setattr(
        decode_module, "_decode", lambda data, _, *rest: original(data, limit, *rest)
    )
    for cropper in (SquareCropper(), SquareCropper("all")):
        out = tmp_path / cropper.which
        made = extractor.extract(manifest, out, workers=0, photos=cropper)
        assert made.failures == 0
        left, _, side, _ = box_of(made.rows["box"][0])
        assert (left, side) == pytest.approx((100, 160), abs=2)  # in pixels as it was decoded
    with pytest.raises(DataError, match=r"810 x 800 pixels .*the 300,000 allowed"):
        extractor.embed(large, photos=False)


def test_a_photo_without_a_face_is_no_vector(extractor, photos):
    with pytest.raises(FailureToAcquire, match=r"2\.png: no face found"):
        extractor.embed([photos.locate(0), photos.locate(2)], photos=SquareCropper())
    with pytest.raises(FailureToAcquire, match=r"2\.png: no face found"):
        extractor.extract(
            photos, photos.root / "out", workers=0, on_error="raise", photos=SquareCropper()
        )


def test_a_model_of_ones_own_gets_crops(photos: Manifest, tmp_path: Path):
    made = embed_images(AlignedColours(), photos, photos=SquareCropper())
    wanted = np.array([np.repeat([patch(row)], 4, axis=0).ravel() for row in (0, 1, 3, 5)]) - 127.5
    np.testing.assert_allclose(made.rows["norm"].dropna()[[0, 1, 3, 5]],
                               np.linalg.norm(wanted, axis=1), rtol=1e-5)  # fmt: skip
    assert made.failures == 2


def test_an_embedding_set_of_before_says_nothing_of_photos(extractor, photos, tmp_path):
    extractor.extract(photos, tmp_path / "out", workers=0, photos=SquareCropper())
    path = tmp_path / "out" / "meta.json"
    text = path.read_text()
    start = text.index('"acquisition"')
    before = text[:start].rstrip().rstrip(",")
    path.write_text(before + "}")
    assert EmbeddingSet.load(tmp_path / "out").meta.acquisition == {}
