"""Embeddings in MATLAB's files of versions 5 to 7. Version 7.3 is HDF5: see `hdf5`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from facever.data.machine import free_memory
from facever.data.mat_arrays import MatArray, UnreadArrayError, mat_arrays
from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, StoredArray

_MOST_DEPTH = 4  # of structures in each other
_CELLS = "a cell array must hold one text or one number in each cell"


def open_matlab(path: Path, held: ExitStack) -> EmbeddingFile:  # noqa: ARG001
    """Open a `.mat` file; it is mapped, and what is compressed in it is loaded."""
    file = EmbeddingFile(path, "embeddings-matlab", {}, {}, either_way=True)
    for array in mat_arrays(path, free_memory(shared=False)):
        if array.name:  # without a name: MATLAB's own
            _read(file, array, array.name, 0)
    return file


def _read(file: EmbeddingFile, array: MatArray, name: str, depth: int) -> None:
    """Put an array, or the fields of a structure, into the file's dictionaries."""
    try:
        if array.kind == "struct" and array.size == 1 and depth < _MOST_DEPTH:
            for field, part in array.structures()[0].items():
                _read(file, part, f"{name}/{field}", depth + 1)
        else:
            file.arrays[name] = _stored(array)
    except UnreadArrayError as error:
        file.unread[name] = str(error)


def _stored(array: MatArray) -> StoredArray:
    if array.kind == "cell":
        return SlicedArray(np.array([_cell(one) for one in array.cells()], dtype=object))
    if array.kind == "char":
        rows = [row.rstrip() for row in array.texts()]  # spaces fill the matrix
        return SlicedArray(np.array(rows, dtype=object))
    if array.kind == "numbers":
        return SlicedArray(array.numbers())
    raise UnreadArrayError(f"of MATLAB's type {array.kind}")


def _cell(array: MatArray) -> Any:
    """Return a cell: one text or one number; None if empty."""
    if not array.size and array.kind in ("numbers", "char", "cell", "struct"):
        return None
    if array.kind == "char" and array.shape[0] == 1:
        return array.texts()[0].rstrip()
    if array.kind == "numbers" and array.size == 1:
        return array.numbers().item()
    raise UnreadArrayError(_CELLS)
