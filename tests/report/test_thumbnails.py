import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.report.thumbnails import data_uri, portrait


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
    assert portrait(None, "Ada").reason == "no picture known"
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    hidden = portrait(tmp_path / "a.png", "Ada", shown=False)
    assert (hidden.uri, hidden.reason, hidden.detail) == (None, "", "a.png")
