"""RecordIO sets, written here byte by byte from the description of the format."""

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.data.decode import ImageError, decode
from facever.data.readers import read
from facever.errors import DataError

MAGIC = struct.pack("<I", 0xCED7230A)


def part(content: bytes, kind: int = 0) -> bytes:
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + bytes(-len(content) % 4)


def record(image: bytes, *labels: float, number: int = 0) -> bytes:
    """One record; a payload with the magic number in it becomes several parts."""
    flag = len(labels) if len(labels) > 1 else 0
    header = struct.pack("<IfQQ", flag, 0.0 if flag else labels[0], number, 0)
    payload = header + (struct.pack(f"<{flag}f", *labels) if flag else b"") + image
    pieces = payload.split(MAGIC)
    if len(pieces) == 1:
        return part(payload)
    kinds = [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(part(piece, kind) for piece, kind in zip(pieces, kinds, strict=True))


def encoded(value: int, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(value).integers(0, 256, (14, 10 + value, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write records and their index; return the folder."""

    def to(records: list[bytes], name: str = "train", index: bool = True) -> Path:
        (tmp_path / f"{name}.rec").write_bytes(b"".join(records))
        offset, lines = 0, []
        for number, one in enumerate(records):
            lines.append(f"{number}\t{offset}\n")
            offset += len(one)
        if index:
            (tmp_path / f"{name}.idx").write_text("".join(lines))
        return tmp_path

    return to


def usual() -> list[bytes]:
    """A set as insightface packs it: header, images, then a record for each identity."""
    images = [record(encoded(i), float(i // 2), number=i + 1) for i in range(5)]
    people = [record(b"", 1.0 + 2 * k, 3.0 + 2 * k) for k in range(3)]
    return [record(b"", 6.0, 9.0), *images, *people]


@pytest.mark.parametrize("index", [True, False])
def test_images_and_identities(write, index: bool) -> None:
    manifest = read(write(usual(), index=index))
    assert manifest.layout == "insightface"
    assert manifest.frame["identity"].tolist() == ["0", "0", "1", "1", "2"]
    for i in range(5):
        expected = cv2.imdecode(np.frombuffer(encoded(i), np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(decode(manifest.locate(i)), expected)
    assert len(read(manifest.root / "train.rec")) == 5


def test_a_magic_number_in_an_image_is_put_back(write) -> None:
    image = encoded(1)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 12) + MAGIC + b"abcd" + MAGIC
    jpeg = encoded(2, ".jpg")
    jpeg = jpeg[:2] + comment + jpeg[2:]  # a JPEG comment that holds it twice, once at its end
    manifest = read(write([record(jpeg, 4.0), record(image, 5.0), record(MAGIC + jpeg, 6.0)]))
    assert manifest.frame["identity"].tolist() == ["4", "5", "6"]
    plain = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(decode(manifest.locate(0)), plain)
    with pytest.raises(ImageError):  # what it holds is no image, but it is read as it was written
        decode(manifest.locate(2))


def test_several_labels_and_several_files(write) -> None:
    write([record(encoded(1), 7.0, 0.5, 3.0), record(encoded(2), 8.0)], "a")
    manifest = read(write([record(encoded(3), 9.0)], "b"))
    frame = manifest.frame
    assert frame["identity"].tolist() == ["7", "8", "9"]
    assert frame["label_2"].tolist()[0] == "0.5"
    assert frame["label_3"].tolist()[0] == "3"
    assert frame["label_2"].isna().tolist() == [False, True, True]
    assert frame["subset"].tolist() == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda data: data[:-3], ("damaged, truncated", "ends early")),
        (lambda data: data[: len(data) // 2], ("damaged, truncated",)),
        (lambda data: b"\0" + data[1:], ("byte 0", "no record")),
        (lambda data: b"", ("is empty",)),
        (lambda data: data + b"garbage!", ("no record",)),
        (lambda data: part(b"short"), ("header is missing",)),
        (lambda data: part(struct.pack("<IfQQ", 900, 0, 0, 0)), ("900 labels",)),
        (lambda data: part(b"abcd", 1), ("last part is missing",)),
        (lambda data: part(b"abcd", 2), ("no record",)),
        (lambda data: record(b"", 3.0), ("holds no images",)),
        (lambda data: record(b"x", float("nan")), ("NaN or infinite",)),
        (lambda data: record(b"x", 1.0, float("inf")), ("NaN or infinite",)),
    ],
)
def test_damage_is_one_line(
    write, change: Callable[[bytes], bytes], parts: tuple[str, ...]
) -> None:
    root = write(usual(), index=False)
    file = root / "train.rec"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError) as refused:
        read(root)
    assert str(file) in str(refused.value)
    assert all(part in str(refused.value) for part in parts), refused.value


def test_an_index_that_points_nowhere(write) -> None:
    root = write(usual())
    index = root / "train.idx"
    lines = index.read_text().splitlines(keepends=True)
    for text in ("".join(lines[:-1]), "".join(lines).replace("\t0", "\t4"), "a\tb\n", "1\n"):
        index.write_text(text)
        with pytest.raises(DataError, match=r"train\.idx"):
            read(root)


def test_a_header_record_that_announces_more(write) -> None:
    records = usual()
    with pytest.raises(DataError, match=r"announces 5 images, and 4"):
        read(write([records[0], *records[2:]]))


def test_a_file_that_was_changed_after_it_was_read(write) -> None:
    root = write(usual())
    manifest = read(root)
    data = (root / "train.rec").read_bytes()
    (root / "train.rec").write_bytes(data[:60])
    with pytest.raises(ImageError, match=r"train\.rec.*no record"):
        decode(manifest.locate(4))
