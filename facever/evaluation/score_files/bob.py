"""Bob's score files: lines of claimed and real identities, or of a label and a score.

Reference:
    Bob, https://www.idiap.ch/software/bob: `bob.bio.base.score.load` (4 and 5 columns) and
    `bob.measure.load` (2 columns), documentation of both packages.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from facever.errors import EvaluationError
from facever.evaluation.columns import people_column
from facever.evaluation.score_files.lines import read_lines

LABELLED = {
    2: ("label", "score"),
    4: ("identity_a", "identity_b", "probe", "score"),
    5: ("identity_a", "reference", "identity_b", "probe", "score"),
}
"""The columns by their number. `identity_a` is claimed, `identity_b` is the probe's person."""


def read_bob(path: Path) -> pd.DataFrame:
    """Read a score file of 2 (label score), 4 or 5 columns, as a table of trials.

    A trial is genuine if the claimed identity is the real one. With 4 columns, the claimed
    identity is also the name of the reference.

    Raises:
        EvaluationError: The errors of `read_lines`.
    """
    frame = read_lines(path, tuple(LABELLED))
    return named(frame) if len(frame.columns) > 2 else frame.set_axis(LABELLED[2], axis=1)


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return lines of 4 or 5 columns as a table of trials, with labels from the identities."""
    made = frame.set_axis(LABELLED[len(frame.columns)], axis=1)
    same = people_column(made["identity_a"]) == people_column(made["identity_b"])
    made["label"] = same.to_numpy(np.int64)
    return made if "reference" in made else made.assign(reference=made["identity_a"])


def require_class(frame: pd.DataFrame, genuine: bool, path: Path) -> None:
    """Raise if a trial of `named` is of the other class than its file.

    Raises:
        EvaluationError: The message has the first such line.
    """
    wrong = np.flatnonzero(frame["label"].to_numpy(bool) != genuine)
    if len(wrong):
        one = frame.iloc[int(wrong[0])]
        said = "genuine" if genuine else "impostor"
        raise EvaluationError(
            f"{path}: trial {wrong[0] + 1} has claimed identity '{one['identity_a']}' and real "
            f"identity '{one['identity_b']}', but the file is of {said} scores ({len(wrong)} such "
            "trials): exchange the files, or keep only the column of scores"
        )
