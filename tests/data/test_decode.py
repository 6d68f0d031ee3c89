"""Decoding against Pillow and against arrays known beforehand; everything broken is refused."""

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, features

from facever.data.decode import ImageError, decode, decode_bytes, read_bytes
from facever.errors import ConfigError

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
SMOOTH = cv2.resize(RGB, (72, 48), interpolation=cv2.INTER_LINEAR)
LARGE = cv2.resize(
    np.random.default_rng(1).integers(0, 256, (16, 20, 3), dtype=np.uint8), (131, 97)
)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(array: np.ndarray) -> bytes:
    order = cv2.COLOR_RGB2BGR if array.ndim == 3 else None
    image = array if order is None else cv2.cvtColor(array, order)
    return bytes(cv2.imencode(".png", image)[1])


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_give_the_pixels_back(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"image.{kind.lower()}"
    file.write_bytes(encoded(Image.fromarray(RGB), kind))
    image = decode(file)
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    np.testing.assert_array_equal(decode(str(file)), RGB)


def need(kind: str) -> None:
    """Skip where this Pillow has no such format."""
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "JPEG2000", "AVIF", "HEIF"])
def test_lossy_formats_agree_with_pillow(kind: str) -> None:
    need(kind)
    data = encoded(Image.fromarray(SMOOTH), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_bytes(data) - expected).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "PPM", "JPEG", "TIFF", "BMP"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    grey = SMOOTH[..., 0]
    image = decode_bytes(encoded(Image.fromarray(grey), kind))
    assert image.shape == (48, 72, 3)
    assert np.abs(image.astype(int) - grey[..., None]).max() <= (8 if kind == "JPEG" else 0)
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_one_bit_and_palette(kind: str) -> None:
    bits = RGB[..., 0] > 127
    black_and_white = decode_bytes(encoded(Image.fromarray(bits), kind))
    np.testing.assert_array_equal(black_and_white, np.repeat(bits[..., None] * np.uint8(255), 3, 2))
    palette = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(
        decode_bytes(encoded(palette, kind)), np.asarray(palette.convert("RGB"))
    )


@pytest.mark.parametrize("extension", [".png", ".pgm", ".tif"])
def test_sixteen_bits_keep_the_upper_eight(extension: str) -> None:
    grey = np.array([[0, 255, 256, 300, 32768, 65279, 65535]], np.uint16)
    image = decode_bytes(bytes(cv2.imencode(extension, grey)[1]))
    np.testing.assert_array_equal(image[..., 1], grey >> 8)


@pytest.mark.parametrize("maximum", [15, 100, 255, 4095, 65535])
@pytest.mark.parametrize("text", [True, False])
def test_a_pgm_is_spread_to_its_own_white(maximum: int, text: bool) -> None:
    values = [0, maximum // 3, maximum]
    body = (
        " ".join(map(str, values)).encode()
        if text
        else struct.pack(">3B" if maximum < 256 else ">3H", *values)
    )
    image = decode_bytes(
        b"P%d\n# by hand 7\n3 1\n%d\n" % (2 if text else 5, maximum) + body + b"\n"
    )
    assert np.abs(image[0, :, 0] - 255 * np.array(values) / maximum).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(SMOOTH), kind, exif=rotated(orientation), **options)
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    image = decode_bytes(data)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_lies_on_white(kind: str) -> None:
    alpha = np.array([0, 51, 128, 204, 255], np.uint8)
    rgba = np.dstack([np.full((4, 5, 3), (200, 100, 0), np.uint8), np.tile(alpha, (4, 1))])
    options: dict[str, object] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    image = decode_bytes(encoded(Image.fromarray(rgba), kind, **options))
    share = alpha[:, None] / 255
    expected = np.array([200, 100, 0]) * share + 255 * (1 - share)
    assert np.abs(image - expected).max() <= 1


