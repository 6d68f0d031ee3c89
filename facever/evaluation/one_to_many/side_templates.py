"""Templates of retrieval: the images of a track are one query or one candidate.

Images are pooled after queries and gallery are chosen: a track with images on both sides becomes
two templates without a common image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError, unknown
from facever.evaluation.columns import comparable_column
from facever.evaluation.inputs import check_column
from facever.evaluation.protocols.templates import template_set
from facever.evaluation.scoring.similarity import Ints
from facever.render.values import Record

SIDES = ("queries", "gallery")


@dataclass(frozen=True)
class SideTemplates(Record):
    """How the images of a side are pooled into templates.

    Args:
        column: The column with the template (such as the track) of each image; images without one
            are excluded.
        media: The column of the media within a template; see `template_set`.
        quality: The column of the images' weights; see `template_set`.
        sides: Which sides are pooled: "both", "queries" or "gallery" (image to track).

    Raises:
        EvaluationError: `sides` is another word.
    """

    column: str
    media: str | None = None
    quality: str | None = None
    sides: str = "both"

    def __post_init__(self) -> None:
        if self.sides not in ("both", *SIDES):
            raise EvaluationError(unknown("sides of templates", self.sides, ("both", *SIDES)))

    def pools(self, side: str) -> bool:
        """Return whether a side, "queries" or "gallery", is pooled."""
        return self.sides in ("both", side)


@dataclass(frozen=True)
class Pooled(Record):
    """How many images became how many templates.

    Attributes:
        images: Images with a template.
        templates: Templates.
        without: Images without a template, which are excluded.
    """

    images: int
    templates: int
    without: int

    def __str__(self) -> str:
        excluded = f", {self.without:,} images without a template excluded" if self.without else ""
        return f"{self.images:,} images in {self.templates:,} templates{excluded}"


@dataclass(frozen=True)
class TemplateCounts(Record):
    """The counts of both sides.

    Attributes:
        queries: Those of the queries; None if their images were not pooled.
        gallery: Those of the gallery; None if its images were not pooled.
    """

    queries: Pooled | None
    gallery: Pooled | None


def pooled(
    embeddings: EmbeddingSet, rows: Ints, how: SideTemplates, single: Sequence[str]
) -> tuple[EmbeddingSet, Ints, Pooled]:
    """Pool chosen rows into templates.

    Args:
        embeddings: Images.
        rows: [M], the chosen rows.
        how: How.
        single: Columns that must have one value in each template, such as the camera.

    Returns:
        The templates [T]; int64 [T], for each the row of its first image; and the counts.

    Raises:
        EvaluationError: No row has a template, or a template has several values in a column of
            `single`; also the errors of `template_set`.
    """
    check_column(embeddings, how.column)
    chosen = embeddings.select(rows)
    names = comparable_column(chosen.rows[how.column])
    for column in single:
        check_column(chosen, column)
        values = comparable_column(chosen.rows[column]).groupby(names)
        mixed = values.nunique(dropna=False) > 1
        if mixed.any():
            raise EvaluationError(
                f"template {mixed.idxmax()} has images with different values of '{column}': pool "
                f"by a column with one {column} in each template, or omit the {column}"
            )
    templates = template_set(chosen, how.column, media=how.media, quality=how.quality)
    named = np.flatnonzero(names.notna())
    _, first = np.unique(names.iloc[named].to_numpy().astype(str), return_index=True)
    counts = Pooled(len(named), len(templates), len(rows) - len(named))
    return templates, rows[named[first]], counts
