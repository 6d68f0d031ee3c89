"""Vectors of a file, made unit vectors and written block by block."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.embeddings.embedding_set import with_outcome
from facever.embeddings.unit import ROUNDING
from facever.errors import DataError

_NEAR_ONE = 1e-3  # relative: larger than rounding in half precision


class _Units(NamedTuple):
    vectors: NDArray[np.float32]
    lengths: NDArray[np.float32]
    marked: NDArray[np.bool_]


def write_vectors(
    target: Path,
    blocks: Iterable[NDArray[np.floating]],
    dimension: int,
    rows: pd.DataFrame,
    failures: str,
    source: Path,
) -> pd.DataFrame:
    """Write unit vectors to an .npy file, and return the rows with `norm` and `error`.

    Args:
        target: The file to write, float32 [N, D].
        blocks: Vectors [B, D] in order, N in all.
        dimension: D.
        rows: [N]. A column `error` names the failures, a column `norm` the lengths of unit vectors
            before their normalisation.
        failures: "refuse", or "nan" or "zero" for rows that are failures too.
        source: The file that is read, for errors.

    Raises:
        DataError: A vector is NaN, infinite or zero and not a failure, or all rows are failures.
    """
    size = len(rows)
    errors = np.full(size, None, dtype=object)
    if "error" in rows:
        errors[:] = rows["error"].where(rows["error"].notna(), None)
    norms = np.zeros(size, np.float32)
    header = {"descr": "<f4", "fortran_order": False, "shape": (size, dimension)}
    first = 0
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            part = slice(first, first + len(block))
            failed = pd.notna(errors[part])
            made = _units(block, failed, failures, f"{source}: vector", first)
            errors[first + np.flatnonzero(made.marked)] = f"{failures} in {source.name}"
            norms[part] = made.lengths
            if "norm" in rows:
                known = rows["norm"].to_numpy(np.float32)[part]
                norms[part] = _told(made, failed | made.marked, known, source, first)
            file.write(made.vectors.tobytes())
            first = part.stop
    if first != size:
        raise DataError(f"{source} has {first:,} of {size:,} vectors")
    if pd.notna(errors).all():
        raise DataError(f"{source}: all {size:,} rows are failures")
    return with_outcome(rows, norms, errors.tolist())


def _units(
    block: NDArray[np.floating], failed: NDArray[np.bool_], failures: str, name: str, first: int
) -> _Units:
    """Return unit rows; those of unit length already stay as they are, bit for bit."""
    exact = block.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(exact, axis=1)
        norms = lengths.astype(np.float32)
    marks = {"nan": np.isnan(exact).all(axis=1), "zero": ~exact.any(axis=1), "refuse": failed}
    marked = marks[failures] & ~failed
    bad = ~(np.isfinite(norms) & (norms > 0)) & ~failed & ~marked
    if bad.any():
        row = int(bad.argmax())
        what = "is zero" if norms[row] == 0 else "contains NaN, infinity or too large numbers"
        how = "zero" if norms[row] == 0 else "nan"
        raise DataError(
            f"{name} {first + row} {what} ({int(bad.sum())} such vectors in rows {first} to "
            f"{first + len(block) - 1}): remove it, or give --failures {how} (failures=) if such "
            "rows are images that could not be embedded"
        )
    none = failed | marked
    exact[none], norms[none], lengths[none] = 0, 0, 0
    scaled = np.abs(lengths - 1) > ROUNDING
    exact[scaled & ~none] /= lengths[scaled & ~none, None]
    return _Units(exact.astype(np.float32), norms, marked)


def _told(
    made: _Units,
    failed: NDArray[np.bool_],
    norms: NDArray[np.float32],
    source: Path,
    first: int,
) -> NDArray[np.float32]:
    """Return the lengths that a column `norm` says the vectors had, 0 for failures."""
    wrong = ~failed & ~((norms > 0) & np.isfinite(norms))
    if wrong.any():
        raise DataError(
            f"{source}: the norm of vector {first + int(wrong.argmax())} is not above 0"
        )
    units = np.abs(made.lengths - 1) <= _NEAR_ONE
    equal = np.abs(made.lengths - norms) <= _NEAR_ONE * norms
    wrong = ~failed & ~units & ~equal
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{source}: vector {first + row} has length {made.lengths[row]:.6g}, and its column "
            f"'norm' says {norms[row]:.6g}: remove the column"
        )
    return np.where(failed, 0, norms).astype(np.float32)
