"""Inputs of evaluation: embedding sets, plain arrays and mappings of columns.

This file converts every input to an EmbeddingSet with its rows, columns and what is known of its
model. All other files of evaluation work on an EmbeddingSet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.core.console import warn
from facever.core.text import canonical
from facever.data.suffixes import READABLE
from facever.data.walking import suffix_of
from facever.embeddings.embedding_set import EmbeddingSet, with_outcome
from facever.embeddings.meta import UNDECLARED, EmbeddingMeta
from facever.embeddings.template_policies import ALL, MEAN, QUALITY_MEAN
from facever.embeddings.unit import first_not_unit, unit_rows
from facever.errors import DataError, EvaluationError, unknown
from facever.evaluation.columns import Names, comparable_column, people_column, required
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.similarity import Floats, Ints
from facever.operating_point import IMAGES, OTHER, Images, Kind, OperatingPoint

Embeddings = EmbeddingSet | Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]
"""Embeddings for the functions of `facever.evaluate`. One of

- an EmbeddingSet;
- a mapping of columns: `vectors` [N, D], `identity` [N], and optionally `norm` [N], the lengths
  before normalisation, `acquired` [N], False for images that could not be embedded, and any other
  column such as `camera`;
- a pair (vectors [N, D], identities [N]).
"""

TEMPLATES = "templates"  # option of an embedding set whose rows are templates
_ORIGINAL = "original"  # name in facever.data.shards
_NONE, _SEVERAL = -1, -2
_COHORT_TOP = 200


def as_set(
    embeddings: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    similarity: str | None = None,
    fingerprint: str | None = None,
    dataset: str = "",
    trained_on: pd.DataFrame | None = None,
    unnamed: bool = False,
) -> EmbeddingSet:
    """Return embeddings in any accepted form as an EmbeddingSet.

    For cosine similarity, plain vectors that are not of unit length are divided by their lengths,
    with a warning. For other similarities they are unchanged.

    Args:
        embeddings: See `Embeddings`; or vectors [N, D] with `identities`.
        identities: [N], the identity of each vector.
        similarity: Similarity for plain vectors; "cosine" by default.
        fingerprint, dataset, trained_on: Values that the embeddings do not record; see
            EmbeddingMeta and EmbeddingSet.
        unnamed: Whether rows of an EmbeddingSet may lack an identity, as for labelled pairs.

    Raises:
        EvaluationError: The vectors are not a matrix, lengths differ, an identity is missing, a
            vector has NaN or zero length, or an argument contradicts the EmbeddingSet.
    """
    if not isinstance(embeddings, EmbeddingSet):
        made = _made(_columns(embeddings, identities), similarity)
    elif identities is None:
        made = embeddings
        if not unnamed:
            _require_identities(made)
        _check_finite(made.vectors, made.acquired)
    else:
        raise EvaluationError("an EmbeddingSet has its own identities: omit identities")
    meta, known = made.meta, made.trained_on
    declared = "" if meta.fingerprint == UNDECLARED else meta.fingerprint
    for name, own, told in (
        ("fingerprint", declared, fingerprint),
        ("data set", meta.dataset, dataset),
    ):
        if own and told and own != told:
            raise EvaluationError(f"the {name} of the embedding set is {own}, not {told}")
    if known is not None and trained_on is not None:
        raise EvaluationError(
            "the embedding set records the training data of its model: omit trained_on"
        )
    told_meta = replace(
        meta, fingerprint=fingerprint or meta.fingerprint, dataset=dataset or meta.dataset
    )
    return replace(made, meta=told_meta, trained_on=trained_on if known is None else known)


def _require_identities(embeddings: EmbeddingSet) -> None:
    try:
        embeddings.require_identities()
    except DataError as error:
        raise EvaluationError(str(error)) from error


def _columns(
    embeddings: Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike] | ArrayLike,
    identities: ArrayLike | None,
) -> dict[str, Any]:
    """Return plain arrays as columns by name."""
    if isinstance(embeddings, Mapping):
        if identities is not None:
            raise EvaluationError("a mapping has a column 'identity': omit identities")
        for name in ("vectors", "identity"):
            if name not in embeddings:
                raise EvaluationError(
                    f"the mapping has no column '{name}' (found: {', '.join(map(str, embeddings))})"
                )
        return dict(embeddings)
    if identities is not None:
        return {"vectors": embeddings, "identity": identities}
    if isinstance(embeddings, tuple) and len(embeddings) == 2:
        return {"vectors": embeddings[0], "identity": embeddings[1]}
    raise EvaluationError(
        "vectors without identities: give (vectors, identities), a mapping of columns with "
        "'vectors' and 'identity', or an EmbeddingSet"
    )


def _made(columns: dict[str, Any], similarity: str | None) -> EmbeddingSet:
    """Return plain columns as an embedding set."""
    vectors = _matrix(columns.pop("vectors"))
    size = len(vectors)
    rows = {"identity": required(comparable_column(columns.pop("identity")), size, "identities")}
    for name, values in columns.items():
        rows[name] = np.asarray(pd.Series(values if isinstance(values, list) else np.ravel(values)))
        if len(rows[name]) != size:
            raise EvaluationError(f"{len(rows[name])} {name} for {size} vectors")
    held = np.asarray(rows.pop("acquired", np.ones(size)), bool)
    norms = rows.pop("norm", None)
    _check_finite(vectors, held)
    if similarity in (None, "cosine"):
        vectors, lengths = _of_unit_length(vectors, held)
    else:
        lengths = np.ones(size, np.float32)
    meta = EmbeddingMeta(UNDECLARED, vectors.shape[1], similarity or "cosine")
    return EmbeddingSet(
        vectors,
        with_outcome(
            pd.DataFrame(rows),
            lengths if norms is None else np.asarray(norms, np.float32),
            [None if one else "not acquired" for one in held],
        ),
        meta,
    )


def _check_finite(vectors: Floats, held: npt.NDArray[np.bool_]) -> None:
    """Raise for vectors with NaN or infinity."""
    finite = np.isfinite(vectors.sum(axis=1)) | ~held
    if not finite.all():
        raise EvaluationError(
            f"vector {int(np.argmin(finite))} contains NaN or infinity "
            f"({int((~finite).sum())} such vectors): mark failed images in the column 'acquired'"
        )


def _matrix(vectors: ArrayLike) -> Floats:
    try:
        rows = np.asarray(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"vectors must be a matrix of numbers [N, D]: {error}") from error
    if rows.ndim != 2 or not rows.shape[1]:
        raise EvaluationError(f"vectors must be a matrix [N, D], not of shape {rows.shape}")
    return rows


def _of_unit_length(vectors: Floats, held: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return vectors of unit length, and their former lengths (1 for unit vectors)."""
    norms = np.ones(len(vectors), np.float32)
    where = np.flatnonzero(held)
    wrong = first_not_unit(vectors if len(where) == len(vectors) else vectors[where])
    if wrong is None:
        return vectors, norms
    units, lengths = unit_rows(vectors[where])
    if not lengths.all():
        row = where[int(np.argmin(lengths))]
        raise EvaluationError(
            f"vector {row} has zero length: mark it as failed in the column 'acquired'"
        )
    warn(
        f"vectors are not of unit length (vector {where[wrong]} has length {lengths[wrong]:.4g}): "
        "each is divided by its length"
    )
    made = np.zeros_like(vectors)
    made[where], norms[where] = units, lengths
    return made, norms


