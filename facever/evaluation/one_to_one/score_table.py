"""Scores of any system: one score and one label per trial, in arrays or in a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.failures import ComparisonFailures, FailureRate
from facever.evaluation.one_to_one.calibration import (
    CalibrationResult,
    JudgedTrials,
    calibrate_trials,
)
from facever.evaluation.one_to_one.measure import measure, wrong_way_round
from facever.evaluation.one_to_one.score_matrix import listed_trials, matrix_trials
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.evaluation.score_files.cells import (
    check_failing,
    failed_comparisons,
    refuse_failures,
)
from facever.evaluation.score_files.forms import ACCEPTED, ScoreMatrix, TrialTable
from facever.evaluation.score_files.reading import Source, is_stored, read_scores
from facever.evaluation.scoring.given import LARGEST, lower_by
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Ints
from facever.evaluation.scoring.trials import ListedTrials, Trials, check_fars
from facever.evaluation.statistics.roc import Roc

_TRUE = ("1", "1.0", "true", "genuine", "match", "mated")
_FALSE = ("0", "0.0", "-1", "-1.0", "false", "impostor", "imposter", "nonmatch", "nonmated")
_TRUTH = dict.fromkeys(_TRUE, True) | dict.fromkeys((*_FALSE, "non-match", "non-mated"), False)


def scores(
    scores: Source,
    labels: ArrayLike | None = None,
    *,
    identities: ArrayLike | None = None,
    rows: ArrayLike | str | Path | None = None,
    columns: ArrayLike | str | Path | None = None,
    mask: ArrayLike | str | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    level: float = 0.95,
    distances: bool = False,
    failures: str = "refuse",
) -> VerificationResult:
    """Measure verification from the scores of any system.

    Args:
        scores: [T], larger is more similar; a matrix [Q, T] with `rows` and `columns`; a file of
            scores; or a genuine and an impostor file, or a folder with both. Files: a table (CSV,
            Parquet or npz) with `score`, `label`, and `identity_a`, `identity_b` if known; Bob's
            lines; a NIST (BEE) matrix; a .npy or .npz matrix.
        labels: [T], 1 or True for two images of one person, 0, -1 or False for two people, or the
            words genuine and impostor; by default from `identities`.
        identities: The two people of each trial, an array [T, 2] or two arrays [T]. Without them
            the intervals assume independent trials and are too narrow.
        rows, columns: The identities of the rows and columns of a matrix, [Q] and [T], or a file
            with them. Without `columns`, a square matrix compares its rows with each other.
        mask: The trials of a matrix, uint8 [Q, T]: 0x00 not compared, 0x7f impostor, 0xff genuine;
            or a file with it.
        far: False accept rates at which TAR is measured.
        level: Confidence level of the intervals.
        distances: Whether the scores are distances (smaller is more similar). The scores and
            thresholds of the result are then negated distances.
        failures: "nan" to count NaN as a failed comparison, which is rejected at any threshold:
            genuine ones are false non-matches. By default NaN is refused.

    Raises:
        DataError: The file does not exist or is not a table.
        EvaluationError: A column is missing or invalid, lengths differ, scores are not finite, the
            trials are of one class, or a file has no known form or is damaged.

    Example:
        >>> found = scores([0.9, 0.8, 0.3, 0.1], [1, 1, 0, 0], far=[0.5])
        >>> found.auc.value, found.at(0.5).tar
        (1.0, 1.0)
    """
    check_failing(failures)
    fars = check_fars(far)
    read = _read(scores, labels, identities, rows, columns, mask)
    trials: Trials
    if isinstance(read, ScoreMatrix):
        trials, counted = matrix_trials(read, fars, distances=distances, failures=failures)
        failed, lowest = failed_comparisons(counted), counted.low
        known, warnings = read.rows is not None, read.warnings
        distances = distances or read.distances
    else:
        values, same, people = _columns(read, distances)
        values, failed, lowest = _with_failures(values, same, read.name, failures)
        trials = ListedTrials(values, same, people=people)
        known, warnings = people is not None, []
    result = measure(trials, fars, protocol="scores", similarity=None, level=level)
    if not known:
        warnings = [*warnings, _unknown_people(read, labels is not None)]
    return replace(
        result,
        distances=distances,
        comparisons=None if failures == "refuse" else failed,
        worst_genuine=[one for one in result.worst_genuine if one[2] >= lowest],
        warnings=[*result.warnings, *warnings],
    )


def _unknown_people(read: TrialTable | ScoreMatrix, arrays: bool) -> str:
    whose = "the file names no identities (identity_a, identity_b)"
    if isinstance(read, ScoreMatrix):
        whose = "no identities of rows and columns are given (--rows, --columns)"
    elif arrays:
        whose = "no identities of the trials are given (identities=)"
    return f"{whose}: intervals assume independent trials and are too narrow if trials share people"


def calibrate_scores(
    scores: Source,
    labels: ArrayLike | None = None,
    *,
    identities: ArrayLike | None = None,
    rows: ArrayLike | str | Path | None = None,
    columns: ArrayLike | str | Path | None = None,
    mask: ArrayLike | str | Path | None = None,
    method: str = "logistic",
    prior: float | None = None,
    level: float = 0.95,
    distances: bool = False,
) -> CalibrationResult:
    """Fit and test a calibration on the scores of any system, with the people of each trial.

    Args:
        scores, labels, identities, rows, columns, mask, level, distances: As for `scores`;
            identities are required.
        method: "logistic" or "isotonic".
        prior: As for `calibrate`.

    Raises:
        DataError: The file does not exist or is not a table.
        EvaluationError: There are no identities; also the errors of `scores` and `calibrate`.
    """
    read = _read(scores, labels, identities, rows, columns, mask)
    if isinstance(read, ScoreMatrix):
        trials = listed_trials(read, distances=distances)
        distances = distances or read.distances
        auc = Roc(ListedTrials(trials.scores, trials.same)).auc().value
    else:
        values, same, people = _columns(read, distances)
        auc = Roc(ListedTrials(values, same)).auc().value  # raises if the trials are invalid
        if people is None:
            raise EvaluationError(
                f"{read.name} has no identities (columns identity_a, identity_b): a calibration is "
                "tested on other people than it is fitted on"
            )
        trials = JudgedTrials(values, same, people)
    turned = wrong_way_round(auc, foreign=True)
    try:
        result = calibrate_trials(trials, method=method, prior=prior, level=level)
    except EvaluationError as error:
        raise error if turned is None else EvaluationError(f"{error} ({turned})") from error
    return replace(result, distances=distances, warnings=[] if turned is None else [turned])


def _read(
    scores: Source,
    labels: ArrayLike | None,
    identities: ArrayLike | None,
    rows: ArrayLike | str | Path | None,
    columns: ArrayLike | str | Path | None,
    mask: ArrayLike | str | Path | None,
) -> TrialTable | ScoreMatrix:
    """Return files and matrices as they are read, and arrays as a table of trials."""
    if is_stored(scores) or np.ndim(cast(ArrayLike, scores)) == 2:
        if labels is not None or identities is not None:
            raise EvaluationError(
                "a file or matrix of scores has its own labels and identities: omit labels and "
                "identities"
            )
        return read_scores(scores, rows=rows, columns=columns, mask=mask)
    if not (rows is None and columns is None and mask is None):
        raise EvaluationError("rows, columns and mask are those of a matrix [Q, T]: omit them")
    return TrialTable(_table(cast(ArrayLike, scores), labels, identities), "the call")


def _table(
    scores: ArrayLike, labels: ArrayLike | None, identities: ArrayLike | None
) -> pd.DataFrame:
    """Return arrays as a table of `score`, `label` and identities."""
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
    return pd.DataFrame(columns)


def _with_failures(
    values: Doubles, same: Bools, name: str, failures: str
) -> tuple[Doubles, ComparisonFailures, float]:
    """Return scores in which failed comparisons are below all others, their counts, and the lowest
    score of the others."""
    failed, infinite = np.isnan(values), np.abs(values) > LARGEST
    if infinite.any():
        raise EvaluationError(
            f"{name}: {int(infinite.sum()):,} of {len(values):,} scores are not finite or above "
            f"{LARGEST:g}, the first is trial {int(infinite.argmax())}: use NaN for a failed "
            "comparison"
        )
    if not failed.any():
        none = ComparisonFailures(
            FailureRate(0, int(same.sum())), FailureRate(0, int((~same).sum()))
        )
        return values, none, -np.inf
    if failures == "refuse":
        where = f", the first is trial {int(failed.argmax())}"
        raise refuse_failures(int(failed.sum()), len(values), name, where)
    if failed.all():
        raise EvaluationError(f"{name}: no comparison has a score")
    known = values[~failed]
    low, high = float(known.min()), float(known.max())
    counts = ComparisonFailures(
        FailureRate(int((failed & same).sum()), int(same.sum())),
        FailureRate(int((failed & ~same).sum()), int((~same).sum())),
    )
    return np.where(failed, low - lower_by(low, high), values), counts, low


def _columns(table: TrialTable, distances: bool) -> tuple[Doubles, Bools, tuple[Ints, Ints] | None]:
    """Return scores (negated if they are distances), labels, and the people of each trial by
    number, if known."""
    frame, name = table.frame, table.name
    missing = [column for column in ("score", "label") if column not in frame]
    if missing:
        raise EvaluationError(
            f"{name} has no column {' and '.join(missing)} (found: {', '.join(frame.columns)}); "
            f"{ACCEPTED}"
        )
    if frame.empty:
        raise EvaluationError(f"{name} holds no trials")
    try:
        values = frame["score"].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{name}: 'score' has a value that is not a number") from error
    truth = truth_of(frame["label"], name)
    return -values if distances else values, truth, _people(name, frame, truth)


def truth_of(labels: "pd.Series[Any]", name: str) -> Bools:
    """Return the labels of trials as bool [T].

    Raises:
        EvaluationError: A label has none of the known forms, or forms are mixed.
    """
    text = comparable_column(labels).str.lower().str.strip()
    same = text.map(_TRUTH)
    if same.isna().any():
        wrong = labels[same.isna().to_numpy(bool)].iloc[0]
        raise EvaluationError(
            f"{name}: 'label' is '{wrong}'; it must be 1 (one person) or 0 or -1 (two), true or "
            "false, or genuine or impostor"
        )
    if {"0", "-1"} <= set(text.unique()):
        raise EvaluationError(
            f"{name}: 'label' is 0 and -1 in different trials: use one of them for two people"
        )
    return same.to_numpy(bool)


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
