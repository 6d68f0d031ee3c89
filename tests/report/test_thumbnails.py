import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.report.thumbnails import Cut, data_uri, portrait


def pixels(uri: str | None) -> np.ndarray:
    assert uri is not None
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return image


def test_the_picture_is_the_image_made_small(tmp_path: Path) -> None:
    image = np.zeros((200, 100, 3), np.uint8)
    image[:, :, 0] = np.linspace(0, 255, 200, dtype=np.uint8)[:, None]  # red grows downwards
    image[:, :, 2] = 40
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    shown = portrait(tmp_path / "a.png", "Ada")
    small = pixels(shown.uri)
    assert small.shape == (112, 56, 3)
    expected = cv2.resize(image, (56, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 3
    assert (shown.name, shown.detail, shown.reason) == ("Ada", "a.png", "")


def test_a_small_image_is_not_enlarged() -> None:
    assert pixels(data_uri(np.zeros((20, 30, 3), np.uint8), 112)).shape == (20, 30, 3)


def test_a_thin_image_keeps_a_pixel() -> None:
    assert pixels(data_uri(np.zeros((1000, 2, 3), np.uint8), 100)).shape == (100, 1, 3)


def test_an_image_of_an_array_file(tmp_path: Path) -> None:
    images = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (10, 200)])
    np.save(tmp_path / "images.npy", images)
    shown = portrait(f"{tmp_path}/images.npy#1", "Ada")
    assert abs(int(pixels(shown.uri).mean()) - 200) < 3
    assert shown.detail == "images.npy#1"


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_a_picture_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    shown = portrait(path, "Ada")
    assert shown.uri is None
    assert shown.reason
    assert shown.detail == "a.jpg"


def test_no_path_and_no_pictures_wanted(tmp_path: Path) -> None:
    assert portrait(None, "Ada").reason == "unknown path"
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    hidden = portrait(tmp_path / "a.png", "Ada", shown=False)
    assert (hidden.uri, hidden.reason, hidden.detail) == (None, "", "a.png")


def test_a_photo_is_shown_with_its_box_above_the_crop(tmp_path: Path) -> None:
    photo = np.full((100, 200, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    landmarks = "80 30 110 30 95 45 82 60 108 60"
    cut = Cut(str(tmp_path / "photo.png"), "70 10 50 70", landmarks)
    shown = portrait(tmp_path / "photo.png", "Ada", cut=cut)
    assert shown.tall
    assert shown.uri is not None
    data = base64.b64decode(shown.uri.partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (56 + 112, 112, 3)  # the photo, as wide as the crop, and the crop
    green = picture[:56, :, 1].astype(int) - picture[:56, :, 2]
    across, down = (
        np.flatnonzero((green > 20).any(axis=0)),
        np.flatnonzero((green > 20).any(axis=1)),
    )
    assert abs(across[0] - 70 * 0.56) < 16  # colours of JPEG blocks spread
    assert abs(across[-1] - 120 * 0.56) < 16
    assert abs(down[0] - 10 * 0.56) < 16
    gone = portrait(tmp_path / "gone.png", "Ada", cut=Cut("gone.png", "0 0 1 1", landmarks))
    assert gone.reason


def test_of_a_photo_that_is_gone_the_crop_is_shown(tmp_path: Path) -> None:
    crop = np.full((112, 112, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "crop.png"), crop)
    cut = Cut(str(tmp_path / "gone.png"), "0 0 9 9", "80 30 110 30 95 45 82 60 108 60")
    shown = portrait(tmp_path / "crop.png", "Ada", cut=cut)
    assert (shown.reason, shown.tall) == ("", False)
    assert pixels(shown.uri).shape == crop.shape
