"""Rows of data with one folder of images per identity: `root/<identity>/.../image.jpg`."""

from pathlib import Path

import pandas as pd

from facever.core.console import warn
from facever.data.acquisition import OnError
from facever.data.suffixes import READABLE
from facever.data.walking import by_suffix, walk
from facever.errors import DataError

SUBSETS = frozenset({"dev", "gallery", "query", "test", "train", "val", "valid", "validation"})


def rows_of_folder(root: Path, on_error: OnError = "skip") -> pd.DataFrame:
    """Return the images below `root`; the identity is the first folder of an image's path.

    If all of these folders are named train, test, val, query, gallery or similar, they become the
    column `subset`, and the identity is the second folder. Hidden files, system files and files
    without an image suffix are ignored.

    If all images lie directly in `root`, they have no identity.

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise DataError(f"no folder {root}")
    found = walk(root, on_error=on_error)
    if not found.images:
        other = f", but {by_suffix(found.unread)}" if found.unread else ""
        raise DataError(f"no images in {root}{other} (looked for {' '.join(sorted(READABLE))})")
    parts = [image.split("/") for image in found.images]
    depth = 1 if all(way[0].lower() in SUBSETS for way in parts) else 0
    found.tell(lambda path: _identity(path.split("/"), depth))
    kept = [way for way in parts if len(way) > depth + 1]
    if not kept and not depth:
        return pd.DataFrame({"path": found.images, "identity": None})
    if not kept:
        raise DataError(
            f"{len(parts)} images lie directly in the folders {', '.join(sorted(SUBSETS))} of "
            f"{root}: put them into one folder per identity, or a CSV with columns path and "
            "identity"
        )
    if len(kept) < len(parts):
        warn(
            f"{len(parts) - len(kept)} images in {root} are not in a folder of an identity: they "
            "are skipped"
        )
    columns = {
        "path": ["/".join(way) for way in kept],
        "identity": [_identity(way, depth) for way in kept],
    }
    if depth:
        columns["subset"] = [way[0].lower() for way in kept]
    return pd.DataFrame(columns)


def _identity(way: list[str], depth: int) -> str:
    return way[min(depth, len(way) - 1)]
