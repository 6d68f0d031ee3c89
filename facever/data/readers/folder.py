"""A folder of images per identity: `root/<identity>/.../image.jpg`."""

import os
from pathlib import Path

import pandas as pd

from facever.console import warn
from facever.data.manifest import Manifest
from facever.data.suffixes import READABLE
from facever.data.tables import check_utf8
from facever.errors import DataError

SUBSETS = frozenset({"dev", "gallery", "query", "test", "train", "val", "valid", "validation"})


def detect(root: Path) -> bool:
    """Tell whether `root` is a folder; the layout of last resort."""
    return root.is_dir()


def read(root: Path) -> Manifest:
    """Return the images below `root`; an identity is the first folder on an image's way.

    Where all of these folders are called train, test, val, query, gallery and the like, they
    become the column `subset`, and the identity is the second folder. Hidden files and files
    without an image's suffix are passed over.

    Raises:
        DataError: No such folder, no image in it, or images only outside of identity folders.
    """
    if not root.is_dir():
        raise DataError(f"no folder {root}")
    images = images_below(root)
    if not images:
        raise DataError(f"no images in {root} (looked for {' '.join(sorted(READABLE))})")
    parts = [image.split("/") for image in images]
    depth = 1 if all(way[0].lower() in SUBSETS for way in parts) else 0
    kept = [way for way in parts if len(way) > depth + 1]
    if not kept:
        raise DataError(
            f"{len(parts)} images lie directly in {root}; a folder per identity is expected, "
            "or a CSV with columns path and identity"
        )
    if len(kept) < len(parts):
        warn(f"{len(parts) - len(kept)} images in {root} lie in no identity's folder: left out")
    columns = {"path": ["/".join(way) for way in kept], "identity": [way[depth] for way in kept]}
    if depth:
        columns["subset"] = [way[0].lower() for way in kept]
    return Manifest(pd.DataFrame(columns), root, root.absolute().name)


def images_below(root: Path) -> list[str]:
    """Return the image files below `root`, sorted, as paths relative to it with "/".

    Links are followed; a folder is read once, however many links lead to it. No folder, no images.

    Raises:
        DataError: A folder cannot be read, or a name is not in UTF-8.
    """
    if not root.is_dir():
        return []
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        status = Path(folder).stat()
        known = (status.st_dev, status.st_ino) in seen
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [] if known else sorted(name for name in folders if name[0] != ".")
        way = Path(folder).relative_to(root).as_posix()
        prefix = "" if way == "." else f"{way}/"
        found += [prefix + name for name in files if not known and _is_image(name)]
    check_utf8(found, str(root))
    return sorted(found)


def _is_image(name: str) -> bool:
    return name[0] != "." and os.path.splitext(name)[1].lower() in READABLE  # noqa: PTH122


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {str(error.strerror).lower()}")
