"""Readers of data set layouts: one file per layout, each a function from a root to a Manifest."""

from pathlib import Path
from typing import Protocol

from facever.data.manifest import Manifest
from facever.data.readers import cfp, folder, idx, lfw, market1501, table, webdataset
from facever.errors import DataError, unknown


class Layout(Protocol):
    """What a reader's module offers."""

    def detect(self, root: Path) -> bool:
        """Tell, from names alone, whether `root` is laid out so."""
        ...

    def read(self, root: Path) -> Manifest:
        """Read it, or raise DataError saying what does not fit."""
        ...


# In the order in which they are asked whether a root is theirs.
LAYOUTS: dict[str, Layout] = {
    "table": table,
    "lfw": lfw,
    "cfp": cfp,
    "market1501": market1501,
    "idx": idx,
    "webdataset": webdataset,
    "folder": folder,
}


def read(root: Path, layout: str = "auto") -> Manifest:
    """Read a data set.

    Args:
        root: The data set's folder, or a table.
        layout: One of `LAYOUTS`, or "auto" to recognise it.

    Raises:
        DataError: No such path, an unknown layout, or data that is not laid out so.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise DataError(unknown("layout", layout, ["auto", *LAYOUTS]))
    if not root.exists():
        raise DataError(f"no such path: {root}")
    if layout != "auto":
        return LAYOUTS[layout].read(root)
    for candidate in LAYOUTS.values():
        if candidate.detect(root):
            return candidate.read(root)
    raise DataError(
        f"{root} is neither a folder of images nor a .csv or .parquet table nor a .tar file"
    )
