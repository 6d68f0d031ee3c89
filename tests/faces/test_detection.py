"""YuNet on real photos: their own landmarks, mosaics, turned photos, and what shows no face."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from facever.data.acquisition import FailureToAcquire, landmarks_of
from facever.data.decode import ImageError, decode
from facever.errors import ConfigError, ModelError
from facever.faces import FaceCropper, YuNet

Raw = dict[str, tuple[Path, NDArray[np.float64]]]


def landmarks(cropper: FaceCropper, photo: np.ndarray) -> np.ndarray:
    return landmarks_of(cropper.crop(photo, (112, 112)).columns["landmarks"])


@pytest.mark.real
def test_landmarks_and_crops_of_real_photos(yunet: YuNet, raw_photos: Raw, real_data: Path) -> None:
    """The landmarks and the crops were made by a detector of its family: this is consistency."""
    right, errors, levels = {"central": 0, "largest": 0}, [], []
    for name, (path, stated) in raw_photos.items():
        photo = decode(path)
        for which in right:
            found = FaceCropper(yunet, which=which).crop(photo, (112, 112))  # type: ignore[arg-type]
            points = landmarks_of(found.columns["landmarks"])
            distance = np.linalg.norm(points - stated, axis=1)
            right[which] += bool(np.median(distance) < 10)
            if which == "central":
                errors.append(distance)
                crop = decode(real_data / "lfw" / "images" / name).astype(int)
                levels.append(np.abs(found.pixels - crop).mean())
    assert len(raw_photos) == 150
    assert right["central"] == 150
    assert right["largest"] >= 149
    assert np.median(errors) <= 0.8
    assert np.percentile(errors, 95) <= 1.5
    assert np.mean(levels) <= 4


@pytest.mark.real
def test_every_face_of_a_large_mosaic(yunet: YuNet, raw_photos: Raw) -> None:
    """36 photos in a photo of 1920 x 1080, which is searched on a reduced copy."""
    mosaic = np.zeros((1080, 1920, 3), np.uint8)
    centres = []
    for place, (path, stated) in enumerate(list(raw_photos.values())[:36]):
        row, column = divmod(place, 9)
        y, x = row * 270 + 10, column * 213
        mosaic[y : y + 250, x : x + 213] = decode(path)[:, 18:231]
        centres.append(stated.mean(axis=0) + np.array([x - 18, y]))
    faces = yunet.detect(mosaic)
    middles = np.array([face.landmarks.mean(axis=0) for face in faces])
    for centre in centres:
        assert np.linalg.norm(middles - centre, axis=1).min() < 15
    crops = FaceCropper(yunet, which="all", min_quality=0).crops(mosaic, (112, 112))
    assert len(crops) == len(faces) >= 36


@pytest.mark.real
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_photos_turned_without_a_note(yunet: YuNet, raw_photos: Raw, turn: int) -> None:
    cropper = FaceCropper(yunet, which="central", rotations=True)
    near = 0
    for path, stated in list(raw_photos.values())[:8]:
        photo = decode(path)
        turned = np.ascontiguousarray(np.rot90(photo, turn // 90))
        try:
            points = landmarks(cropper, turned)
        except FailureToAcquire:
            continue
        x, y = stated[:, 0], stated[:, 1]
        where = {90: (y, 249 - x), 180: (249 - x, 249 - y), 270: (249 - y, x)}[turn]
        near += bool(np.median(np.linalg.norm(points - np.stack(where, 1), axis=1)) < 5)
    assert near >= 7


@pytest.mark.real
def test_photos_turned_with_a_note(yunet: YuNet, raw_photos: Raw, tmp_path: Path) -> None:
    from PIL import Image

    path, stated = next(iter(raw_photos.values()))
    lying = Image.fromarray(np.ascontiguousarray(np.rot90(decode(path))))  # counter-clockwise
    note = Image.Exif()
    note[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    lying.save(tmp_path / "lying.jpg", quality=97, exif=note)
    points = landmarks(FaceCropper(yunet, which="central"), decode(tmp_path / "lying.jpg"))
    assert np.median(np.linalg.norm(points - stated, axis=1)) < 2


@pytest.mark.real
@pytest.mark.parametrize("factor", [0.4, 5.0])
def test_small_and_large_faces_are_looked_at_again(
    yunet: YuNet, raw_photos: Raw, factor: float
) -> None:
    """Looked at again, landmarks are nearer to those of the photo as it was (in its pixels)."""
    first, again = [], []
    for path, stated in list(raw_photos.values())[:25]:
        photo = cv2.resize(decode(path), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        faces = yunet.detect(photo)
        middle = np.array(photo.shape[1::-1]) / 2
        face = min(faces, key=lambda one: float(np.abs(np.array(one.centre) - middle).sum()))
        for found, kept in ((face, first), (yunet.refine(photo, face), again)):
            points = (found.landmarks + 0.5) / factor - 0.5
            kept.append(np.linalg.norm(points - stated, axis=1).mean())
    assert np.percentile(again, 90) < np.percentile(first, 90)


@pytest.mark.real
def test_a_face_at_the_border(yunet: YuNet, raw_photos: Raw) -> None:
    path, stated = next(iter(raw_photos.values()))
    photo = np.ascontiguousarray(decode(path)[:, 90:])  # through the right side of the face
    crop = FaceCropper(yunet, which="largest").crop(photo, (112, 112))
    assert crop.pixels.shape == (112, 112, 3)
    assert (
        np.median(
            np.abs(landmarks_of(crop.columns["landmarks"])[1] - stated[1] + np.array([90, 0]))
        )
        < 8
    )


@pytest.mark.parametrize("size", [(112, 112), (250, 250), (700, 1100), (1, 1), (5, 300)])
def test_what_shows_no_face(yunet: YuNet, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (*size, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6.0)
    flat = np.full((*size, 3), 128, np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, size[1]).astype(np.uint8)[:, None], (*size, 3))
    for photo in (noise, smooth, flat, np.ascontiguousarray(ramp)):
        with pytest.raises(FailureToAcquire, match="no face"):
            FaceCropper(yunet, rotations=True).crop(photo, (112, 112))


@pytest.mark.real
def test_threads_and_processes_find_the_same(yunet: YuNet, raw_photos: Raw) -> None:
    photos = [decode(path) for path, _ in list(raw_photos.values())[:12]]
    alone = [[face.box for face in yunet.detect(photo)] for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        together = [[f.box for f in faces] for faces in pool.map(yunet.detect, photos)]
    again = pickle.loads(pickle.dumps(yunet))
    assert together == alone
    assert [[face.box for face in again.detect(photo)] for photo in photos] == alone


def test_files_that_are_no_detector(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx.*YuNet"):
        YuNet(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.onnx.*2023mar"):
        YuNet(tmp_path / "broken.onnx")


@pytest.mark.parametrize("level", ["LOG_LEVEL_WARNING", "LOG_LEVEL_SILENT"])
def test_opencv_says_nothing_and_keeps_its_log_level(
    yunet: YuNet, tmp_path: Path, capfd: pytest.CaptureFixture[str], level: str
) -> None:
    """OpenCV 5 warns of each detector that it makes."""
    logging = cv2.utils.logging
    before, wanted = logging.getLogLevel(), getattr(logging, level)
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    try:
        logging.setLogLevel(wanted)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: pickle.loads(pickle.dumps(yunet)), range(8)))
        assert capfd.readouterr().err == ""
        assert logging.getLogLevel() == wanted
        with pytest.raises(ModelError):
            YuNet(tmp_path / "broken.onnx")
        assert logging.getLogLevel() == wanted
    finally:
        logging.setLogLevel(before)


@pytest.mark.real
def test_forty_faces(yunet: YuNet, raw_photos: Raw) -> None:
    """One of a crowd, all of it, and the refusal of a photo of several."""
    photos = [decode(path)[40:220, 40:210] for path, _ in list(raw_photos.values())[:40]]
    crowd = np.vstack([np.hstack(photos[row : row + 8]) for row in range(0, 40, 8)])
    crops = FaceCropper(yunet, which="all").crops(crowd, (112, 112))
    assert len(crops) >= 40
    middles = np.array([landmarks_of(crop.columns["landmarks"])[2] for crop in crops])
    places = {(int(y // 180), int(x // 170)) for x, y in middles}
    assert len(places) == 40
    assert len(FaceCropper(yunet, which="largest").crops(crowd, (112, 112))) == 1
    with pytest.raises(FailureToAcquire, match=rf"{len(crops)} faces"):
        FaceCropper(yunet, which="only").crop(crowd, (112, 112))


@pytest.mark.real
def test_a_photo_of_12_000_by_9_000_pixels(yunet: YuNet, raw_photos: Raw, tmp_path: Path) -> None:
    """More pixels than `decode` allows: it is read at half its size, and the face is found."""
    path, stated = next(iter(raw_photos.values()))
    photo = np.zeros((9_000, 12_000, 3), np.uint8)
    photo[500:8_500, 2_000:10_000] = cv2.resize(decode(path), (8_000, 8_000))
    cv2.imwrite(str(tmp_path / "huge.jpg"), photo[..., ::-1])
    with pytest.raises(ImageError, match=r"12000 x 9000 pixels.*100,000,000"):
        decode(tmp_path / "huge.jpg")
    half = decode(tmp_path / "huge.jpg", reduce=True)
    assert half.shape == (4_500, 6_000, 3)
    points = landmarks(FaceCropper(yunet), half)
    expected = (stated + 0.5) * 16 - 0.5 + np.array([1_000, 250])
    assert np.median(np.linalg.norm(points - expected, axis=1)) < 16 * 8


def test_a_score_that_cannot_be(yunet: YuNet) -> None:
    with pytest.raises(ConfigError, match=r"min_score is 1\.5"):
        YuNet(min_score=1.5)


@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_scenes_without_people(yunet: YuNet, scale: float) -> None:
    """A temple and a flower, of scikit-learn."""
    for image in load_sample_images().images:
        scene = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert yunet.detect(scene) == []
        with pytest.raises(FailureToAcquire, match="no face"):
            FaceCropper(yunet).crop(scene, (112, 112))
