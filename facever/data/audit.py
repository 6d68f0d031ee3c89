"""Audit of a data set: contents and problems. Reads and decodes every image once."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facever.core.console import progress, warn
from facever.data.arrays import split_address
from facever.data.decode import ImageError, decode, decode_bytes, describe_unended, read_bytes
from facever.data.headers import read_header
from facever.data.manifest import Manifest
from facever.render.blocks import Block, Cell, Facts, List, Section, Table
from facever.render.numbers import count
from facever.render.result import Result

_CHUNK = 64  # images per task of a thread
_MANY_BELOW = 10  # average number of folders per identity; more suggest a misread layout
_SHOWN = 10  # lines per kind in the text


@dataclass(frozen=True)
class Spread:
    """The smallest, median and largest of some numbers."""

    minimum: int
    median: float
    maximum: int


@dataclass(frozen=True)
class PartSize:
    """The share of a subset or a camera in the data set."""

    images: int
    identities: int


@dataclass(frozen=True)
class Corrupt:
    """An image that cannot be used, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class Inspection(Result):
    """Result of `inspect`.

    Duplicates are groups of paths whose files are equal byte for byte.

    Attributes:
        dataset: Name of the data set.
        root: Its folder.
        images: Number of images.
        identities: Number of identities.
        per_identity: Images of an identity: the smallest, the median and the largest number.
        singletons: Number of identities with one image.
        histogram: Number of identities with 1, 2-3, 4-7, ... images.
        width, height: Of upright images in pixels; None without readable images.
        sizes: Number of images of each "width x height", the most frequent first.
        formats: Number of images of each file format.
        colours: Number of images that are "transparent" (the file has an alpha channel), "grey"
            (the three channels are equal) or "colour".
        subsets, cameras: Images and identities of each subset, and of each camera.
        corrupt: Files that cannot be decoded, with the reason.
        duplicates_within: Duplicates within an identity.
        duplicates_across: Duplicates across identities: at least one label is wrong.
        duplicates_unnamed: Duplicates where at least one image has no identity.
        layout: The layout that the data was read with.
        doubt: If the layout seems wrong: the assumption and alternatives.
        alignment: How the faces are aligned; "none" for photos and other images.
        unnamed: Number of images without identity.
        templates: Number of values of the column `template`.
    """

    dataset: str
    root: str
    images: int
    identities: int
    per_identity: Spread
    singletons: int
    histogram: dict[str, int]
    width: Spread | None
    height: Spread | None
    sizes: dict[str, int]
    formats: dict[str, int]
    colours: dict[str, int]
    subsets: dict[str, PartSize]
    cameras: dict[str, PartSize]
    corrupt: list[Corrupt]
    duplicates_within: list[list[str]]
    duplicates_across: list[list[str]]
    duplicates_unnamed: list[list[str]]
    layout: str = ""
    doubt: str | None = None
    alignment: str = "none"
    unnamed: int = 0
    templates: int = 0

    def describe(self) -> list[Section]:
        """Return the contents and problems of the data set; long lists are shortened."""
        each = self.per_identity
        layout = f" (layout: {self.layout})" if self.layout else ""
        facts: list[tuple[str, Cell]] = [
            *([] if self.doubt is None else [("doubtful", self.doubt)]),
            (
                "images per identity",
                f"{each.minimum} to {each.maximum}, median {each.median:g}; "
                f"{self.singletons:,} identities have one image",
            )
            if self.identities
            else ("identities", f"none ({self.unnamed:,} images without)"),
            *(
                [("images without identity", count(self.unnamed))]
                if self.unnamed and self.identities
                else []
            ),
            *([("templates", count(self.templates))] if self.templates else []),
            ("sizes", _counts(self.sizes)),
            ("formats", _counts(self.formats)),
            ("colours", _counts(self.colours)),
            *([] if self.alignment == "none" else [("alignment", self.alignment)]),
        ]
        histogram: list[list[Cell]] = [
            [span, count(number)] for span, number in self.histogram.items()
        ]
        blocks: list[Block] = [Facts(facts)]
        if self.identities:
            blocks.append(Table("", ["images", "identities"], histogram))
        for name, parts in (("subset", self.subsets), ("camera", self.cameras)):
            if parts:
                rows: list[list[Cell]] = [
                    [key, count(p.images), count(p.identities)] for key, p in parts.items()
                ]
                blocks.append(Table("", [name, "images", "identities"], rows))
        blocks += [
            _listed("corrupt images", [f"{one.path}: {one.reason}" for one in self.corrupt]),
            _listed("equal files within an identity", map(" = ".join, self.duplicates_within)),
            _listed("equal files across identities", map(" = ".join, self.duplicates_across)),
            *(
                [_listed("equal files, one without identity", map(" = ".join, found))]
                if (found := self.duplicates_unnamed)
                else []
            ),
        ]
        people = f"of {self.identities:,} identities" if self.identities else "without identity"
        lead = f"{self.dataset}: {self.images:,} images {people} in {self.root}{layout}"
        return [Section("data", "Data set", blocks, lead)]


_Groups = list[list[str]]


class _Look(NamedTuple):
    """The audit of one image."""

    digest: bytes = b""
    width: int = 0
    height: int = 0
    format: str = ""
    colour: str = ""
    reason: str = ""


