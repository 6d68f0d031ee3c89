"""Pictures of the rows of an embedding set."""

import os
from dataclasses import replace

from facever.report.page import Number, Picture
from facever.report.thumbnails import portrait
from facever.vectors.embedding_set import EmbeddingSet


def portrait_of(
    embeddings: EmbeddingSet, row: int, thumbnails: bool, score: Number | None = None
) -> Picture:
    """Return the picture of a row, with the name that it goes under.

    Args:
        embeddings: The set; without a column `path` no picture is looked for.
        row: Which.
        thumbnails: Whether it is shown, not only named.
        score: Against the picture that it stands beside.
    """
    rows = embeddings.rows
    path = None
    if "path" in rows and isinstance(rows["path"].iloc[row], str):
        # no Path: it may end in "#7", the place in a file of many images
        path = os.path.join(embeddings.meta.root or "", rows["path"].iloc[row])  # noqa: PTH118
    shown = portrait(path, str(rows["identity"].iloc[row]), thumbnails and "path" in rows)
    return replace(shown, score=score)