def test_transparent_and_turned(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    data = encoded(Image.fromarray(rgba), "PNG", exif=rotated(6))
    np.testing.assert_array_equal(decode_bytes(data), np.rot90(RGB, -1))


def test_a_transparent_colour_of_a_palette_is_white() -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    for kind in ("PNG", "GIF"):
        image = decode_bytes(encoded(palette, kind, transparency=0))
        assert image.tolist() == [[[255, 255, 255], [40, 50, 60]]]


def jpeg(**options: object) -> bytes:
    return encoded(Image.fromarray(LARGE), "JPEG", **options)


JPEGS = {
    "plain": jpeg(quality=90),
    "optimised": jpeg(optimize=True),
    "progressive": jpeg(progressive=True),
    "restarts": bytes(cv2.imencode(".jpg", LARGE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 4])[1]),
    "4:4:4": jpeg(subsampling="4:4:4"),
    "4:2:2": jpeg(subsampling="4:2:2"),
    "rgb": jpeg(keep_rgb=True),
    "grey": encoded(Image.fromarray(LARGE[..., 0]), "JPEG"),
    "cmyk": encoded(Image.fromarray(LARGE).convert("CMYK"), "JPEG"),
    "4:1:1": bytes(cv2.imencode(".jpg", LARGE, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111])[1]),
    "4:4:0": bytes(cv2.imencode(".jpg", LARGE, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x121111])[1]),
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_jpegs_have_the_pixels_of_opencv(kind: str, orientation: int) -> None:
    exif = b"Exif\0\0" + rotated(orientation).tobytes().removeprefix(b"Exif\0\0")
    data = JPEGS[kind][:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    data += JPEGS[kind][2:]
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    image = decode_bytes(data)
    np.testing.assert_array_equal(image, expected)
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("kept", [0.5, 0.8, 0.95])
def test_a_damaged_jpeg_with_its_end_marker_is_refused(
    kind: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = JPEGS[kind]
    cut = int(len(data) * kept)
    for damaged in (
        data[:cut] + b"\xff\xd9",
        data[:cut] + bytes(len(data) - cut - 2) + b"\xff\xd9",
        data[:cut] + bytes(len(data) - cut),
        data[:cut],
    ):
        with pytest.raises(ImageError, match=r"face\.jpg: (damaged|truncated) JPEG"):
            decode_bytes(damaged, "face.jpg")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_only_its_end_marker_is_decoded_and_named(kind: str) -> None:
    found: list[str] = []
    image = decode_bytes(JPEGS[kind][:-2], "face.jpg", unended=found)
    np.testing.assert_array_equal(image, decode_bytes(JPEGS[kind], unended=found))
    assert found == ["face.jpg"]


def test_a_file_without_its_end_marker_is_warned_of_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facever.data.decode._warned", [])
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(JPEGS["plain"][:-2])
        decode(tmp_path / name)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "a.jpg" in said[0]
    assert "end marker" in said[0]


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused() -> None:
    data = JPEGS["progressive"]
    last_scan = data.rindex(b"\xff\xda")
    for cut in (last_scan, data.rindex(b"\xff\xda", 0, last_scan)):
        with pytest.raises(ImageError, match="truncated JPEG"):
            decode_bytes(data[:cut])


def test_what_cameras_write_between_is_no_damage() -> None:
    """Webcams and others write a few bytes before markers, and old revision numbers."""
    for name, expected in ((name, decode_bytes(JPEGS[name])) for name in ("plain", "restarts")):
        data = JPEGS[name]
        scan, jfif = data.index(b"\xff\xda"), bytearray(data)
        jfif[data.index(b"JFIF\0") + 5] = 2
        variants = [
            data[:-2] + b"\1" * 20 + data[-2:],
            data[:scan] + b"abc" + data[scan:],
            data[:scan] + b"abc" + data[scan:-2] + b"\1" * 20 + data[-2:],
            bytes(jfif),
        ]
        if name == "restarts":
            at = data.index(b"\xff\xd3", scan)
            variants.append(data[:at] + b"\1" * 12 + data[at:])
        for variant in variants:
            np.testing.assert_array_equal(decode_bytes(variant), expected)
            cut = len(variant) * 2 // 3
            with pytest.raises(ImageError, match=r"damaged|truncated"):
                decode_bytes(variant[:cut] + b"\xff\xd9")
            with pytest.raises(ImageError, match=r"damaged|truncated"):
                decode_bytes(variant[:cut] + bytes(len(variant) - cut - 2) + b"\xff\xd9")


def test_what_only_opencv_reads_must_have_its_end_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("tjDecompressHeader3(): Could not determine subsampling level of JPEG")

    data = JPEGS["plain"]
    expected = decode_bytes(data)
    monkeypatch.setattr("simplejpeg.decode_jpeg", refuse)
    np.testing.assert_array_equal(decode_bytes(data), expected)
    with pytest.raises(ImageError, match="truncated JPEG"):
        decode_bytes(data[:-2])


def test_cmyk_agrees_with_pillow() -> None:
    data = encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_bytes(data) - expected).mean() < 3


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF", "HEIF"]
)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, -1])
def test_a_truncated_file_is_refused(
    kind: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    need(kind)
    data = encoded(Image.fromarray(SMOOTH), kind)
    short = data[: int(len(data) * kept)] if kept > 0 else data[: -4 if kind == "JPEG" else -2]
    with pytest.raises(ImageError):
        decode_bytes(short)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
def test_a_jpeg_filled_up_with_zeros_is_refused(options: dict[str, object]) -> None:
    data = encoded(Image.fromarray(SMOOTH), "JPEG", **options)
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        decode_bytes(data[: len(data) // 2] + bytes(len(data) // 2))


def test_the_end_of_a_thumbnail_is_not_the_end_of_a_jpeg() -> None:
    data = encoded(Image.fromarray(SMOOTH), "JPEG")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data  # an APP1 segment
    whole = data[:2] + thumbnail + data[2:]
    np.testing.assert_array_equal(decode_bytes(whole), decode_bytes(data))
    with pytest.raises(ImageError, match="truncated JPEG"):
        decode_bytes(whole[: -len(data) // 3] + bytes(len(data) // 3))


def test_a_jpeg_may_have_bytes_after_its_end_and_between_its_segments() -> None:
    data = encoded(Image.fromarray(SMOOTH), "JPEG")
    expected = decode_bytes(data)
    np.testing.assert_array_equal(decode_bytes(data + b"a film follows"), expected)
    np.testing.assert_array_equal(decode_bytes(data[:2] + b"\xff\xff" + data[2:]), expected)


@pytest.mark.parametrize("chunk", [b"IDAT", b"IHDR", b"IEND"])
def test_a_png_with_a_flipped_bit_is_refused(
    chunk: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(png(SMOOTH))
    data[data.index(chunk) + 6] ^= 1
    with pytest.raises(ImageError, match="damaged PNG: the checksum of a chunk is wrong"):
        decode_bytes(bytes(data))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"this is a text file\n" * 9, "not an image of a known format"),
        (b"\xff\xd8\xff", "truncated JPEG"),
        (b"\xff\xd8\xff\xda\x00\x08" + bytes(20), "damaged JPEG: no frame before the first scan"),
        (b"\x89PNG\r\n\x1a\n", "truncated PNG"),
    ],
)
def test_what_is_no_image_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "face.jpg"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=f"face.jpg: {reason}") as caught:
        decode(file)
    assert caught.value.path == str(file)
    assert "\n" not in str(caught.value)


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file$"):
        decode(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="is a folder, not an image"):
        decode(tmp_path)
    with pytest.raises(ImageError, match="null"):
        decode("a\0b.jpg")


def test_a_fifo_and_a_device_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "real.png").write_bytes(png(RGB))
    (tmp_path / "link.png").symlink_to("real.png")
    for name in ("fifo.jpg", "zero.jpg"):
        with pytest.raises(ImageError, match=f"{name}: not a regular file"):
            decode(tmp_path / name)
        with pytest.raises(ImageError, match=f"{name}: not a regular file"):
            read_bytes(tmp_path / name)
    np.testing.assert_array_equal(decode(tmp_path / "link.png"), RGB)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "AVIF", "HEIF", "GIF"])
