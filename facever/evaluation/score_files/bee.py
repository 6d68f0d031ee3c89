"""Similarity and mask matrices of NIST's Biometric Experimentation Environment (BEE), `.mtx`.

A text header of four lines, then the cells row by row:

    S2                      S: similarities, D: distances, M: a mask; version 2
    TARGET_SIGSET           name of the list of columns
    QUERY_SIGSET            name of the list of rows
    MF ROWS COLUMNS MAGIC   MF: float32, MB: bytes; MAGIC: the four bytes of 0x12345678

The order of MAGIC's bytes is that of the floats. A mask has 0x00 (not compared), 0x7f (impostor)
and 0xff (genuine).

Reference:
    The public readers of OpenBR (`openbr/core/bee.cpp`, masks in `bee.h`) and PyVision
    (`pyvision/analysis/bee.py`).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.core.files import open_regular
from facever.errors import EvaluationError

START = re.compile(rb"[SDM]2\r?\n")
_HEADER = re.compile(
    rb"([SDM])2\r?\n([^\r\n]*)\r?\n([^\r\n]*)\r?\nM([A-Z]) +(\d{1,12}) +(\d{1,12}) +(.{4})\r?\n",
    re.DOTALL,
)
_MOST = 1 << 16  # bytes of a header
_ORDERS = {b"\x78\x56\x34\x12": "<", b"\x12\x34\x56\x78": ">"}


@dataclass(frozen=True)
class BeeMatrix:
    """A matrix in a file.

    Attributes:
        values: [rows, columns], memory-mapped: float32 of scores, or uint8 of a mask.
        targets, queries: Names of the sigsets of the columns and of the rows.
        is_mask: Whether it is a mask.
        distances: Whether the scores are distances.
    """

    values: npt.NDArray[Any]
    targets: str
    queries: str
    is_mask: bool
    distances: bool

    def sigset(self, folder: Path, queries: bool) -> Path | None:
        """Return the file of a sigset if it lies in a folder, by the name in the header."""
        name = PurePosixPath((self.queries if queries else self.targets).replace("\\", "/")).name
        path = folder / name
        return path if name and path.is_file() else None


def read_bee(path: Path) -> BeeMatrix:
    """Map a BEE matrix into memory.

    Raises:
        EvaluationError: The header is damaged, or the size of the file is not that of the matrix.
        OSError: The file cannot be opened.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        found = _HEADER.match(file.read(_MOST))
    if found is None:
        raise EvaluationError(
            f"{path} begins as a BEE matrix, but its header is damaged: it must have the lines "
            "'S2', 'D2' or 'M2', the target sigset, the query sigset, and 'MF ROWS COLUMNS MAGIC' "
            "(MB for a mask)"
        )
    kind, targets, queries, cells, rows, columns, magic = found.groups()
    if cells not in (b"F", b"B") or magic not in _ORDERS:
        raise EvaluationError(
            f"{path}: a BEE matrix of type 'M{cells.decode()}' with the magic number "
            f"0x{magic.hex()}; it must be MF (float32) or MB (bytes), with 0x12345678 in either "
            "byte order"
        )
    shape, dtype = (int(rows), int(columns)), f"{_ORDERS[magic]}f4" if cells == b"F" else "u1"
    if not all(shape):
        raise EvaluationError(f"{path} is empty: {shape[0]} rows, {shape[1]} columns")
    needed, left = shape[0] * shape[1] * np.dtype(dtype).itemsize, size - found.end()
    if needed != left:
        raise EvaluationError(
            f"{path} declares {shape[0]:,} rows and {shape[1]:,} columns, {needed:,} bytes, but "
            f"holds {left:,}: it is truncated or damaged"
        )
    return BeeMatrix(
        np.memmap(path, dtype, "r", found.end(), shape),
        targets.decode(errors="replace").strip(),
        queries.decode(errors="replace").strip(),
        is_mask=cells == b"B",
        distances=kind == b"D",
    )
