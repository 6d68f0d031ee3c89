"""Tar files in WebDataset's layout: `KEY.jpg` with `KEY.json` or `KEY.cls`.

Shards written by facever have a manifest.parquet and are read as a table. Others are scanned once,
header by header, and the result is cached until they change. Members that are not an image, .json
or .cls are never read: no pickle is opened.

Reference:
    WebDataset, https://github.com/webdataset/webdataset: the files of a sample share a key, which
    is the name up to the first dot after the last slash.
"""

import hashlib
import json
import os
import reprlib
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from facever.core.cache_folder import cache_folder
from facever.core.console import track, warn
from facever.core.files import open_regular
from facever.core.json_files import parse_json
from facever.core.text import NUMERIC, canonical, text_of
from facever.data.acquisition import OnError
from facever.data.identity_folders import SUBSETS
from facever.data.manifest import Manifest
from facever.data.members import BLOCK, address_of, close_files
from facever.data.suffixes import READABLE, UNREAD
from facever.data.tables import check_utf8, shortened, write_table
from facever.data.walking import by_suffix, left_by_system
from facever.errors import DataError

_READ_AS = 3  # version of the index: another version rebuilds it
_MOST_METADATA = 1_000_000  # bytes
_PIECE = 1_000_000  # bytes per read after the end


def detect(root: Path) -> bool:
    """Return whether `root` is a .tar file or a folder that contains only .tar files.

    The files may be in subfolders named train, test and similar.
    """
    if root.is_file():
        return root.suffix == ".tar"
    folders = [path for path in _wanted(root.iterdir()) if path.is_dir()]
    return bool(_tars(root)) and all(path.name.lower() in SUBSETS for path in folders)


def read(root: Path, on_error: OnError = "skip") -> Manifest:  # noqa: ARG001
    """Return the images of the shards, in order.

    The identity is `identity` in the sample's .json, else `cls` in it, else the .cls file. Other
    texts and numbers of the .json become columns; `original` is by default the image's name. For
    shards in folders train, test, ..., the folder's name is the default of `subset`.

    Raises:
        DataError: There are no shards, some are on another level or damaged, a name is not in
            UTF-8, or a sample has no identity or several images.
    """
    tars = _tars(root)
    if not tars:
        raise DataError(f"no .tar files in {root} (compressed ones must be unpacked to .tar first)")
    if root.is_dir():
        _refuse_others(root, tars)
    close_files()  # those read so far may be older than what is indexed now
    folder = root if root.is_dir() else root.parent
    index = _index_of(folder, tars)
    if not index.is_file():
        frame = _scan(folder, tars)
        known = frame["dataset"] if "dataset" in frame else pd.Series(None, frame.index, object)
        frame["dataset"] = known.fillna(_name(root))
        try:
            write_table(frame, index)
        except OSError as error:
            warn(f"the index of {root} cannot be saved and will be built again next time: {error}")
            return Manifest(frame.drop(columns="dataset"), folder, _name(root))
    return Manifest.from_parquet(index, folder)


def _name(root: Path) -> str:
    return root.absolute().name.removesuffix(".tar")


def _tars(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix == ".tar" else []
    below = (path for path in root.iterdir() if path.is_dir() and path.name.lower() in SUBSETS)
    return sorted(_wanted(root.glob("*.tar"))) or sorted(
        tar for path in below for tar in _wanted(path.glob("*.tar"))
    )


def _wanted(paths: Iterable[Path]) -> list[Path]:
    """Return the paths without system files."""
    return [path for path in paths if left_by_system(path.name) is None]


def _refuse_others(root: Path, tars: list[Path]) -> None:
    """Refuse shards on another level than those that are read."""
    known = set(tars)
    ways = (path.relative_to(root) for path in sorted(root.rglob("*.tar")) if path not in known)
    other = next((way for way in ways if not any(map(left_by_system, way.parts))), None)
    if other is not None:
        first = tars[0].relative_to(root)
        raise DataError(
            f"{root} has shards on several levels, such as {first} and {other}: put all of them "
            "into one folder, or all into folders train, test and so on"
        )


def _index_of(folder: Path, tars: list[Path]) -> Path:
    """Return the path of the cached index of exactly these files."""
    known: list[Any] = [_READ_AS, str(folder.absolute())]
    for tar in tars:
        status = tar.stat()
        known.append((str(tar.relative_to(folder)), status.st_size, status.st_mtime_ns))
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    return cache_folder() / "shards" / f"{digest[:32]}.parquet"


@dataclass
class _Sample:
    """The members of one key."""

    key: str = ""
    images: list[tuple[str, str]] = field(default_factory=list)  # address, name
    unread: list[str] = field(default_factory=list)  # names of images with unsupported suffixes
    values: dict[str, Any] = field(default_factory=dict)
    label: str | None = None


def _scan(folder: Path, tars: list[Path]) -> pd.DataFrame:
    """Read the headers of all members, one file after the other."""
    rows: list[dict[str, Any]] = []
    passed: Counter[str] = Counter()
    unread: dict[str, str] = {}  # identity by image name
    for tar in track(tars, "indexing", len(tars), "shards"):
        name = tar.relative_to(folder).as_posix()
        subset = {} if tar.parent == folder else {"subset": tar.parent.name.lower()}
        for sample in _samples(tar, name, passed):
            for image in sample.unread:
                unread[f"{name}: {image}"] = canonical(_identity(sample, f"{tar}: {image}"))
            if not sample.images:
                continue
            row = _row(sample, tar)
            rows.append(subset | row)
    if passed:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in passed.most_common())
        warn(f"members of {folder} that are not an image, .json or .cls file are not read: {kinds}")
    if unread:
        people = sorted(set(unread.values()) - {canonical(row["identity"]) for row in rows})
        lost = (
            f". {len(people)} people have no other images: {shortened(people, 3)}" if people else ""
        )
        warn(f"{len(unread):,} images in {folder} are not read: {by_suffix(unread)}{lost}")
    if not rows:
        raise DataError(f"no images in the .tar files of {folder}")
    return pd.DataFrame(rows)


