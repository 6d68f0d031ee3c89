"""Pictures of the rows of an embedding set."""

import os
from collections.abc import Callable

from facever.embeddings.embedding_set import EmbeddingSet
from facever.faces.alignment import ARCFACE
from facever.render.blocks import Picture
from facever.report.thumbnails import Cut, portrait


def portraits(embeddings: EmbeddingSet, thumbnails: bool) -> Callable[[int], Picture]:
    """Return a function from a row to its picture, labelled with its identity.

    Args:
        embeddings: The set; without a column `path` there are no pictures.
        thumbnails: Whether to show pictures or names only.
    """
    rows = embeddings.rows

    def of(row: int) -> Picture:
        name = str(rows["identity"].iloc[row])
        shown = thumbnails and "path" in rows
        return portrait(image_of(embeddings, row), name, shown, cut_of(embeddings, row))

    return of


def image_of(embeddings: EmbeddingSet, row: int) -> str | None:
    """Return the image of a row; None if it is unknown."""
    path = _cell(embeddings, row, "path")
    # no Path: it may end in "#7", the place in a file of many images
    return None if path is None else os.path.join(embeddings.root or "", path)  # noqa: PTH118


def cut_of(embeddings: EmbeddingSet, row: int) -> Cut | None:
    """Return the face that was cut from the photo of a row; None if there is no photo."""
    box, landmarks = (_cell(embeddings, row, name) for name in ("box", "landmarks"))
    made = embeddings.meta.acquisition
    photo = _cell(embeddings, row, "photo")  # the rows are crops that facever data align wrote
    if photo is None and made.get("images") == "photos":
        photo = image_of(embeddings, row)
    if photo is None or box is None or landmarks is None:
        return None
    return Cut(photo, box, landmarks, made.get("template", ARCFACE))


def _cell(embeddings: EmbeddingSet, row: int, name: str) -> str | None:
    if name not in embeddings.rows:
        return None
    value = embeddings.rows[name].iloc[row]
    return value if isinstance(value, str) else None
