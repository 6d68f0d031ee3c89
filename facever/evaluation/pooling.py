"""Pooling of the vectors of several images of one person into a template, as for IJB."""

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints

_CHUNK = 1 << 13  # images pooled at a time
_VANISHING = 1e-6  # relative to the mean length; below, the vectors cancel


@dataclass(frozen=True)
class Templates:
    """Pooled vectors.

    Attributes:
        names: str [T], sorted.
        vectors: float32 [T, D], unit rows; zero for failed templates.
        identities: str [T].
        lengths: float32 [T], of the pooled vector before normalisation; 0 for failed templates.
        images, media: int64 [T], numbers of pooled images and media.
        failed: int64 [T], images that could not be embedded.
    """

    names: npt.NDArray[np.str_]
    vectors: Floats
    identities: npt.NDArray[np.str_]
    lengths: Floats
    images: Ints
    media: Ints
    failed: Ints

    @property
    def acquired(self) -> Bools:
        """Which templates have a vector, bool [T]."""
        return self.lengths > 0


def pool_templates(
    vectors: ArrayLike,
    templates: ArrayLike,
    identities: ArrayLike,
    *,
    media: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
) -> Templates:
    """Pool images into templates: mean within each media, mean over media, then normalisation.

    A media is a video or a still image; all frames of a video count as much as one still. Repeat an
    image for each template that it belongs to.

    Args:
        vectors: [N, D], unit rows.
        templates: [N], the template of each row.
        identities: [N], one per template.
        media: [N], the media of each row within its template; for None or a missing value, the
            image is its own media.
        weights: [N], 0 or more, the quality of each image. A media is the mean of weight x vector
            (not divided by its weights, so that media of low quality count less); this is our
            choice.
        acquired: Bool [N], False for images that could not be embedded. A template without images,
            or whose vectors cancel, is a failure to acquire.

    Raises:
        EvaluationError: Lengths differ, a template or identity is missing, a template has two
            identities, or a weight is negative or not finite.

    Example:
        >>> frames = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        >>> pool_templates(frames, ["t"] * 3, ["Ada"] * 3, media=[7, 7, 8]).vectors.tolist()
        [[0.7071067690849304, 0.7071067690849304]]
    """
    rows = np.asarray(vectors)
    if rows.ndim != 2:
        raise EvaluationError(f"vectors must be a matrix [N, D], not of shape {rows.shape}")
    size = len(rows)
    held = np.ones(size, bool) if acquired is None else np.asarray(acquired, bool)
    quality = np.ones(size) if weights is None else np.asarray(weights, np.float64)
    named, people = comparable_column(templates), people_column(identities)
    sources = pd.Series([None] * size) if media is None else comparable_column(media)
    given: dict[str, Sized] = {"templates": named, "identities": people, "media": sources}
    for name, column in {**given, "weights": quality, "acquired": held}.items():
        if len(column) != size:
            raise EvaluationError(f"{len(column)} {name} for {size} vectors")
    for name, values in (("template", named), ("identity", people)):
        if values.isna().any():
            raise EvaluationError(f"the {name} of row {int(values.isna().argmax())} is missing")
    wrong = ~((quality >= 0) & np.isfinite(quality)) & held
    if wrong.any():
        row = int(wrong.argmax())
        raise EvaluationError(f"the weight of row {row} is {quality[row]:g}: it must be 0 or more")
    code, names = pd.factorize(named, sort=True)
    counts, shares = _shares(code, sources, held, len(names))
    shares = shares * np.where(held, quality, 0)
    pooled = _sums(rows, code, shares, held, len(names))
    lengths = np.linalg.norm(pooled, axis=1)
    usual = np.bincount(code, weights=shares, minlength=len(names))
    lengths[lengths <= _VANISHING * usual] = 0
    units = pooled / np.where(lengths > 0, lengths, np.inf)[:, None]
    return Templates(
        names=np.asarray(names, str),
        vectors=units.astype(np.float32),
        identities=_one_identity(code, names, people),
        lengths=lengths.astype(np.float32),
        images=np.bincount(code[held], minlength=len(names)).astype(np.int64),
        media=counts,
        failed=np.bincount(code[~held], minlength=len(names)).astype(np.int64),
    )


def _shares(
    code: Ints, media: "pd.Series[Any]", held: Bools, templates: int
) -> tuple[Ints, Doubles]:
    """Return the media of each template, int64 [T], and each image's share of it, float64 [N]."""
    source = pd.factorize(media)[0].astype(np.int64)
    alone = source < 0
    source[alone] = source.max(initial=-1) + 1 + np.arange(alone.sum())
    group = pd.factorize(code * (source.max(initial=0) + 1) + source)[0]
    frames = np.bincount(group, weights=held)
    _, first = np.unique(np.where(held, group, -1), return_index=True)
    first = first[held[first]]
    counts = np.bincount(code[first], minlength=templates).astype(np.int64)
    shares = np.zeros(len(code))
    shares[held] = 1 / (frames[group[held]] * counts[code[held]])
    return counts, shares


def _sums(
    vectors: npt.NDArray[Any], code: Ints, weights: Doubles, held: Bools, templates: int
) -> Doubles:
    """Return the weighted sum of each template's vectors, float64 [T, D]."""
    sums = np.zeros((templates, vectors.shape[1]))
    order = np.argsort(code, kind="stable")
    order = order[held[order]]
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        present, first = np.unique(code[part], return_index=True)
        weighted = vectors[part].astype(np.float64) * weights[part, None]
        sums[present] += np.add.reduceat(weighted, first)
    return sums


def _one_identity(
    code: Ints, names: "pd.Index[str]", people: "pd.Series[str]"
) -> npt.NDArray[np.str_]:
    """Return the identity of each template; raise if a template has two."""
    first = np.unique(code, return_index=True)[1]
    values = people.to_numpy().astype(str)
    wrong = values != values[first][code]
    if wrong.any():
        row = int(wrong.argmax())
        raise EvaluationError(
            f"template {names[code[row]]} shows two identities, {values[first][code[row]]} and "
            f"{values[row]}: a template is of one person"
        )
    return values[first]
