"""Scores of any system: a file with one score and one label per trial."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from facever.data.tables import read_table
from facever.errors import EvaluationError
from facever.evaluation.columns import people_column, text_column
from facever.evaluation.one_to_one.calibration import (
    CalibrationResult,
    JudgedTrials,
    calibrate_trials,
)
from facever.evaluation.one_to_one.measure import measure, wrong_way_round
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.verification import DEFAULT_FARS
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Ints
from facever.evaluation.scoring.trials import ListedTrials, check_fars
from facever.evaluation.statistics.roc import Roc

_TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


def evaluate_scores(
    path: str | Path,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    level: float = 0.95,
    distances: bool = False,
) -> VerificationResult:
    """Measure verification from a file of scores.

    Args:
        path: CSV, Parquet or npz with `score` (larger is more alike) and `label` (1 for one
            person, 0 for two), and `identity_a`, `identity_b` where known.
        far: The false accept rates at which TAR is wanted.
        level: Confidence of the intervals.
        distances: `score` holds distances (smaller is more alike). Scores and thresholds of the
            result are minus these.

    Raises:
        DataError: No such file, or not a table.
        EvaluationError: A column is missing or holds what it must not.
    """
    trials = read_scores(path, distances=distances)
    result = replace(
        measure(trials, check_fars(far), protocol="scores", similarity=None, level=level),
        distances=distances,
    )
    if trials.dyads is None:
        result.warnings.append(
            "the file names no identities (identity_a, identity_b): intervals take trials for "
            "independent and are too narrow where they share people"
        )
    return result


def calibrate_scores(
    path: str | Path,
    *,
    method: str = "logistic",
    prior: float | None = None,
    level: float = 0.95,
    distances: bool = False,
) -> CalibrationResult:
    """Fit and judge a calibration on a file of scores that names the people of each trial.

    Args:
        path: As for `evaluate_scores`, with `identity_a` and `identity_b`.
        method: "logistic" or "isotonic".
        prior: As for `calibrate`.
        level: Confidence of the intervals.
        distances: As for `evaluate_scores`.

    Raises:
        DataError: No such file, or not a table.
        EvaluationError: No identities, and what `evaluate_scores` and `calibrate` raise.
    """
    scores, same, people = _columns(Path(path), distances)
    auc = Roc(ListedTrials(scores, same)).auc().value  # refuses what are no trials
    turned = wrong_way_round(auc, foreign=True)
    if people is None:
        raise EvaluationError(
            f"{path} names no identities (identity_a, identity_b): a calibration is judged on "
            "other people than it is fitted on"
        )
    trials = JudgedTrials(scores, same, people)
    try:
        result = calibrate_trials(trials, method=method, prior=prior, level=level)
    except EvaluationError as error:
        raise error if turned is None else EvaluationError(f"{error} ({turned})") from error
    return replace(result, distances=distances, warnings=[] if turned is None else [turned])


def read_scores(path: str | Path, *, distances: bool = False) -> ListedTrials:
    """Read a file of scores; see `evaluate_scores`."""
    scores, same, people = _columns(Path(path), distances)
    return ListedTrials(scores, same, people=people)


def _columns(path: Path, distances: bool) -> tuple[Doubles, Bools, tuple[Ints, Ints] | None]:
    """Return scores (minus the distances where they are such), labels, and the people of each
    trial by number, where they are named."""
    frame = _read_npz(path) if path.suffix.lower() == ".npz" else read_table(path)
    missing = [column for column in ("score", "label") if column not in frame]
    if missing:
        raise EvaluationError(
            f"{path} has no column {' and '.join(missing)} (found: {', '.join(frame.columns)})"
        )
    if frame.empty:
        raise EvaluationError(f"{path} holds no trials")
    try:
        scores = frame["score"].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{path}: 'score' holds something that is no number") from error
    same = text_column(frame["label"]).str.lower().map(_TRUTH)
    if same.isna().any():
        wrong = frame["label"][same.isna()].iloc[0]
        raise EvaluationError(f"{path}: 'label' is '{wrong}'; it must be 1 (one person) or 0 (two)")
    truth = same.to_numpy(bool)
    return -scores if distances else scores, truth, _people(path, frame, truth)


def _people(path: Path, frame: pd.DataFrame, same: Bools) -> tuple[Ints, Ints] | None:
    """Return the people of each trial by number, or None where the file does not name them."""
    named = [column for column in ("identity_a", "identity_b") if column in frame]
    if not named:
        return None
    if len(named) == 1:
        raise EvaluationError(f"{path} has {named[0]} but not the other identity of each trial")
    both = pd.concat([people_column(frame[name]) for name in named], ignore_index=True)
    if both.isna().any():
        row = int(np.flatnonzero(both.isna())[0]) % len(frame)
        raise EvaluationError(f"{path}: an identity of trial {row} is missing")
    codes = pd.factorize(both)[0].astype(np.int64)
    a, b = codes[: len(frame)], codes[len(frame) :]
    wrong = np.flatnonzero((a == b) != same)
    if len(wrong):
        raise EvaluationError(
            f"{path}: the label of trial {wrong[0]} contradicts its identities "
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
        raise EvaluationError(f"{path} is not an npz of columns: {reason}") from error
