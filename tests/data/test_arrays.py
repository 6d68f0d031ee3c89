"""Images inside array files: idx written by hand, .npy by NumPy."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from facever.data.arrays import open_array, read_item, split_address
from facever.data.decode import ImageError, decode

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def zipped(content: bytes) -> bytes:
    """Return a gzip file without a time, so that the tests' names are always the same."""
    return gzip.compress(content, mtime=0)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + shape + array.tobytes()


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("a/images.npy#7", ("a/images.npy", 7)),
        ("t10k-images-idx3-ubyte.gz#0", ("t10k-images-idx3-ubyte.gz", 0)),
        ("t10k-images.idx3-ubyte#12", ("t10k-images.idx3-ubyte", 12)),
        ("a#1.npy#3", ("a#1.npy", 3)),
        ("images.npy", None),
        ("photo#3", None),
        ("photo.jpg#3", None),
        ("a#3.jpg", None),
        ("a.npy#-1", None),
        ("a.npy.gz#1", None),
    ],
)
def test_what_is_an_address(path: str, address: tuple[str, int] | None) -> None:
    assert split_address(path) == address


@pytest.mark.parametrize("name", ["x-ubyte", "x-ubyte.gz", "x.idx", "x.npy"])
def test_images_come_back(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name.endswith(".npy"):
        np.save(file, IMAGES)
    else:
        file.write_bytes(gzip.compress(idx(IMAGES)) if name.endswith(".gz") else idx(IMAGES))
    for index, image in enumerate(IMAGES):
        decoded = decode(f"{file}#{index}")
        np.testing.assert_array_equal(decoded, np.repeat(image[..., None], 3, axis=2))
        decoded[:] = 0  # a copy: the file and the cache stay as they are
        np.testing.assert_array_equal(read_item(str(file), index), image)
    with pytest.raises(ImageError, match=r"#3: no image 3; the file has 3 images, counted from 0"):
        decode(f"{file}#3")


def test_colour_and_single_channel_arrays(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "colour.npy", colour)
    np.save(tmp_path / "grey.npy", IMAGES[..., None])
    image = decode(tmp_path / "colour.npy#1")
    np.testing.assert_array_equal(image, colour[1])
    assert image.flags.writeable
    assert type(image) is np.ndarray
    np.testing.assert_array_equal(decode(tmp_path / "grey.npy#2")[..., 1], IMAGES[2])


def test_a_file_is_opened_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, IMAGES)
    first = open_array(str(file))
    assert isinstance(first, np.memmap)
    assert open_array(str(file)) is first
    np.save(file, np.concatenate([IMAGES, IMAGES]))
    assert len(open_array(str(file))) == 6


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x-ubyte", b"", "not an idx file"),
        ("x-ubyte", b"text", "not an idx file"),
        ("x-ubyte", idx(IMAGES, kind=13), "idx values of type 0x0d; only bytes"),
        ("x-ubyte", idx(IMAGES)[:7], "truncated idx file"),
        ("x-ubyte", idx(IMAGES)[:-1], "59 bytes of values instead of 60"),
        ("x-ubyte.gz", zipped(idx(IMAGES)[:-1]), "59 bytes of values instead of 60"),
        ("x-ubyte.gz", zipped(idx(IMAGES) + b"!"), "61 bytes of values instead of 60"),
        ("x-ubyte.gz", zipped(idx(IMAGES))[:-9], "truncated or damaged gzip file"),
        ("x-ubyte.gz", idx(IMAGES), "truncated or damaged gzip file"),
        ("x-ubyte", idx(IMAGES[0]), r"shape \(4, 5\) is not a shape of images"),
        ("x.npy", b"text", "x.npy#0: "),
    ],
)
def test_a_damaged_file_says_why(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        decode(tmp_path / f"{name}#0")
    assert "\n" not in str(caught.value)


def test_other_types_and_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", IMAGES.astype(np.float32))
    np.save(tmp_path / "o.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(ImageError, match="an array of float32; images must be uint8"):
        decode(tmp_path / "f.npy#0")
    with pytest.raises(ImageError, match="Python objects"):
        decode(tmp_path / "o.npy#0")
    with pytest.raises(ImageError, match="no such file"):
        decode(tmp_path / "none.npy#0")


@pytest.mark.parametrize("name", ["x.npy", "x-ubyte", "x-ubyte.gz", "x.tar"])
def test_a_fifo_is_not_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    where = "512+10" if name.endswith(".tar") else "0"
    with pytest.raises(ImageError, match="not a regular file"):
        decode(f"{tmp_path / name}#{where}")


def test_a_gzipped_file_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x-ubyte.gz"
    file.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", *[2**20] * 3)))
    with pytest.raises(ImageError, match=r"memory are free.*gunzip"):
        decode(f"{file}#0")
