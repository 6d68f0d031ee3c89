"""Genuine and impostor scores in two files: pyeer's pair, and the split form of Bob.

Reference:
    The documentation of pyeer, "Input file formats": one score per line, in the last column. Its
    histogram format (counts by score) cannot be told from scores and is not read.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from facever.core.files import open_regular
from facever.data.tables import shortened
from facever.errors import EvaluationError
from facever.evaluation.score_files.bob import LABELLED, named, require_class
from facever.evaluation.score_files.forms import ACCEPTED
from facever.evaluation.score_files.lines import read_lines

_GENUINE = {"genuine", "genuines", "gen", "positive", "positives", "pos", "mated", "match"}
_IMPOSTOR = {"impostor", "impostors", "imposter", "imposters", "imp", "negative", "negatives"}
_GENUINE |= {"true", "clients", "matches"}
_IMPOSTOR |= {"neg", "nonmated", "nonmatch", "nonmatches", "false"}
_NON = re.compile(r"non[-_ ](?=mate|match)")
_BINARY = (b"\x93NUMPY", b"PK\x03\x04", b"PAR1")


def class_of(path: Path) -> bool | None:
    """Return True for a name of genuine scores, False of impostor scores, None otherwise.

    A name says it by one of its words, such as "genuine", "positives", "impostor", "negatives".
    """
    words = set(re.split(r"[^a-z]+", _NON.sub("non", path.stem.lower())))
    genuine, impostor = bool(words & _GENUINE), bool(words & _IMPOSTOR)
    return genuine if genuine != impostor else None


def pair_of_folder(folder: Path) -> tuple[Path, Path]:
    """Return the genuine and the impostor file of a folder.

    Raises:
        EvaluationError: There is not exactly one file of each class by its name.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = [[path for path in files if class_of(path) is said] for said in (True, False)]
    if [len(some) for some in found] != [1, 1]:
        raise EvaluationError(
            f"{folder} has {len(found[0])} files with genuine or positives in their names and "
            f"{len(found[1])} with impostor or negatives (files: "
            f"{shortened(path.name for path in files) or 'none'}): it must have one of each; "
            f"{ACCEPTED}"
        )
    return found[0][0], found[1][0]


def in_order(pair: Sequence[Path]) -> tuple[Path, Path]:
    """Return the genuine and the impostor file: by their names, else in the given order.

    Raises:
        EvaluationError: Both names are of one class.
    """
    first, second = pair
    said = class_of(first), class_of(second)
    if said[0] is not None and said[0] == said[1]:
        kind = "genuine" if said[0] else "impostor"
        raise EvaluationError(
            f"{first.name} and {second.name} are both named as {kind} scores: give one genuine and "
            "one impostor file"
        )
    return (second, first) if said[0] is False or said[1] is True else (first, second)


def read_pair(genuine: Path, impostor: Path) -> pd.DataFrame:
    """Read a file of genuine and a file of impostor scores as one table of trials.

    Files of 4 or 5 columns are Bob's and name the people. Otherwise the last column is the score,
    and all others are ignored.

    Raises:
        EvaluationError: A line of 4 or 5 columns is of the other class; also the errors of
            `read_lines`.
    """
    parts = []
    for path, same in ((genuine, True), (impostor, False)):
        with open_regular(path) as file:
            if file.read(6).startswith(_BINARY):
                raise EvaluationError(
                    f"{path} is binary: a genuine and an impostor file are text, one score per line"
                )
        frame = read_lines(path)
        if len(frame.columns) in LABELLED and len(frame.columns) > 2:
            frame = named(frame)
            require_class(frame, same, path)
        else:
            frame = pd.DataFrame({"score": frame[frame.columns[-1]]})
            frame["label"] = np.int64(same)
        parts.append(frame)
    if set(parts[0].columns) != set(parts[1].columns):
        parts = [frame[["score", "label"]] for frame in parts]
    return pd.concat(parts, ignore_index=True)