def test_a_compressed_file_whose_end_was_never_written_is_refused(kind: str) -> None:
    need(kind)
    data = encoded(Image.fromarray(LARGE), kind)
    for cut in (len(data) // 2, len(data) * 4 // 5):
        with pytest.raises(ImageError, match="damaged"):
            decode_bytes(data[:cut] + bytes(len(data) - cut))


def test_heic_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facever.data.headers._reads_heif", lambda: False)
    with pytest.raises(ImageError, match=r"facever\[heif\]"):
        decode_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_avif_and_heic_may_be_transparent_or_turned(kind: str) -> None:
    need(kind)
    rgba = np.dstack([SMOOTH, np.full(SMOOTH.shape[:2], 255, np.uint8)])
    rgba[:24, :, 3] = 0
    image = decode_bytes(encoded(Image.fromarray(rgba), kind, quality=95))
    assert image[:16].min() > 240
    if kind == "HEIF":  # turned by its own means, which the package itself applies
        return
    turned = encoded(Image.fromarray(SMOOTH), kind, quality=95, exif=rotated(6))
    image = decode_bytes(turned)
    assert image.shape == (72, 48, 3)
    assert np.abs(image.astype(int) - np.rot90(SMOOTH, -1)).mean() < 8


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    with pytest.raises(ImageError, match="floating-point"):
        decode_bytes(data)


@pytest.mark.parametrize("kind", [np.int32, np.int16])
def test_integers_that_have_no_white_are_refused(kind: type) -> None:
    data = encoded(Image.fromarray(np.arange(48, dtype=np.int32).reshape(6, 8)), "TIFF")
    if kind is np.int16:
        data = bytes(cv2.imencode(".tiff", np.arange(48, dtype=np.int16).reshape(6, 8))[1])
    with pytest.raises(ImageError, match="8 or 16 unsigned bits"):
        decode_bytes(data)


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def resized(kind: str, width: int, height: int) -> bytes:
    """A tiny file whose header claims another size."""
    data = bytearray(encoded(Image.fromarray(SMOOTH), kind))
    old = (72, 48)
    if kind == "JPEG":
        at = data.index(struct.pack(">HH", old[1], old[0]))
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif kind == "GIF":
        for at in [6, data.index(b",\0\0\0\0") + 5]:
            data[at : at + 4] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    else:
        data = bytearray(data.replace(b"72 48", b"%d %d" % (width, height)))
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [bomb_png(40_000, 40_000)]
    + [resized(kind, 40_000, 40_000) for kind in ("JPEG", "GIF", "BMP", "PPM")],
    ids=["PNG", "JPEG", "GIF", "BMP", "PPM"],
)
def test_a_bomb_is_refused_without_decoding(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        pytest.fail("the pixels were decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    monkeypatch.setattr("simplejpeg.decode_jpeg", never)
    with pytest.raises(ImageError, match=r"40000 x 40000 pixels|exceeds limit"):
        decode_bytes(data)


def test_the_limit_counts_pixels(tmp_path: Path) -> None:
    data = png(RGB)
    assert decode_bytes(data, max_pixels=54).shape == RGB.shape
    with pytest.raises(ImageError, match=r"face: 9 x 6 pixels .*53 allowed.*FACEVER_MAX_PIXELS"):
        decode_bytes(data, "face", max_pixels=53)


def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data, file = png(RGB), tmp_path / "face.png"
    file.write_bytes(data)
    monkeypatch.setenv("FACEVER_MAX_PIXELS", "53")
    for read in (lambda: decode_bytes(data), lambda: decode(file)):
        with pytest.raises(ImageError, match="53 allowed"):
            read()
    assert decode(file, max_pixels=54).shape == RGB.shape  # an argument goes before it
    photo = tmp_path / "photo.jpg"
    cv2.imwrite(str(photo), np.zeros((32, 48, 3), np.uint8))
    monkeypatch.setenv("FACEVER_MAX_PIXELS", str(32 * 48 // 4))
    assert decode(photo, reduce=True).shape == (16, 24, 3)
    for wrong in ("0", "1e8", "many", "-5"):
        monkeypatch.setenv("FACEVER_MAX_PIXELS", wrong)
        with pytest.raises(ConfigError, match=f"FACEVER_MAX_PIXELS is '{wrong}'.*at least 1"):
            decode(file)


def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    with file.open("wb") as stream:
        stream.truncate(2**31)  # sparse
    with pytest.raises(ImageError, match=r"2,147,483,648 bytes are too many for an image of"):
        decode(file)


def test_an_error_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "is blank")))
    assert (error.path, error.reason, str(error)) == ("a.jpg", "is blank", "a.jpg: is blank")


def test_read_bytes_is_what_decode_decodes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(RGB))
    np.save(tmp_path / "a.npy", RGB[None])
    assert read_bytes(tmp_path / "a.png") == png(RGB)
    assert read_bytes(tmp_path / "a.npy#0") == RGB.tobytes()
    with pytest.raises(ImageError, match="no such file"):
        read_bytes(tmp_path / "b.png")


