"""Images inside array files: "images.npy#7" and "t10k-images-idx3-ubyte.gz#7" are image 7."""

import gzip
import math
import re
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from facever.core.console import byte_count
from facever.core.files import open_regular
from facever.data.machine import free_memory

_ADDRESS = re.compile(r"(.+(?:\.npy|(?:\.idx|ubyte)(?:\.gz)?))#(\d+)", re.DOTALL)
_IDX_UINT8 = 8


def split_address(path: str) -> tuple[str, int] | None:
    """Return the array file and the index of a path like "images.npy#7", or None."""
    found = _ADDRESS.fullmatch(path) if "#" in path else None
    return (found[1], int(found[2])) if found else None


def read_item(file: str, index: int) -> np.ndarray:
    """Return image `index` of an array file, uint8 [H, W] or [H, W, 3], a copy.

    The file is opened once per process: .npy and plain idx files are memory-mapped, compressed idx
    files are loaded into memory.

    Raises:
        ValueError: There is no such image; the message is the reason.
        OSError: The file cannot be opened.
    """
    images = open_array(file)
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        raise ValueError(
            f"shape {images.shape} is not a shape of images (allowed: [N, H, W] or [N, H, W, 3])"
        )
    if index >= len(images):
        raise ValueError(f"no image {index}; the file has {len(images)} images, counted from 0")
    item = np.array(images[index])
    return item[..., 0] if item.shape[2:] == (1,) else item


def open_array(file: str) -> np.ndarray:
    """Return the uint8 array of a .npy or idx file (MNIST's format; may be gzipped).

    Raises:
        ValueError: It is not such an array; the message is the reason.
        OSError: The file cannot be opened.
    """
    status = Path(file).stat()
    return _open(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _open(file: str, _modified: int, size: int) -> np.ndarray:
    open_regular(file).close()
    if file.endswith(".npy"):
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
        if array.dtype != np.uint8:
            raise ValueError(f"an array of {array.dtype}; images must be uint8")
        return array
    return _open_idx(file, size)


def _open_idx(file: str, size: int) -> np.ndarray:
    packed = file.endswith(".gz")
    try:
        with gzip.open(file) if packed else Path(file).open("rb") as stream:
            start = stream.read(4)
            if len(start) < 4 or start[:2] != b"\0\0":
                raise ValueError("not an idx file")
            if start[2] != _IDX_UINT8:
                raise ValueError(
                    f"idx values of type 0x{start[2]:02x}; only bytes (0x08) are supported"
                )
            dimensions = stream.read(4 * start[3])
            if len(dimensions) < 4 * start[3]:
                raise ValueError("truncated idx file")
            shape = tuple(np.frombuffer(dimensions, ">u4").tolist())
            if packed and math.prod(shape) > (free := free_memory(shared=False)):
                raise ValueError(
                    f"uncompressed it has {byte_count(math.prod(shape))}, but "
                    f"{byte_count(free)} of memory are free: unpack it (gunzip), so that it is "
                    "read from the disk"
                )
            values = stream.read(math.prod(shape) + 1) if packed else b""
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError("truncated or damaged gzip file") from error
    offset = 4 + len(dimensions)
    found = len(values) if packed else size - offset
    if found != math.prod(shape):
        raise ValueError(f"damaged idx file: {found} bytes of values instead of {math.prod(shape)}")
    if packed:
        return np.frombuffer(values, np.uint8).reshape(shape)
    return np.memmap(file, np.uint8, "r", offset, shape)
