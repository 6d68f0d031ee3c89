"""Arrays of a file, read in blocks of rows, so that a file can be larger than the memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facever.core.console import byte_count
from facever.errors import DataError

_BLOCK = 16 * 2**20  # bytes of a block in memory
_MOST_PACKED = 1100  # bytes that one byte of a file can hold: deflate reaches 1032


class StoredArray(Protocol):
    """An array of a file.

    Attributes:
        shape: Its shape; the first axis is that of the rows.
        dtype: Type of its values.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `rows` at a time."""
        ...


@dataclass(frozen=True)
class SlicedArray:
    """An array that is in memory, mapped, or read by slices (h5py).

    Args:
        values: Anything with `shape`, `dtype` and slices.
        turned: Whether the rows are the last axis of `values`.
    """

    values: Any
    turned: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, with the rows first."""
        return tuple(self.values.shape[::-1] if self.turned else self.values.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        kind: np.dtype[Any] = self.values.dtype
        return kind

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `rows` at a time."""
        for first in range(0, self.shape[0], rows):
            last = first + rows
            yield np.asarray(
                self.values[..., first:last].T if self.turned else self.values[first:last]
            )


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file of embeddings holds.

    Args:
        path: The file.
        layout: Its format: "embeddings-npy", "embeddings-npz" and so on.
        arrays: Arrays by name; names of nested parts are joined by "/".
        unread: Parts that cannot be read by name, with the reason.
        either_way: Whether [N, D] and [D, N] are both common in this format (MATLAB).
    """

    path: Path
    layout: str
    arrays: dict[str, StoredArray]
    unread: dict[str, str] = field(default_factory=dict)
    either_way: bool = False

    def contents(self) -> str:
        """Return the names, types and shapes of the arrays for a message."""
        said = [f"{name} {told(array)}" for name, array in self.arrays.items()]
        said += [f"{name} ({reason})" for name, reason in self.unread.items()]
        return ", ".join(said[:12]) + (f", ... ({len(said)} in all)" if len(said) > 12 else "")


def told(array: StoredArray) -> str:
    """Return the type and shape of an array, such as "float32 [10, 512]"."""
    kind = "text" if array.dtype.kind in "USO" else str(array.dtype)
    return f"{kind} {list(array.shape)}"


def turned(array: StoredArray, path: Path) -> StoredArray:
    """Return a matrix with rows and columns exchanged."""
    if isinstance(array, SlicedArray):
        return replace(array, turned=not array.turned)
    return SlicedArray(whole(array, path), turned=True)


def whole(array: StoredArray, path: Path) -> NDArray[Any]:
    """Return all values of an array."""
    parts = list(read_blocks(array, path))
    return np.concatenate(parts) if parts else np.empty(array.shape, array.dtype)


def read_blocks(array: StoredArray, path: Path) -> Iterator[NDArray[Any]]:
    """Yield all rows in blocks of some megabytes.

    Raises:
        DataError: The file is damaged.
    """
    row = max(1, math.prod(array.shape[1:]) * max(array.dtype.itemsize, 4))
    blocks = array.blocks(max(1, _BLOCK // row))
    while True:
        try:
            block = next(blocks, None)
        except DataError:
            raise
        except Exception as error:  # the readers' errors for damaged bytes are undocumented
            raise damaged(path, error) from error
        if block is None:
            return
        yield block


def check_claim(name: str, shape: tuple[int, ...], itemsize: int, path: Path) -> None:
    """Refuse an array that is too large for its file, before memory is allocated for it.

    Raises:
        DataError: Even compressed, the file could not hold the array.
    """
    size = math.prod(shape) * max(itemsize, 1)
    if size > _MOST_PACKED * path.stat().st_size:
        raise DataError(
            f"{path} is damaged: its array '{name}' claims {byte_count(size)}, which the file "
            "cannot hold"
        )


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error for a file whose reader failed."""
    return DataError(f"{path} cannot be read: {str(error) or type(error).__name__}")