def test_real_jpegs_agree_with_pillow(real_data: Path) -> None:
    files = sorted((real_data / "lfw" / "images").glob("A*_B*/*.jpg"))[:20]
    assert len(files) == 20
    for file in files:
        expected = np.asarray(Image.open(file).convert("RGB")).astype(int)
        assert np.abs(decode(file) - expected).max() <= 6, os.fspath(file)


@pytest.mark.parametrize(("most", "factor"), [(60_000, 1), (59_999, 2), (14_000, 4), (1_000, 8)])
def test_a_jpeg_of_too_many_pixels_is_reduced(tmp_path: Path, most: int, factor: int) -> None:
    path = tmp_path / "large.jpg"
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    cv2.imwrite(str(path), np.repeat(np.broadcast_to(ramp, (200, 300))[..., None], 3, axis=2))
    reduced = decode(path, most, reduce=True)
    assert reduced.shape == (200 // factor, -(-300 // factor), 3)
    whole = 300 // factor
    expected = ramp[: whole * factor].reshape(whole, factor).mean(axis=1)
    np.testing.assert_allclose(reduced[10, :whole, 0], expected, atol=4)
    if factor > 1:
        with pytest.raises(ImageError, match=r"300 x 200 pixels"):
            decode(path, most)


def test_what_cannot_be_reduced_enough_is_refused(tmp_path: Path) -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    for name, most in (("bomb.jpg", 99), ("large.png", 640)):
        cv2.imwrite(str(tmp_path / name), image)
        with pytest.raises(ImageError, match=rf"{name}.*80 x 80 pixels .*the {most} allowed"):
            decode(tmp_path / name, most, reduce=True)


def test_a_damaged_jpeg_is_refused_when_it_is_reduced(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"cut\.jpg: truncated JPEG"):
        decode(tmp_path / "cut.jpg", 20_000, reduce=True)
