"""Shards: a data set in few large tar files, for file systems that hate small ones.

The layout is WebDataset's: `000000007.jpg` beside `000000007.json`, in files of a size that is
read in one go. Here the images are read by their place, in any order, as from single files.
"""

import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from facever.core.console import track
from facever.core.files import atomic_folder
from facever.data.arrays import split_address
from facever.data.decode import decode, read_bytes
from facever.data.headers import read_header
from facever.data.manifest import Manifest
from facever.data.members import BLOCK, address_of, split_member
from facever.data.suffixes import READABLE
from facever.errors import ConfigError

ORIGINAL = "original"
"""The column of the path that an image had before it was put into a shard."""
MEGABYTES = 256
_MEGABYTE = 1_000_000


def write_shards(manifest: Manifest, out: str | Path, megabytes: int = MEGABYTES) -> Manifest:
    """Copy a data set into tar files.

    An image's file is copied as it is, byte for byte, even where it cannot be decoded; an image of
    an array file becomes a PNG, which keeps its pixels. All columns go into its .json, and into
    `manifest.parquet`, by which the folder is read. Equal data makes equal files.

    Args:
        manifest: The data set.
        out: The folder to make, with `shard-00000.tar` and so on.
        megabytes: A shard is closed when its images have so many (of 10^6 bytes).

    Returns:
        The manifest of the shards: the same rows in the same order, whose paths point into them.

    Raises:
        ConfigError: `megabytes` is below 1, or `out` is there already.
        DataError: An image's file is missing, or has no such image.
    """
    if megabytes < 1:
        raise ConfigError(f"shards of {megabytes} MB: it must be 1 or larger")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists: name a new or an empty folder")
    manifest.check_files()
    with atomic_folder(out) as folder:
        rows = _write(manifest, folder, megabytes * _MEGABYTE)
        paths = list(track(rows, "sharding", len(manifest), "images"))
        frame = manifest.frame.assign(path=paths)
        if ORIGINAL not in frame:
            frame[ORIGINAL] = manifest.frame["path"]
        Manifest(frame, folder, manifest.dataset).save(folder / "manifest.parquet")
    return Manifest.from_parquet(out / "manifest.parquet")


def _write(manifest: Manifest, folder: Path, largest: int) -> Iterator[str]:
    """Write the shards; yield the address of each image."""
    shard, tar, filled = -1, None, largest
    try:
        for row, values in enumerate(_metadata(manifest)):
            if filled >= largest:
                if tar is not None:
                    tar.close()
                shard, filled = shard + 1, 0
                name = f"shard-{shard:05d}.tar"
                tar = tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            assert tar is not None
            content, suffix = file_content(manifest.locate(row), str(values.get(ORIGINAL, "")))
            key = f"{row:09d}"
            place = _add(tar, key + suffix, content)
            _add(tar, f"{key}.json", json.dumps(values, ensure_ascii=False).encode())
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep all
            filled += len(content)
            yield address_of(name, place, len(content), zlib.crc32(content))
    finally:
        if tar is not None:
            tar.close()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a member; return where its bytes begin. Nothing of this machine gets in."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    header = tar.offset
    tar.addfile(member, io.BytesIO(content))
    return int(header) + BLOCK


def _metadata(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Yield what each row says but its path, without empty cells."""
    frame = manifest.frame.rename(columns={} if ORIGINAL in manifest.frame else {"path": ORIGINAL})
    frame = frame.drop(columns="path", errors="ignore")
    if "dataset" not in frame:
        frame["dataset"] = manifest.dataset
    names = [str(name) for name in frame]
    for row in frame.itertuples(index=False, name=None):
        yield {name: _plain(cell) for name, cell in zip(names, row, strict=True) if _is_said(cell)}


def _is_said(cell: Any) -> bool:
    return not (pd.api.types.is_scalar(cell) and pd.isna(cell))


def _plain(cell: Any) -> Any:
    """Return a cell as a value that JSON can hold."""
    plain = cell.item() if isinstance(cell, np.generic) else cell
    return plain if isinstance(plain, str | bool | int | float) else str(plain)


def file_content(path: str, original: str = "") -> tuple[bytes, str]:
    """Return the bytes of an image file for an image, and its suffix.

    Args:
        path: As `decode` takes it; an image of an array file becomes a PNG.
        original: The path that it had before it was packed, for its suffix.
    """
    if split_address(path):
        image = decode(path)
        grey = bool((image == image[..., :1]).all())
        stored = image[..., 0] if grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", stored)[1].tobytes(), ".png"
    content = read_bytes(path)
    suffix = Path(original if split_member(path) else path).suffix.lower()
    return content, suffix if suffix in READABLE else f".{_format(content)}"


def _format(content: bytes) -> str:
    try:
        name = read_header(content).format
        return {"JPEG": "jpg", "JPEG2000": "jp2", "PNM": "ppm"}.get(name, name.lower())
    except ValueError:
        return "jpg"  # no image: refused under this name as under its own