def inspect(manifest: Manifest, threads: int | None = None) -> Inspection:
    """Read and decode every image once, and report contents and problems.

    Args:
        manifest: The data set.
        threads: Number of threads; by default the number of cores.
    """
    chunks = [range(i, min(i + _CHUNK, len(manifest))) for i in range(0, len(manifest), _CHUNK)]
    looks: list[_Look] = []
    unended: list[str] = []
    with (
        ThreadPoolExecutor(threads or os.cpu_count()) as pool,
        progress("inspecting", len(manifest), "images") as shown,
    ):
        for part in pool.map(
            lambda chunk: [_look(manifest.locate(i), unended) for i in chunk], chunks
        ):
            looks += part
            shown.advance(len(part))
    if unended:
        warn(describe_unended(unended))
    good = [look for look in looks if not look.reason]
    reasons = zip(manifest.frame["path"], (look.reason for look in looks), strict=True)
    images = manifest.frame["identity"].value_counts().to_numpy()
    sizes = Counter((look.width, look.height) for look in good)
    within, across, unnamed = _duplicates(manifest, looks)
    return Inspection(
        dataset=manifest.dataset,
        root=str(manifest.root),
        images=len(manifest),
        identities=len(images),
        per_identity=_spread(images),
        singletons=int((images == 1).sum()),
        histogram=_histogram(images),
        width=_spread([look.width for look in good]) if good else None,
        height=_spread([look.height for look in good]) if good else None,
        sizes={f"{width} x {height}": count for (width, height), count in sizes.most_common()},
        formats=dict(Counter(look.format for look in good).most_common()),
        colours=dict(Counter(look.colour for look in good).most_common()),
        subsets=_parts(manifest, "subset"),
        cameras=_parts(manifest, "camera"),
        corrupt=[Corrupt(path, reason) for path, reason in reasons if reason],
        duplicates_within=within,
        duplicates_across=across,
        duplicates_unnamed=unnamed,
        layout=manifest.layout,
        doubt=_doubt(manifest),
        alignment=manifest.alignment,
        unnamed=int(manifest.frame["identity"].isna().sum()),
        templates=manifest.frame["template"].nunique() if "template" in manifest.frame else 0,
    )


def _doubt(manifest: Manifest) -> str | None:
    """Return the reader's assumption and alternatives if the layout seems wrong."""
    depth = 1 if "subset" in manifest.frame else 0
    ways = [path.split("/") for path in manifest.frame["path"]]
    people, below = (
        len(manifest.identities),
        {tuple(w[: depth + 2]) for w in ways if len(w) > depth + 2},
    )
    if people > 1 and len(below) < _MANY_BELOW * people:
        return None
    if not people:
        return None
    first = manifest.identities[0]
    if manifest.layout != "folder":
        name = manifest.layout or "this table"
        return (
            f"with layout '{name}', every image shows '{first}'; give another --layout, or a "
            "table with the columns path and identity"
        )
    assumed = "the first folder of an image's path is used as its identity" + (
        " (after the subset)" if depth else ""
    )
    inside = os.path.join(manifest.root, *ways[0][: depth + 1])  # noqa: PTH118
    other = (
        f"if the {len(below):,} folders below it are the identities, give {inside}"
        if below
        else "if the file names contain the identity, give --layout 'pattern:REGEX' "
        "(docs/formats.md)"
    )
    return f"{assumed}, such as '{first}'; {other}, or give another --layout"


def _look(path: str, unended: list[str]) -> _Look:
    try:
        data = read_bytes(path)
        if split_address(path):
            image, kind, transparent = decode(path), "array", False
        else:
            image = decode_bytes(data, path, unended=unended)
            header = read_header(data)
            kind, transparent = header.format, header.transparent
    except ImageError as error:
        return _Look(reason=error.reason)
    grey = bool((image == image[..., :1]).all())
    colour = "transparent" if transparent else "grey" if grey else "colour"
    height, width, _ = image.shape
    return _Look(hashlib.blake2b(data, digest_size=16).digest(), width, height, kind, colour)


def _duplicates(manifest: Manifest, looks: list[_Look]) -> tuple[_Groups, _Groups, _Groups]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, look in enumerate(looks):
        if look.digest:
            groups[look.digest].append(row)
    paths, identities = manifest.frame["path"], manifest.frame["identity"]
    within: _Groups = []
    across: _Groups = []
    unnamed: _Groups = []
    for rows in groups.values():
        files = list(dict.fromkeys(paths.iloc[rows]))
        people = identities.iloc[rows]
        if people.nunique() > 1:
            across.append(files)
        elif len(files) > 1:
            (unnamed if people.isna().any() else within).append(files)
    return within, across, unnamed


def _parts(manifest: Manifest, column: str) -> dict[str, PartSize]:
    if column not in manifest.frame:
        return {}
    groups = manifest.frame.groupby(column, dropna=False)["identity"]
    return {str(name): PartSize(len(group), group.nunique()) for name, group in groups}


def _histogram(images: np.ndarray) -> dict[str, int]:
    """Count identities by their number of images: 1, 2-3, 4-7, 8-15, ..."""
    spans, counts = np.unique([int(n).bit_length() - 1 for n in images], return_counts=True)
    return {
        (str(2**s) if s == 0 else f"{2**s}-{2 ** (s + 1) - 1}"): int(count)
        for s, count in zip(spans, counts, strict=True)
    }


def _spread(values: Iterable[int]) -> Spread:
    array = np.fromiter(values, np.int64)
    if not len(array):
        return Spread(0, 0.0, 0)
    return Spread(int(array.min()), float(np.median(array)), int(array.max()))


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{name} ({count:,})" for name, count in list(counts.items())[:_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "") if shown else "none"


def _listed(title: str, lines: Iterable[str]) -> List:
    every = list(lines)
    more = [f"... {len(every) - _SHOWN:,} more"] if len(every) > _SHOWN else []
    return List(f"{title}: {len(every):,}", [*every[:_SHOWN], *more])