def rows_where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> EmbeddingSet:
    """Return the rows that meet the conditions; see `where`.

    Raises:
        EvaluationError: A condition is malformed, a column does not exist, or no row is left.
    """
    return embeddings.select(where(embeddings, conditions)) if conditions else embeddings


def where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> Ints:
    """Return the numbers of the rows that meet conditions "column=value".

    Values of one column are alternatives; conditions on several columns must all be met. Values are
    compared as text: 1, 1.0 and "1" are equal.

    Raises:
        EvaluationError: A condition is malformed, a column does not exist, or no row is left.
    """
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise EvaluationError(f"'{condition}' is not a condition of the form column=value")
        wanted.setdefault(column, []).append(canonical(value) if column == "identity" else value)
    kept = np.arange(len(embeddings))
    for column, named in wanted.items():
        check_column(embeddings, column)
        made = people_column if column == "identity" else comparable_column
        values = made(embeddings.rows[column]).iloc[kept]
        there = set(values.dropna())
        for value in named:
            if value not in there:
                raise EvaluationError(unknown(f"{column} in the rows", value, there))
        kept = kept[values.isin(named).to_numpy()]
    return kept


def check_column(embeddings: EmbeddingSet, column: str) -> None:
    """Raise for a column that the rows do not have."""
    if column not in embeddings.rows:
        raise EvaluationError(unknown("column", column, embeddings.rows.columns))


def vectors_for(embeddings: EmbeddingSet, similarity: str) -> Floats:
    """Return the vectors, multiplied by their norms if the similarity is not cosine."""
    if similarity == "cosine":
        return embeddings.vectors
    norms: Floats = embeddings.rows["norm"].to_numpy(embeddings.vectors.dtype)
    return embeddings.vectors * norms[:, None]


