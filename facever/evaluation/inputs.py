"""What is measured: embedding sets, plain arrays and mappings of columns, taken as one thing.

Everything behind this file works on an EmbeddingSet, whatever the caller gave: which rows are
meant, which columns they have, and what is known of the model that made the vectors.
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
"""What the functions of `facever.evaluate` measure. One of

- an EmbeddingSet;
- a mapping of columns: `vectors` [N, D], `identity` [N], and where they are known `norm` [N], the
  lengths before normalising, `acquired` [N], False where the image could not be embedded, and any
  other column such as `camera`;
- a pair (vectors [N, D], identities [N]).
"""

TEMPLATES = "templates"  # among the options of an embedding set whose rows are templates
_ORIGINAL = "original"  # as facever.data.shards calls it
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
) -> EmbeddingSet:
    """Return whatever is to be measured as an EmbeddingSet.

    Plain vectors that are to be compared by cosine and are not of unit length are divided by their
    lengths, with a warning. For the other similarities they stay as they are.

    Args:
        embeddings: See `Embeddings`; or vectors [N, D] with `identities`.
        identities: [N], whom each vector shows.
        similarity: How plain vectors are to be compared; "cosine" by default.
        fingerprint, dataset, trained_on: What the embeddings do not say themselves; see
            EmbeddingMeta and EmbeddingSet.

    Raises:
        EvaluationError: Not a matrix, lengths that differ, a missing identity, NaN, a vector
            without length, or something told that the EmbeddingSet contradicts.
    """
    if not isinstance(embeddings, EmbeddingSet):
        made = _made(_columns(embeddings, identities), similarity)
    elif identities is None:
        made = embeddings
        _require_identities(made)
        _check_finite(made.vectors, made.acquired)
    else:
        raise EvaluationError("an EmbeddingSet has its own identities: give none beside it")
    meta, known = made.meta, made.trained_on
    declared = "" if meta.fingerprint == UNDECLARED else meta.fingerprint
    for name, own, told in (
        ("fingerprint", declared, fingerprint),
        ("data set", meta.dataset, dataset),
    ):
        if own and told and own != told:
            raise EvaluationError(f"the embedding set says that its {name} is {own}, not {told}")
    if known is not None and trained_on is not None:
        raise EvaluationError("the embedding set knows its model's training: omit trained_on")
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
            raise EvaluationError("a mapping has a column 'identity': give no identities beside it")
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
    """Refuse vectors with NaN or infinity."""
    finite = np.isfinite(vectors.sum(axis=1)) | ~held
    if not finite.all():
        raise EvaluationError(
            f"vector {int(np.argmin(finite))} holds NaN or infinity "
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
    """Return vectors of unit length, and the lengths that they had (1 where they had that)."""
    norms = np.ones(len(vectors), np.float32)
    where = np.flatnonzero(held)
    wrong = first_not_unit(vectors if len(where) == len(vectors) else vectors[where])
    if wrong is None:
        return vectors, norms
    units, lengths = unit_rows(vectors[where])
    if not lengths.all():
        row = where[int(np.argmin(lengths))]
        raise EvaluationError(f"vector {row} is zero and has no direction: mark it in 'acquired'")
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
        EvaluationError: Not of that form, a column that does not exist, or no rows left.
    """
    return embeddings.select(where(embeddings, conditions)) if conditions else embeddings


def where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> Ints:
    """Return the numbers of the rows that meet conditions "column=value".

    Values of one column are alternatives; of several columns each must be met. Both sides are
    compared as text: 1, 1.0 and "1" are one value.

    Raises:
        EvaluationError: Not of that form, a column that does not exist, or no rows left.
    """
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise EvaluationError(f"'{condition}' is no condition of the form column=value")
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
    """Refuse a column that the rows do not have."""
    if column not in embeddings.rows:
        raise EvaluationError(unknown("column", column, embeddings.rows.columns))


def vectors_for(embeddings: EmbeddingSet, similarity: str) -> Floats:
    """Return the vectors, scaled back by their norms where the similarity is not cosine."""
    if similarity == "cosine":
        return embeddings.vectors
    norms: Floats = embeddings.rows["norm"].to_numpy(embeddings.vectors.dtype)
    return embeddings.vectors * norms[:, None]


def shared_codes(sides: Sequence[Names | npt.NDArray[np.object_]]) -> list[Ints]:
    """Number the names of two sides, equal names alike."""
    codes = pd.factorize(np.concatenate(sides))[0].astype(np.int64)
    return [codes[: len(sides[0])], codes[len(sides[0]) :]]


def cohort_of(
    embeddings: EmbeddingSet, judged: EmbeddingSet, method: str = "as", top: int | None = None
) -> Cohort:
    """Return an embedding set as a cohort by which the scores of another are normalised.

    Args:
        embeddings: Other people, by the same model; what could not be embedded is left out.
        judged: What is to be judged.
        method: "s" for S-norm, "as" for adaptive S-norm.
        top: Of adaptive S-norm; by default 200.

    Raises:
        EvaluationError: Sets of two models, an unknown method, a `top` with S-norm, and what
            `Cohort` raises.
    """
    if embeddings.meta.fingerprint != judged.meta.fingerprint:
        raise EvaluationError(
            f"the cohort is of another model ({embeddings.meta.fingerprint[:12]}) than the "
            f"embeddings ({judged.meta.fingerprint[:12]}): embed both with one"
        )
    if method not in ("s", "as"):
        raise EvaluationError(unknown("score normalisation", method, ("s", "as")))
    if method == "s" and top is not None:
        raise EvaluationError("S-norm takes the whole cohort: a top belongs to adaptive S-norm")
    held = embeddings.select(embeddings.acquired)
    chosen = (_COHORT_TOP if top is None else top) if method == "as" else None
    return Cohort.of(held.vectors, held.identities, norms=held.rows["norm"], top=chosen)


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


def images_of(*sides: EmbeddingSet) -> Images | None:
    """Return whether embedding sets are of photos or of crops; None where they do not say it."""
    said = {side.meta.acquisition.get("images") for side in sides}
    return next((name for name in IMAGES if said == {name}), None)


def others_measured(points: Sequence[OperatingPoint], judged: EmbeddingSet) -> list[str]:
    """Return a warning of operating points that were measured on crops and judge photos, or the
    reverse."""
    return [said for point in points[:1] if (said := point.other_images(judged.meta.acquisition))]


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
    known, wanted = comparable_column(embeddings.rows[column]), comparable_column(list(names))
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
