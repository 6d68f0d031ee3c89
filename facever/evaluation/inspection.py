"""The front door of `facever data inspect`: the contents of whatever a path holds."""

from pathlib import Path

from facever.core.console import say
from facever.data import audit, sources
from facever.data.readers import layout_of
from facever.embedding_files.contents import contents_of
from facever.errors import DataError
from facever.evaluation.path_kinds import KINDS, kind_of
from facever.evaluation.trial_contents import pairs_in, scores_in
from facever.render.result import Result

_ACCEPTED = (
    "accepted: a data set (a folder of images, .csv, .parquet, .tar, .rec, .bin), embeddings "
    "(.npy, .npz, .h5, .mat, .parquet, .pkl, .pt), scores (a table, Bob's columns, .mtx, .npy, "
    ".npz, a folder of a genuine and an impostor file) or pairs; see docs/formats.md"
)


def inspect(name: str, data: Path | None = None, layout: str = "auto") -> Result:
    """Return the contents of a data set, or of a file of embeddings, scores or pairs.

    Args:
        name: A path, or the name of a data set.
        data: Folder that is searched first for a data set.
        layout: A layout of images, "embeddings", "scores" or "pairs"; "auto" to recognise it.

    Raises:
        DataError, EvaluationError: It was not found, cannot be read or does not have the layout.
    """
    kind, path = layout if layout in KINDS else "images", Path(name)
    if layout == "auto" and name not in sources.BUILT_IN:
        path = sources.find(name, data)
        kind, doubt = kind_of(path)
        if doubt is not None:
            other = "scores" if kind == "embeddings" else "embeddings"
            say(f"{path} is read as {kind}, as {doubt}: give --layout {other} otherwise")
        if not path.is_dir() and (
            not path.is_file() or (kind, layout_of(path)) == ("images", None)
        ):
            raise DataError(f"{path} is in no known format; {_ACCEPTED}")
    if kind == "images":
        return audit.inspect(sources.load(name, data, layout))
    return {"embeddings": contents_of, "scores": scores_in, "pairs": pairs_in}[kind](path)