def shared_codes(sides: Sequence[Names | npt.NDArray[np.object_]]) -> list[Ints]:
    """Return integer codes for the names of two sides; equal names have equal codes."""
    codes = pd.factorize(np.concatenate(sides))[0].astype(np.int64)
    return [codes[: len(sides[0])], codes[len(sides[0]) :]]


def cohort_of(
    embeddings: EmbeddingSet, judged: EmbeddingSet, method: str = "as", top: int | None = None
) -> Cohort:
    """Return an embedding set as a cohort for score normalisation.

    Args:
        embeddings: Other people, by the same model; failed images are excluded.
        judged: The evaluated embeddings.
        method: "s" for S-norm, "as" for adaptive S-norm.
        top: Number of highest scores for adaptive S-norm; by default 200.

    Raises:
        EvaluationError: The sets are of different models, the method is unknown, or `top` is given
            for S-norm; also the errors of `Cohort`.
    """
    if embeddings.meta.fingerprint != judged.meta.fingerprint:
        raise EvaluationError(
            f"the cohort is of another model ({embeddings.meta.fingerprint[:12]}) than the "
            f"embeddings ({judged.meta.fingerprint[:12]}): embed both with one model"
        )
    if method not in ("s", "as"):
        raise EvaluationError(unknown("score normalisation", method, ("s", "as")))
    if method == "s" and top is not None:
        raise EvaluationError("S-norm uses the whole cohort: omit top, or use adaptive S-norm (as)")
    held = embeddings.select(embeddings.acquired)
    chosen = (_COHORT_TOP if top is None else top) if method == "as" else None
    return Cohort.of(held.vectors, held.identities, norms=held.rows["norm"], top=chosen)


def kind_of(embeddings: EmbeddingSet) -> Kind:
    """Return the kind of comparison of two rows: of two images, or of two templates."""
    return "1:1-template" if TEMPLATES in embeddings.meta.options else "1:1-image"


def templates_of(embeddings: EmbeddingSet) -> str:
    """Return the template policy of the rows: "all" for images, "other" for other templates."""
    how = embeddings.meta.options.get(TEMPLATES)
    if how is None:
        return ALL
    if how["media"] is not None:
        return OTHER
    return {None: MEAN, "norm": QUALITY_MEAN}.get(how["quality"], OTHER)


def images_of(*sides: EmbeddingSet) -> Images | None:
    """Return whether embedding sets are of photos or of crops; None if unknown."""
    said = {side.meta.acquisition.get("images") for side in sides}
    return next((name for name in IMAGES if said == {name}), None)


def others_measured(points: Sequence[OperatingPoint], judged: EmbeddingSet) -> list[str]:
    """Return a warning if operating points were measured on crops and are used on photos, or the
    reverse."""
    return [said for point in points[:1] if (said := point.other_images(judged.meta.acquisition))]


def find_rows(embeddings: EmbeddingSet, names: Sequence[str], where: str) -> Ints:
    """Return the row of each image (or of each template, if the rows are templates), int64 [P].

    Images are found by their path in the rows, else by its last two parts without the suffix
    ("Ada/Ada_0001"), if these match one row only; a name without a folder by the last part. For
    images from shards the path is the original
    path, in the column `original`.

    Raises:
        EvaluationError: The embedding set has no names, or a name has no row or several rows.
    """
    templates = kind_of(embeddings) == "1:1-template"
    column = "template" if templates else "path"
    if column not in embeddings.rows:
        raise EvaluationError(
            f"the embedding set has no column '{column}', which the pair list refers to"
        )
    if column == "path" and _ORIGINAL in embeddings.rows:
        column = _ORIGINAL
    known, wanted = comparable_column(embeddings.rows[column]), comparable_column(list(names))
    rows = _look_up(known, wanted)
    if not templates and (rows == _NONE).any():
        loose = _look_up(known.map(_short, na_action="ignore"), wanted.map(_short))
        rows = np.where(rows == _NONE, loose, rows)
    bare = (rows == _NONE) & ~wanted.str.contains(r"[/\\]").to_numpy(bool)
    if not templates and bare.any():
        stems = _look_up(known.map(_stem, na_action="ignore"), wanted.map(_stem))
        rows = np.where(bare, stems, rows)
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


def _stem(path: str) -> str:
    """Return the last part of a path without the suffix of an image."""
    name = path.replace("\\", "/").rpartition("/")[2]
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix in READABLE else name
