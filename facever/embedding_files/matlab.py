"""MATLAB's files of versions 4 to 7, through scipy. Version 7.3 is HDF5: see `hdf5`.

Reference:
    MathWorks, "MAT-File Format" (versions 4 and 5).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, StoredArray, check_claim

_ITEM = {"double": 8, "int64": 8, "uint64": 8, "single": 4, "int32": 4, "uint32": 4}


def open_matlab(path: Path, held: ExitStack) -> EmbeddingFile:  # noqa: ARG001
    """Open a `.mat` file; its arrays are loaded."""
    from scipy.io import loadmat, whosmat

    kept = []
    unread = {}
    for name, shape, kind in whosmat(path):
        check_claim(name, shape, _ITEM.get(kind, 1), path)
        if kind in ("opaque", "object", "function", "sparse", "unknown"):
            unread[name] = f"of MATLAB's class {kind}"
        else:
            kept.append(name)
    arrays: dict[str, StoredArray] = {}
    loaded = loadmat(path, variable_names=kept, chars_as_strings=True) if kept else {}
    for name in kept:
        for full, value in _parts(name, loaded[name]):
            try:
                arrays[full] = SlicedArray(_array(value))
            except ValueError as error:
                unread[full] = str(error)
    return EmbeddingFile(path, "embeddings-matlab", arrays, unread, either_way=True)


def _parts(name: str, value: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield an array, or the fields of a struct."""
    if value.dtype.names is None or value.size != 1:
        yield name, value
        return
    for field in value.dtype.names:
        yield from _parts(f"{name}/{field}", value[field].item())


def _array(value: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as they are, and texts without the spaces that fill a matrix of them."""
    if value.dtype.kind == "U":
        return np.char.rstrip(value)
    if value.dtype.kind == "O":
        return np.array([_cell(one) for one in value.ravel()], dtype=object)
    if value.dtype.kind not in "biuf":
        raise ValueError(f"of type {value.dtype}")
    return value


def _cell(value: Any) -> Any:
    """Return a cell: one text or one number; None if empty."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "Ubiuf" and value.size <= 1:
        return value.item() if value.size else None
    raise ValueError("a cell array must hold one text or one number in each cell")
