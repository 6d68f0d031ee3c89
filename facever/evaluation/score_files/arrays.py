"""NumPy's files: a matrix of scores in .npy, or in .npz beside its identities; columns in .npz.

Sizes that a header declares are compared with the size of the file before memory is allocated.
"""

import math
import os
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from facever.core.console import byte_count
from facever.core.files import open_regular
from facever.data.machine import free_memory
from facever.errors import EvaluationError

ROWS, COLUMNS, MASK = "rows", "columns", "mask"
"""Names of the identities and of the mask in a .npz file with a matrix."""

_PARTS = {ROWS, COLUMNS, MASK}
_DAMAGED = (
    *(ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile),
    *(NotImplementedError, RuntimeError),  # other compression, encryption
)


def load_npy(path: Path, *, mapped: bool = False) -> npt.NDArray[Any]:
    """Return the array of a .npy file.

    Args:
        path: The file.
        mapped: Map the file into memory instead of reading it.

    Raises:
        EvaluationError: It is not a .npy file, is truncated, or holds Python objects.
        OSError: The file cannot be opened.
    """
    with open_regular(path) as raw:
        _check(raw, os.fstat(raw.fileno()).st_size, str(path))
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return array


def load_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a .npz file by name.

    Raises:
        EvaluationError: It is not a .npz file, is damaged, holds Python objects, or needs more
            memory than is free.
        OSError: The file cannot be opened.
    """
    try:
        with open_regular(path) as raw, zipfile.ZipFile(raw) as archive:
            members = archive.infolist()
            total, free = sum(one.file_size for one in members), free_memory(shared=False)
            if total > free:
                raise EvaluationError(
                    f"{path} has {byte_count(total)} of arrays, but {byte_count(free)} of memory "
                    "are free: save the matrix as .npy, which is read from the disk"
                )
            found = {}
            for one in members:
                name = f"{path}, {one.filename}"
                with archive.open(one) as member:
                    _check(member, one.file_size, name)
                with archive.open(one) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                found[one.filename.removesuffix(".npy")] = array
            return found
    except _DAMAGED as error:
        raise EvaluationError(f"{path} is not an npz file of arrays: {error}") from error


def matrix_in(
    arrays: dict[str, npt.NDArray[Any]], path: Path
) -> tuple[npt.NDArray[Any], dict[str, npt.NDArray[Any]]] | None:
    """Return the matrix of a .npz file, and its `rows`, `columns` and `mask`.

    Returns:
        None if it has no matrix, and so is a table of columns.

    Raises:
        EvaluationError: It has several matrices, or an array with another name.
    """
    matrices = [name for name, array in arrays.items() if array.ndim == 2 and name != MASK]
    if not matrices:
        return None
    wrong = [name for name in arrays if name not in _PARTS | set(matrices[:1])]
    if wrong:
        raise EvaluationError(
            f"{path} has the matrix '{matrices[0]}' and '{wrong[0]}': beside one matrix it may "
            "have the identities 'rows' and 'columns', and 'mask'"
        )
    return arrays[matrices[0]], {name: arrays[name] for name in _PARTS & set(arrays)}


def check_real(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return a matrix of numbers.

    Raises:
        EvaluationError: It is not a matrix, is empty, or its values are not real numbers.
    """
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise EvaluationError(
            f"{name} is an array of shape {values.shape} and type {values.dtype}: scores must be a "
            "matrix of real numbers [rows, columns]"
        )
    if not values.size:
        raise EvaluationError(f"{name} is empty: its shape is {values.shape}")
    return values


def _check(file: IO[bytes], size: int, name: str) -> None:
    """Raise unless a .npy header declares as many bytes as there are."""
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise EvaluationError(f"{name}: version {version} of the npy format is not supported")
        shape, _, dtype = read(file)
    except (ValueError, SyntaxError, TokenError, RecursionError) as error:
        raise EvaluationError(f"{name} is not a .npy file: {error}") from error
    if dtype.hasobject:
        raise EvaluationError(f"{name} holds Python objects: save text or numbers")
    needed = math.prod(shape) * dtype.itemsize
    left = size - file.tell()
    if needed != left:
        raise EvaluationError(
            f"{name} declares an array of shape {shape} and type {dtype}, {needed:,} bytes, but "
            f"holds {left:,}: it is truncated or damaged"
        )
