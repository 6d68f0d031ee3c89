"""Templates of an embedding set: images pooled by a column, or by a list as for IJB."""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever.data.pairs import PairList
from facever.data.tables import check_table, is_table, read_table
from facever.data.template_pairs import is_template_pairs
from facever.embeddings.embedding_set import EmbeddingSet, with_outcome
from facever.errors import EvaluationError, unknown
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.inputs import TEMPLATES, find_rows, kind_of
from facever.evaluation.pooling import pool_templates
from facever.evaluation.scoring.similarity import Doubles

_MADE = ["images", "media", "failed_images"]


def template_set(
    embeddings: EmbeddingSet,
    templates: str | Path = "template",
    *,
    media: str | None = None,
    quality: str | None = None,
) -> EmbeddingSet:
    """Return an embedding set with one row for each template.

    Columns that are constant within every template are kept, with the new columns `template`,
    `images`, `media` and `failed_images` (counts). Templates are compared by cosine; operating
    points measured on them have kind "1:1-template". Images may lack an identity; their templates
    then have none.

    Args:
        embeddings: Images, including failed images.
        templates: The column with the template of each image (images without one are excluded);
            or a .csv or .parquet list with `template`, `path` (or `row`, from 0), and optionally
            `identity` and `media`; an image may occur in several templates.
        media: The column of the media, in the list or else in the rows; by default "media" if
            there is such a column, else every image is its own media.
        quality: The column of the images' weights, in the list or else in the rows ("norm": the
            length of the embedding before normalisation). Several columns, separated by commas,
            are multiplied ("norm,detection_score").

    Raises:
        EvaluationError: A column or image does not exist, an identity contradicts the rows, or only
            some images of a template have one; also the errors of `pool_templates`.
        DataError: The list cannot be read.
    """
    members = _members(embeddings, templates)
    rows = embeddings.rows.iloc[members["row"]].reset_index(drop=True)
    columns = {str(name): table[name] for table in (rows, members) for name in table}
    if media is None and "media" in columns:
        media = "media"
    factors = [] if quality is None else [quality] if quality in columns else quality.split(",")
    for column in (media, *factors):
        if column is not None and column not in columns:
            raise EvaluationError(unknown("column", column, columns))
    at = members["row"].to_numpy(np.int64)
    every = np.array_equal(at, np.arange(len(embeddings)))
    pooled = pool_templates(
        embeddings.vectors if every else embeddings.vectors[at],  # a copy can take gigabytes
        members["template"],
        _people(rows["identity"], members["template"]),
        media=None if media is None else columns[media],
        weights=prod([_numbers(columns[name], name) for name in factors]) if factors else None,
        acquired=embeddings.acquired[at],
    )
    made = pd.DataFrame(
        {
            "template": pooled.names,
            "identity": [name or None for name in pooled.identities.tolist()],
            **_constant(rows, members["template"]),
            "images": pooled.images,
            "media": pooled.media,
            "failed_images": pooled.failed,
        }
    )
    failed = [None if held else "no image of the template has a vector" for held in pooled.acquired]
    how: dict[str, Any] = {"by": str(templates), "media": media, "quality": quality}
    meta = replace(
        embeddings.meta, metric="cosine", options={**embeddings.meta.options, TEMPLATES: how}
    )
    return replace(
        embeddings,
        vectors=pooled.vectors,
        rows=with_outcome(made, pooled.lengths, failed),
        meta=meta,
    )


def templates_for(embeddings: EmbeddingSet, pairs: PairList | str | Path | None) -> EmbeddingSet:
    """Return the templates of images if a pair list is of templates, as IJB's; else the same set.

    Args:
        embeddings: Images, with a column `template`, or templates.
        pairs: A pair list or its file.

    Raises:
        EvaluationError: The images have no column `template`; also the errors of `template_set`.
    """
    listed = pairs.templates if isinstance(pairs, PairList) else False
    if isinstance(pairs, str | Path) and Path(pairs).is_file() and not is_table(pairs):
        listed = is_template_pairs(Path(pairs))
    return template_set(embeddings) if listed and kind_of(embeddings) == "1:1-image" else embeddings


def _people(identities: "pd.Series[Any]", templates: "pd.Series[str]") -> "pd.Series[str]":
    """Return the identity of each row, empty if unknown; raise if it is known of a part only."""
    people = people_column(identities)
    named = people.notna()
    if named.all():
        return people
    mixed = named.groupby(templates.to_numpy()).nunique() > 1
    if mixed.any():
        raise EvaluationError(
            f"template {mixed.idxmax()} has images with and without an identity: give the "
            "identity of all of its images"
        )
    return people.fillna("")


def _members(embeddings: EmbeddingSet, templates: str | Path) -> pd.DataFrame:
    """Return the rows of each template: columns row, template and those of a list."""
    path = Path(templates)
    if not is_table(path):
        if str(templates) not in embeddings.rows:
            raise EvaluationError(unknown("column", str(templates), embeddings.rows.columns))
        column = embeddings.rows[str(templates)]
        inside = np.flatnonzero(column.notna())
        if not len(inside):
            raise EvaluationError(f"column '{templates}' has no value in any row")
        return pd.DataFrame({"row": inside, "template": comparable_column(column.iloc[inside])})
    listed = read_table(path)
    by = "path" if "path" in listed else "row"
    listed = check_table(listed, ["template", by], str(path))
    listed["template"] = comparable_column(listed["template"])
    if by == "path":
        listed["row"] = find_rows(embeddings, listed["path"].tolist(), str(path))
    listed["row"] = _row_numbers(listed["row"], len(embeddings), path)
    if "identity" in listed:
        known = people_column(embeddings.identities)[listed["row"]].to_numpy()
        wrong = people_column(listed["identity"]).to_numpy() != known
        if wrong.any():
            at = int(wrong.argmax())
            raise EvaluationError(
                f"{path}: row {at + 1} has identity {listed['identity'].iloc[at]}, the embedding "
                "set "
                f"has {known[at]} ({int(wrong.sum())} such rows)"
            )
    twice = listed.duplicated(["template", "row"])
    if twice.any():
        raise EvaluationError(
            f"{path}: template {listed['template'][twice].iloc[0]} names an image twice "
            f"({int(twice.sum())} such rows)"
        )
    return listed


def _row_numbers(values: "pd.Series[Any]", size: int, path: Path) -> "pd.Series[int]":
    text = comparable_column(values)
    numbers = pd.to_numeric(text.where(text.str.fullmatch(r"[0-9]{1,18}") == True))  # noqa: E712
    if not numbers.between(0, size - 1).all():  # false for missing values too
        raise EvaluationError(f"{path}: 'row' must hold whole numbers from 0 to {size - 1}")
    return numbers.astype(np.int64)


def _numbers(values: "pd.Series[Any]", name: str) -> Doubles:
    try:
        return values.to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"column '{name}' has a value that is not a number") from error


def _constant(rows: pd.DataFrame, templates: "pd.Series[str]") -> dict[str, list[Any]]:
    """Return the columns that hold one value within each template, by template in order."""
    made = ["identity", "norm", "error", "template", *_MADE]
    groups = rows.drop(columns=made, errors="ignore").groupby(templates.to_numpy(), sort=True)
    counts, values = groups.nunique(dropna=False), groups.first()
    return {str(name): values[name].tolist() for name in counts if (counts[name] == 1).all()}