def _row(sample: _Sample, tar: Path) -> dict[str, Any]:
    [(path, name)] = sample.images
    values = {
        key: value if key in NUMERIC else text_of(value)
        for key, value in sample.values.items()
        if isinstance(value, str | int | float)
    }
    original = values.pop("path", name)
    identity = _identity(sample, f"{tar}: {name}")
    row = {"original": original} | values | {"path": path, "identity": identity}
    check_utf8([*row, *(text for text in row.values() if isinstance(text, str))], str(tar))
    return row


def _identity(sample: _Sample, where: str) -> str:
    """Return the identity of a sample, or an empty string."""
    given = [sample.values.get("identity"), sample.values.get("cls"), sample.label]
    for value in given:
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value).strip()
        if isinstance(value, float) and value.is_integer():
            return text_of(value)
    for value in given:
        if value is not None:
            shown = reprlib.repr(value)
            raise DataError(f"{where}: the identity {shown} is neither text nor an integer")
    return ""


def _samples(tar: Path, name: str, passed: Counter[str]) -> Iterator[_Sample]:
    """Yield the samples with an image; count by suffix the members that are not read."""
    sample = _Sample()
    for member, content in _members(tar):
        if not member.isreg():
            passed["link or device"] += 1
            continue
        kinds = (left_by_system(part) for part in member.name.split("/") if part != ".")
        kind = next((kind for kind in kinds if kind is not None), None)
        if kind is not None:
            passed[kind] += 1
            continue
        key, suffix = _key_and_suffix(member.name)
        if key != sample.key:
            yield from _whole(sample, tar)
            sample = _Sample(key)
        last = os.path.splitext(member.name)[1].lower()  # noqa: PTH122
        if last in READABLE:
            sample.images.append((address_of(name, member.offset_data, member.size), member.name))
        elif last in UNREAD:
            sample.unread.append(member.name)
        elif suffix == ".json":
            sample.values = _parse(content, f"{tar}: {member.name}")
        elif suffix == ".cls":
            sample.label = content.decode(errors="surrogateescape")
        else:
            passed[last or "without a suffix"] += 1
    yield from _whole(sample, tar)


def _whole(sample: _Sample, tar: Path) -> Iterator[_Sample]:
    if len(sample.images) > 1:
        names = shortened(name for _, name in sample.images)
        raise DataError(f"{tar}: sample {sample.key} has several images ({names}); one is expected")
    if sample.images or sample.unread:
        yield sample


def _key_and_suffix(name: str) -> tuple[str, str]:
    folder, slash, file = name.rpartition("/")
    key, dot, suffix = file.partition(".")
    return folder + slash + key, dot + suffix.lower()


def _parse(content: bytes, where: str) -> dict[str, Any]:
    try:
        values = parse_json(content)
    except ValueError as error:
        raise DataError(f"{where} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{where} is not a JSON object")
    return values


def _members(tar: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield the members of a tar file except folders, with the content of .json and .cls.

    Raises:
        DataError: It is not an uncompressed tar file, is truncated or damaged, or has data after
            its end.
    """
    size, end = tar.stat().st_size, 0
    try:
        with open_regular(tar) as opened, tarfile.open(fileobj=opened, mode="r:") as file:
            while (member := file.next()) is not None:
                if (
                    member.offset < end
                    or member.size < 0
                    or member.offset_data + member.size > size
                ):
                    raise DataError(_damaged(tar, member.offset))
                end = member.offset_data + member.size
                file.members.clear()  # type: ignore[attr-defined]  # it would keep all
                if not member.isdir():
                    yield member, _metadata(file, member, tar)
            end = int(file.offset)
        with open_regular(tar) as plain:
            plain.seek(end)
            if plain.read(BLOCK) != bytes(BLOCK):  # a tar file ends with empty blocks
                raise DataError(_damaged(tar, end))
            while piece := plain.read(_PIECE):
                if more := piece.lstrip(b"\0"):
                    raise DataError(
                        f"{tar} has data after its end, at byte {plain.tell() - len(more):,}, "
                        "like tar files joined by cat: keep them separate, or use tar --concatenate"
                    )
    except (tarfile.TarError, OverflowError, ValueError) as error:
        raise DataError(_damaged(tar, end)) from error


def _metadata(file: tarfile.TarFile, member: tarfile.TarInfo, tar: Path) -> bytes:
    if not member.isreg() or _key_and_suffix(member.name)[1] not in (".json", ".cls"):
        return b""
    if member.size > _MOST_METADATA:
        raise DataError(f"{tar}: {member.name} has {member.size:,} bytes, too many for metadata")
    stream = file.extractfile(member)
    return b"" if stream is None else stream.read()


def _damaged(tar: Path, place: int) -> str:
    return (
        f"{tar} is truncated, damaged or compressed (no tar header at byte {place:,}): copy it "
        "again, or decompress it to a plain .tar"
    )
