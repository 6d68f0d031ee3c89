"""Pictures of the rows of an embedding set."""

import os
from collections.abc import Callable

from facever.embeddings.embedding_set import EmbeddingSet
from facever.render.blocks import Picture
from facever.report.thumbnails import portrait


def portraits(embeddings: EmbeddingSet, thumbnails: bool) -> Callable[[int], Picture]:
    """Return what gives the picture of a row, with the name that it goes under.

    Args:
        embeddings: The set; without a column `path` no picture is looked for.
        thumbnails: Whether pictures are shown, not only named.
    """
    rows = embeddings.rows

    def of(row: int) -> Picture:
        path = None
        if "path" in rows and isinstance(rows["path"].iloc[row], str):
            # no Path: it may end in "#7", the place in a file of many images
            path = os.path.join(embeddings.meta.root or "", rows["path"].iloc[row])  # noqa: PTH118
        return portrait(path, str(rows["identity"].iloc[row]), thumbnails and "path" in rows)

    return of
