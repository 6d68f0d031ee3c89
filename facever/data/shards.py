"""Shards: a data set in a few large tar files, for file systems that are slow with small files.

The layout is WebDataset's: `000000007.jpg` with `000000007.json`, in files that can be read
sequentially. facever reads the images by position, in any order, like single files.
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
"""Column of the path of an image before it was copied into a shard."""
MEGABYTES = 256
_MEGABYTE = 1_000_000


def write_shards(manifest: Manifest, out: str | Path, megabytes: int = MEGABYTES) -> Manifest:
    """Copy a data set into tar files.

    An image's file is copied byte for byte, even if it cannot be decoded; an image of an array file
    becomes a PNG with the same pixels. All columns are written to its .json and to
    `manifest.parquet`, from which the folder is read. Equal data gives equal files.

    Args:
        manifest: The data set.
        out: The output folder, with `shard-00000.tar` and so on.
        megabytes: Size of the images after which a shard is closed, in units of 10^6 bytes.

    Returns:
        The manifest of the shards: the same rows in the same order, with paths into the shards.

    Raises:
        ConfigError: `megabytes` is below 1, or `out` already exists.
        DataError: An image's file is missing, or has no such image.
    """
    if megabytes < 1:
        raise ConfigError(f"shard size is {megabytes} MB (allowed: at least 1)")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} already exists: give a new or an empty folder")
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
    """Append a member without data about this machine; return the position of its bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    header = tar.offset
    tar.addfile(member, io.BytesIO(content))
    return int(header) + BLOCK


def _metadata(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Yield the columns of each row except its path, without empty cells."""
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
    """Return a cell as a value that JSON can store."""
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
        return "jpg"  # not an image: it is refused under this name, too
