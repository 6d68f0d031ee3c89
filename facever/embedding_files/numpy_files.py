"""NumPy's files: `.npy` is mapped, the arrays of an `.npz` are read from its archive in blocks.

Reference:
    NumPy, "NEP 1: A simple file format for NumPy arrays".
"""

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, StoredArray, check_claim
from facever.errors import DataError

_OBJECTS = "Python objects, which only a pickle can hold: save texts with dtype=str"
_SUFFIX = ".npy"


def open_npy(path: Path, held: ExitStack) -> EmbeddingFile:  # noqa: ARG001
    """Open an `.npy` file; its array is called "array"."""
    with path.open("rb") as file:
        _, _, dtype = _header(file)
    if dtype.hasobject:
        raise DataError(f"{path} holds {_OBJECTS}")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return EmbeddingFile(path, "embeddings-npy", {"array": SlicedArray(array)})


def open_npz(path: Path, held: ExitStack) -> EmbeddingFile:
    """Open an `.npz` file (a ZIP archive of `.npy` files, compressed or not)."""
    archive = held.enter_context(zipfile.ZipFile(path))
    arrays: dict[str, StoredArray] = {}
    unread = {}
    for member in archive.namelist():
        name = member.removesuffix(_SUFFIX)
        if name == member:
            continue
        with archive.open(member) as file:
            shape, fortran, dtype = _header(file)
        if dtype.hasobject:
            unread[name] = _OBJECTS
            continue
        check_claim(name, shape, dtype.itemsize, path)
        arrays[name] = _Member(archive, member, shape, dtype, fortran)
    return EmbeddingFile(path, "embeddings-npz", arrays, unread)


@dataclass(frozen=True)
class _Member:
    """An array of an archive."""

    archive: zipfile.ZipFile
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `rows` at a time; in Fortran order all at once."""
        with self.archive.open(self.name) as file:
            _header(file)
            if self.fortran and len(self.shape) > 1:
                yield self._read(file, self.shape[::-1]).T
            else:
                for first in range(0, self.shape[0] if self.shape else 0, rows):
                    taken = min(rows, self.shape[0] - first)
                    yield self._read(file, (taken, *self.shape[1:]))
            if file.read(1):  # the end of the member: its checksum is compared
                raise ValueError(f"{self.name} has more values than its shape says")

    def _read(self, file: IO[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
        size = prod(shape) * self.dtype.itemsize
        content = file.read(size)
        if len(content) < size:
            raise ValueError(f"{self.name} is truncated")
        return np.frombuffer(content, self.dtype).reshape(shape)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of .npy (read: 1.0 and 2.0)")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    return read(file)
