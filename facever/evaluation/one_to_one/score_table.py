"""Scores of any system: one score and one label per trial, in arrays or in a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.data.tables import read_table
from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.one_to_one.calibration import (
    CalibrationResult,
    JudgedTrials,
    calibrate_trials,
)
from facever.evaluation.one_to_one.measure import measure, wrong_way_round
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Ints
from facever.evaluation.scoring.trials import ListedTrials, check_fars
from facever.evaluation.statistics.roc import Roc

_TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


def scores(
    scores: ArrayLike | str | Path,
    labels: ArrayLike | None = None,
    *,
    identities: ArrayLike | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    level: float = 0.95,
    distances: bool = False,
) -> VerificationResult:
    """Measure verification from the scores of any system.

    Args:
        scores: [T], larger is more similar; or a file (CSV, Parquet or npz) with `score`, `label`
            (1 for one person, 0 for two), and `identity_a`, `identity_b` if known.
        labels: [T], 1 or True for two images of one person; by default from `identities`.
        identities: The two people of each trial, an array [T, 2] or two arrays [T]. Without them
            the intervals assume independent trials and are too narrow.
        far: False accept rates at which TAR is measured.
        level: Confidence level of the intervals.
        distances: Whether the scores are distances (smaller is more similar). The scores and
            thresholds of the result are then negated distances.

    Raises:
        DataError: The file does not exist or is not a table.
        EvaluationError: A column is missing or invalid, lengths differ, scores are not finite, or
            the trials are of one class.

    Example:
        >>> found = scores([0.9, 0.8, 0.3, 0.1], [1, 1, 0, 0], far=[0.5])
        >>> found.auc.value, found.at(0.5).tar
        (1.0, 1.0)
    """
    values, same, people = _columns(*_table(scores, labels, identities), distances)
    trials = ListedTrials(values, same, people=people)
    result = replace(
        measure(trials, check_fars(far), protocol="scores", similarity=None, level=level),
        distances=distances,
    )
    if people is None:
        whose = "the file names no identities (identity_a, identity_b)"
        if labels is not None:
            whose = "no identities of the trials are given (identities=)"
        result.warnings.append(
            f"{whose}: intervals assume independent trials and are too narrow if trials share "
            "people"
        )
    return result


def calibrate_scores(
    scores: ArrayLike | str | Path,
    labels: ArrayLike | None = None,
    *,
    identities: ArrayLike | None = None,
    method: str = "logistic",
    prior: float | None = None,
    level: float = 0.95,
    distances: bool = False,
) -> CalibrationResult:
    """Fit and test a calibration on the scores of any system, with the people of each trial.

    Args:
        scores, labels, identities, level, distances: As for `scores`; identities are required.
        method: "logistic" or "isotonic".
        prior: As for `calibrate`.

    Raises:
        DataError: The file does not exist or is not a table.
        EvaluationError: There are no identities; also the errors of `scores` and `calibrate`.
    """
    frame, name = _table(scores, labels, identities)
    values, same, people = _columns(frame, name, distances)
    auc = Roc(ListedTrials(values, same)).auc().value  # raises if the trials are invalid
    turned = wrong_way_round(auc, foreign=True)
    if people is None:
        raise EvaluationError(
            f"{name} has no identities (columns identity_a, identity_b): a calibration is tested "
            "on "
            "other people than it is fitted on"
        )
    trials = JudgedTrials(values, same, people)
    try:
        result = calibrate_trials(trials, method=method, prior=prior, level=level)
    except EvaluationError as error:
        raise error if turned is None else EvaluationError(f"{error} ({turned})") from error
    return replace(result, distances=distances, warnings=[] if turned is None else [turned])


def _table(
    scores: ArrayLike | str | Path, labels: ArrayLike | None, identities: ArrayLike | None
) -> tuple[pd.DataFrame, str]:
    """Return the trials as a table of `score`, `label` and identities, and its name."""
    if isinstance(scores, str | Path):
        if labels is not None or identities is not None:
            raise EvaluationError("a file of scores has its own labels and identities: omit both")
        path = Path(scores)
        return _read_npz(path) if path.suffix.lower() == ".npz" else read_table(path), str(path)
    columns = {"score": np.asarray(scores)}
    if labels is not None:
        columns["label"] = np.asarray(labels)
    if identities is not None:
        sides = list(identities) if isinstance(identities, tuple) else np.asarray(identities).T
        if len(sides) != 2:
            raise EvaluationError("identities must be an array [T, 2] or two arrays [T]")
        columns["identity_a"], columns["identity_b"] = (np.asarray(side) for side in sides)
        if labels is None:
            one, two = (people_column(side) for side in sides)
            columns["label"] = (one == two).to_numpy(int)
    elif labels is None:
        raise EvaluationError("scores without labels: give labels [T] or identities [T, 2]")
    for name, values in columns.items():
        if values.shape != columns["score"].shape or values.ndim != 1:
            raise EvaluationError(
                f"'{name}' is of shape {values.shape} for scores of shape "
                f"{columns['score'].shape}: one value for each trial"
            )
    return pd.DataFrame(columns), "the call"


def _columns(
    frame: pd.DataFrame, name: str, distances: bool
) -> tuple[Doubles, Bools, tuple[Ints, Ints] | None]:
    """Return scores (negated if they are distances), labels, and the people of each trial by
    number, if known."""
    missing = [column for column in ("score", "label") if column not in frame]
    if missing:
        raise EvaluationError(
            f"{name} has no column {' and '.join(missing)} (found: {', '.join(frame.columns)})"
        )
    if frame.empty:
        raise EvaluationError(f"{name} holds no trials")
    try:
        values = frame["score"].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{name}: 'score' has a value that is not a number") from error
    same = comparable_column(frame["label"]).str.lower().map(_TRUTH)
    if same.isna().any():
        wrong = frame["label"][same.isna()].iloc[0]
        raise EvaluationError(f"{name}: 'label' is '{wrong}'; it must be 1 (one person) or 0 (two)")
    truth = same.to_numpy(bool)
    return -values if distances else values, truth, _people(name, frame, truth)


def _people(name: str, frame: pd.DataFrame, same: Bools) -> tuple[Ints, Ints] | None:
    """Return the people of each trial by number; None without identities."""
    named = [column for column in ("identity_a", "identity_b") if column in frame]
    if not named:
        return None
    if len(named) == 1:
        raise EvaluationError(
            f"{name} has the column {named[0]} but not the other one of identity_a, identity_b"
        )
    both = pd.concat([people_column(frame[side]) for side in named], ignore_index=True)
    if both.isna().any():
        row = int(np.flatnonzero(both.isna())[0]) % len(frame)
        raise EvaluationError(f"{name}: an identity of trial {row} is missing")
    codes = pd.factorize(both)[0].astype(np.int64)
    a, b = codes[: len(frame)], codes[len(frame) :]
    wrong = np.flatnonzero((a == b) != same)
    if len(wrong):
        raise EvaluationError(
            f"{name}: the label of trial {wrong[0]} contradicts its identities "
            f"({len(wrong)} such trials)"
        )
    return a, b


def _read_npz(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise EvaluationError(f"no scores at {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return pd.DataFrame({name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise EvaluationError(f"{path} is not an npz file of columns: {reason}") from error
