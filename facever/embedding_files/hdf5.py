"""HDF5 files, and MATLAB's files of version 7.3, which are HDF5 with conventions of their own.

MATLAB writes the axes in reverse order, texts as UTF-16 numbers, and a cell array as references.

References:
    The HDF Group, "HDF5 File Format Specification Version 3.0"; MathWorks, "MAT-File Versions".
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, StoredArray, check_claim
from facever.embedding_files.hdf5_heaps import check_heaps
from facever.errors import DataError

_MOST_DEPTH = 8
_MOST_CHUNK = 2**30  # bytes
_MATLAB_NUMBERS = {"double", "single", "logical"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def open_hdf5(path: Path, held: ExitStack) -> EmbeddingFile:
    """Open an HDF5 file; it is written by MATLAB if its first bytes say so."""
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            f"{path} is an HDF5 file, which needs an extra: pip install 'facever[hdf5]'"
        ) from error
    with path.open("rb") as start:
        matlab = start.read(6) == b"MATLAB"
    file = held.enter_context(h5py.File(path, "r", locking=False))
    arrays: dict[str, StoredArray] = {}
    unread: dict[str, str] = {}
    for name, dataset in _datasets(file, "", 0, unread):
        try:
            _check(name, dataset, path)
            array = _of_matlab(dataset, file) if matlab else _plain(dataset, path)
        except ValueError as error:
            unread[name] = str(error)
        else:
            arrays[name] = array
    layout = "embeddings-matlab" if matlab else "embeddings-hdf5"
    return EmbeddingFile(path, layout, arrays, unread, either_way=matlab)


def _datasets(
    group: Any, prefix: str, depth: int, unread: dict[str, str]
) -> Iterator[tuple[str, Any]]:
    """Yield the data sets of a group and its groups, without links to other files."""
    import h5py

    for name in group:
        if name.startswith("#"):  # MATLAB's own
            continue
        full = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            unread[full] = "a link"
            continue
        found = group[name]
        if isinstance(found, h5py.Dataset):
            yield full, found
        elif isinstance(found, h5py.Group) and depth < _MOST_DEPTH:
            yield from _datasets(found, f"{full}/", depth + 1, unread)


def _check(name: str, dataset: Any, path: Path) -> None:
    """Refuse values in other files, and sizes that the file cannot hold."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its values are in another file")
    if dataset.shape is None:
        raise ValueError("empty")
    check_claim(name, dataset.shape, dataset.dtype.itemsize, path)
    chunk = np.prod(dataset.chunks or (0,), dtype=object) * dataset.dtype.itemsize
    if chunk > _MOST_CHUNK:
        raise ValueError(f"chunks of {chunk:,} bytes (at most {_MOST_CHUNK:,})")


def _plain(dataset: Any, path: Path) -> StoredArray:
    import h5py

    def texts() -> Any:
        check_heaps(path)
        return dataset.asstr()[()]

    if h5py.check_string_dtype(dataset.dtype) is not None:
        return _Texts(dataset.shape, texts)
    if dataset.dtype.kind not in "biufS":
        raise ValueError(f"of type {dataset.dtype}")
    return SlicedArray(dataset)


@dataclass(frozen=True)
class _Texts:
    """Texts that are read all at once."""

    shape: tuple[int, ...]
    read: Callable[[], Any]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(object))

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:  # noqa: ARG002
        """Yield all rows."""
        yield np.asarray(self.read(), dtype=object)


def _of_matlab(dataset: Any, file: Any) -> StoredArray:
    """Return an array as MATLAB shows it."""
    kind = dataset.attrs.get("MATLAB_class", b"")
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if kind == "char" and len(dataset.shape) == 2:
        return _Texts((dataset.shape[1],), lambda: _rows_of_text(dataset[()]))
    if kind == "cell":
        return _Texts((dataset.size,), lambda: [_cell(file[one]) for one in dataset[()].ravel()])
    if kind in _MATLAB_NUMBERS and dataset.dtype.kind in "biuf":
        return SlicedArray(dataset, turned=True)
    raise ValueError(f"of MATLAB's class {kind or 'unknown'}")


def _rows_of_text(codes: NDArray[Any]) -> list[str]:
    """Return the rows of a matrix of characters, uint16 [L, N], without the spaces that fill it."""
    rows = codes.T.astype("<u2")
    return [row.tobytes().decode("utf-16-le").rstrip() for row in rows]


def _cell(value: Any) -> str | float | None:
    """Return a cell: one text or one number; None if empty."""
    if value.attrs.get("MATLAB_empty", 0):
        return None
    if value.attrs.get("MATLAB_class") == b"char" and value.shape[1:] == (1,):
        return _rows_of_text(value[()])[0]
    if value.dtype.kind in "biuf" and value.size == 1:
        return float(value[()].item())
    raise ValueError("a cell array must hold one text or one number in each cell")
