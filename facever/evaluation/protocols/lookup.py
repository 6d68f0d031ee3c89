"""Rows of an embedding set by the names that lists give them."""

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd

from facever.errors import EvaluationError
from facever.evaluation.columns import text_column
from facever.evaluation.operating_point import OTHER, Kind
from facever.evaluation.policies import ALL, MEAN, QUALITY_MEAN
from facever.evaluation.scoring.similarity import Ints
from facever.vectors.embedding_set import EmbeddingSet

TEMPLATES = "templates"  # among the options of an embedding set whose rows are templates
_ORIGINAL = "original"  # as facever.data.shards calls it
_NONE, _SEVERAL = -1, -2


def kind_of(embeddings: EmbeddingSet) -> Kind:
    """Return what a comparison of two of its rows is: of two images, or of two templates."""
    return "1:1-template" if TEMPLATES in embeddings.meta.options else "1:1-image"


def templates_of(embeddings: EmbeddingSet) -> str:
    """Return the policy that made its rows: "all" for images, "other" where a gallery has none."""
    how = embeddings.meta.options.get(TEMPLATES)
    if how is None:
        return ALL
    if how["media"] is not None:
        return OTHER
    return {None: MEAN, "norm": QUALITY_MEAN}.get(how["quality"], OTHER)


def find_rows(embeddings: EmbeddingSet, names: Sequence[str], where: str) -> Ints:
    """Return the row of each image, or of each template where the rows are templates, int64 [P].

    Images are found by their path as it stands in the rows, or else by its last two parts without
    the suffix ("Ada/Ada_0001"), where these name one row only. For images out of shards the path is
    the one that they had before, in the column `original`.

    Raises:
        EvaluationError: The embedding set has no names, or no row, or several rows, for one.
    """
    templates = kind_of(embeddings) == "1:1-template"
    column = "template" if templates else "path"
    if column not in embeddings.rows:
        raise EvaluationError(
            f"the embedding set has no column '{column}' to find the pairs' images by"
        )
    if column == "path" and _ORIGINAL in embeddings.rows:
        column = _ORIGINAL
    known, wanted = text_column(embeddings.rows[column]), text_column(list(names))
    rows = _look_up(known, wanted)
    if not templates and (rows == _NONE).any():
        loose = _look_up(known.map(_short, na_action="ignore"), wanted.map(_short))
        rows = np.where(rows == _NONE, loose, rows)
    for problem, text in ((_NONE, "which has no row"), (_SEVERAL, "which has several rows")):
        wrong = wanted[rows == problem].unique()
        if len(wrong):
            noun = "templates" if templates else "images"
            more = f" (and {len(wrong) - 1} more such {noun})" if len(wrong) > 1 else ""
            raise EvaluationError(
                f"{where} names {wrong[0]}, {text} in the embedding set{more}: "
                "embed the whole data set"
            )
    return rows


def _look_up(known: "pd.Series[str]", wanted: "pd.Series[str]") -> Ints:
    """Return the position of each wanted name, _NONE or _SEVERAL."""
    first = pd.Series(np.arange(len(known)), index=known)
    twice = first.index.duplicated(keep=False)
    single = first[~twice]
    rows = wanted.map(single).fillna(_NONE).to_numpy(np.int64)
    return np.where(wanted.isin(first.index[twice]), _SEVERAL, rows)


def _short(path: str) -> str:
    """Return the last two parts of a path without the suffix."""
    pure = PurePath(path.replace("\\", "/"))
    return f"{pure.parent.name}/{pure.stem}"
