"""What a file of scores holds: a table of trials, or a matrix of probes and references."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.evaluation.columns import Names

ACCEPTED = (
    "accepted: CSV, Parquet or npz with the columns score and label; Bob's lines of 4 columns "
    "(claimed_id real_id probe_name score), of 5 (claimed_id reference_id real_id probe_name "
    "score) or of 2 (label score); a genuine and an impostor file of scores, or a folder with "
    "both; a NIST (BEE) similarity matrix; a .npy or .npz matrix with identities of rows and "
    "columns"
)
"""The last part of a message that refuses a file."""

NOT_COMPARED, IMPOSTOR, GENUINE = 0x00, 0x7F, 0xFF
"""The values of a mask matrix."""

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TrialTable:
    """One trial per row.

    Attributes:
        frame: Columns `score` (NaN for a failed comparison), `label`, and where they are known
            `identity_a` (the reference's person), `identity_b` (the probe's person), `reference`
            and `probe` (names of both sides).
        name: Name of the source, for messages.
    """

    frame: pd.DataFrame
    name: str


@dataclass(frozen=True)
class ScoreMatrix:
    """The scores of each probe (row) with each reference (column), as in the file.

    Attributes:
        values: [Q, T] of any real type and byte order, often memory-mapped; NaN for a failed
            comparison.
        name: Name of the source, for messages.
        rows, columns: str [Q] and [T], the identity of each row and column; None if unknown.
        mask: uint8 [Q, T] of `NOT_COMPARED`, `IMPOSTOR` and `GENUINE`; None if every cell is a
            trial.
        one_set: Whether rows and columns are the same images: trials are the cells above the
            diagonal, and no probe is searched for in its own column; None if unknown.
        distances: Whether the file says that its scores are distances.
        warnings: Warnings for the reader of the result.
    """

    values: npt.NDArray[Any]
    name: str
    rows: Names | None = None
    columns: Names | None = None
    mask: Mask | None = None
    one_set: bool | None = None
    distances: bool = False
    warnings: list[str] = field(default_factory=list)
