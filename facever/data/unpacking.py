"""Unpacking: the images of tar, RecordIO and array files as files, in a folder per identity."""

import os
import re
from pathlib import Path, PurePosixPath

from facever.core.console import track
from facever.core.files import atomic_folder
from facever.data.manifest import Manifest
from facever.data.shards import ORIGINAL, file_content
from facever.errors import ConfigError

_UNSAFE = re.compile(r"[^\w.\- ]")  # in names of folders
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names in Windows
_LONGEST = 100  # characters
UNNAMED = "without_identity"


def unpack(manifest: Manifest, out: str | Path) -> Manifest:
    """Copy a data set into a folder of image files, with `manifest.csv`.

    An image's file is copied byte for byte, even where it cannot be decoded; an image of an array
    file becomes a PNG. It lies at IDENTITY/ROW.SUFFIX; characters that not every system takes are
    replaced in the folder's name, while the table keeps the identity as it is.

    Args:
        manifest: The data set.
        out: The folder to make.

    Returns:
        The manifest of the folder: the same rows in the same order.

    Raises:
        ConfigError: `out` exists and is not empty.
        DataError: An image's file is missing, or has no such image.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} already exists: give a new or an empty folder")
    manifest.check_files()
    digits = len(str(max(len(manifest) - 1, 0)))
    folders = _folders(manifest)
    originals = manifest.frame[ORIGINAL] if ORIGINAL in manifest.frame else manifest.frame["path"]
    with atomic_folder(out) as folder:
        paths = []
        for row, name in enumerate(track(folders, "unpacking", len(manifest), "images")):
            content, suffix = file_content(manifest.locate(row), str(originals.iloc[row]))
            path = PurePosixPath(name, f"{row:0{digits}d}{suffix}")
            (folder / name).mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
            paths.append(os.fspath(path))
        frame = manifest.frame.assign(path=paths)
        Manifest(frame, folder, manifest.dataset).save(folder / "manifest.csv")
    return Manifest.from_csv(out / "manifest.csv")


def _folders(manifest: Manifest) -> list[str]:
    """Return a folder for each row: one for each identity, with names that differ in any case."""
    identities = [one if isinstance(one, str) else None for one in manifest.frame["identity"]]
    taken: set[str] = set()
    found: dict[str | None, str] = {}
    for identity in dict.fromkeys(identities):
        plain = UNNAMED
        if identity is not None:
            plain = _UNSAFE.sub("_", identity).strip(". ")[:_LONGEST] or "_"
            plain = f"_{plain}" if _DEVICE.match(plain) else plain
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        found[identity] = name
    return [found[identity] for identity in identities]
