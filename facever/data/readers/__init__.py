"""Readers of data set layouts: one file per layout, each a function from a root to a Manifest."""

from pathlib import Path
from typing import Protocol

from facever.data.acquisition import OnError
from facever.data.aligned import alignment_in
from facever.data.manifest import Manifest
from facever.data.readers import cfp, folder, idx, images, lfw, market1501, table, webdataset
from facever.errors import DataError, unknown


class Layout(Protocol):
    """What a reader's module offers."""

    def detect(self, root: Path) -> bool:
        """Tell, from names alone, whether `root` is laid out so."""
        ...

    def read(self, root: Path, on_error: OnError = "skip") -> Manifest:
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
    "images": images,
    "folder": folder,
}


def read(root: str | Path, layout: str = "auto", on_error: OnError = "skip") -> Manifest:
    """Read a data set.

    Where the folder has the `alignment.json` that `facever data align` writes, all images are of
    its alignment, but where a column `alignment` says otherwise.

    Args:
        root: The data set's folder, or a table.
        layout: One of `LAYOUTS`, or "auto" to recognise it.
        on_error: What a folder that cannot be read does: "skip" leaves it out and names it, "raise"
            ends.

    Raises:
        DataError: No such path, an unknown layout, data that is not laid out so, or a damaged
            `alignment.json`.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise DataError(unknown("layout", layout, ["auto", *LAYOUTS]))
    root = Path(root)
    if not root.exists():
        raise DataError(f"no such path: {root}")
    try:
        found = _detected(root) if layout == "auto" else layout
        manifest = LAYOUTS[found].read(root, on_error)
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied") from error
    said = alignment_in(manifest.root)
    if said is not None and "alignment" not in manifest.frame:
        manifest = manifest.assign(alignment=said["alignment"])
    manifest.layout = found
    return manifest


def _detected(root: Path) -> str:
    for name, candidate in LAYOUTS.items():
        if candidate.detect(root):
            return name
    raise DataError(
        f"{root} is neither a folder of images nor a .csv or .parquet table nor a .tar file"
    )
