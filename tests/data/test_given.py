"""Images as Python code gives them are those of a file, or one line says what is allowed."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facever.data.decode import ImageError, decode
from facever.data.given import listed, pixels_of
from facever.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def modes() -> dict[str, Image.Image]:
    rgba = np.dstack([RGB, GREY])
    turned = Image.fromarray(RGB)
    turned.getexif()[0x0112] = 6
    return {
        "RGB": Image.fromarray(RGB),
        "L": Image.fromarray(GREY),
        "1": Image.fromarray(GREY > 100),
        "P": Image.fromarray(RGB).quantize(16),
        "RGBA": Image.fromarray(rgba),
        "LA": Image.fromarray(rgba).convert("LA"),
        "I;16": Image.fromarray((GREY.astype(np.uint16) << 8) + 7),
    }


@pytest.mark.parametrize("mode", modes())
def test_a_pillow_image_is_what_its_file_is(mode: str, tmp_path: Path) -> None:
    image = modes()[mode]
    file = tmp_path / "a.png"
    file.write_bytes(png(image))
    expected = decode(file)
    for given in (image, file, str(file), file.read_bytes(), bytearray(file.read_bytes())):
        pixels = pixels_of(given)
        np.testing.assert_array_equal(pixels, expected)
        assert pixels.dtype == np.uint8


def test_a_pillow_image_is_turned_upright() -> None:
    image = Image.open(io.BytesIO(png(Image.fromarray(RGB), exif=_turned())))
    np.testing.assert_array_equal(pixels_of(image), np.rot90(RGB, -1))


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_arrays_may_be_grey() -> None:
    np.testing.assert_array_equal(pixels_of(RGB), RGB)
    np.testing.assert_array_equal(pixels_of(torch.from_numpy(RGB)), RGB)  # type: ignore[arg-type]
    for grey in (GREY, GREY[..., None]):
        np.testing.assert_array_equal(pixels_of(grey), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (RGB.astype(np.int32), r"not int32 \[6, 9, 3\]"),
        (RGB.astype(np.uint16), r"not uint16"),
        (RGB / 255, r"not float64"),
        (GREY > 1, r"not bool"),
        (np.dstack([RGB, GREY]), r"not uint8 \[6, 9, 4\]"),
        (np.zeros((0, 9, 3), np.uint8), r"not uint8 \[0, 9, 3\]"),
        (np.zeros(5, np.uint8), r"not uint8 \[5\]"),
        (7, "not int"),
        (None, "not NoneType"),
        (object(), "not object"),
        ({"a": 1}, "not dict"),
        (Image.fromarray(GREY.astype(np.int32)), "mode I .* convert it to L or RGB"),
        (Image.fromarray(GREY.astype(np.float32)), "mode F"),
    ],
)
def test_anything_else_is_one_line(given: object, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        pixels_of(given)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_image_are_refused() -> None:
    with pytest.raises(ImageError, match="not an image of a known format"):
        pixels_of(b"not an image")


def test_one_image_is_a_list_of_one() -> None:
    for single in ("a.jpg", Path("a.jpg"), b"bytes", Image.fromarray(RGB), RGB, GREY):
        assert len(listed(single)) == 1
    assert len(listed([RGB, "a.jpg", GREY])) == 3
    assert len(listed(np.stack([RGB, RGB]))) == 2
    assert listed([]) == []
    with pytest.raises(DataError, match=r"not uint8 \[5\]"):
        listed(np.zeros(5, np.uint8))
