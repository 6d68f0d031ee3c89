"""A folder of aligned crops made from photos, with the data about each face.

The folder contains the crops in the folder structure of the photos, `manifest.csv` (the photos'
rows with the crops' paths, `photo`, the columns of the face, and `alignment`), `failures.csv`,
`alignment.json` and `contact_sheet.jpg`. Crops are written to `<out>.partial`, whose journal has
one line for each finished photo: after an interruption, the same call continues. The finished
folder is renamed to `out`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever._version import __version__
from facever.core.console import progress, say, warn
from facever.core.files import alone, atomic_path, put_into_place
from facever.core.json_files import parse_json, write_json
from facever.core.threads import in_order
from facever.data.acquisition import Acquired, FailureToAcquire
from facever.data.aligned import ALIGNMENT, FORMAT
from facever.data.decode import ImageError, decode
from facever.data.machine import usable_cpus
from facever.data.manifest import Manifest
from facever.data.members import file_of
from facever.data.tables import write_table
from facever.errors import ConfigError, DataError
from facever.faces.contact_sheet import write_sheet
from facever.faces.cropping import FaceCropper

MANIFEST, FAILURES, SHEET = "manifest.csv", "failures.csv", "contact_sheet.jpg"
PHOTO = "photo"
"""Column of the photo of a crop, an absolute path."""

Format = Literal["jpg", "png"]
JPEG_QUALITY = 95  # without chroma subsampling
_JOURNAL = "journal.jsonl"


class _Done(NamedTuple):
    """Result of a photo: its crops (path and columns), or the reason why there is none."""

    stamp: list[int] | None
    crops: list[tuple[str, dict[str, Any]]]
    reason: str | None


@dataclass(frozen=True)
class AlignedFolder:
    """Result of an alignment of photos.

    Args:
        folder: The folder of crops.
        photos: Number of photos.
        crops: Number of crops.
        failures: Reasons for missing crops, by position of the photo.
        provenance: Description of the cropper; see `FaceCropper`.
    """

    folder: Path
    photos: int
    crops: int
    failures: dict[int, str]
    provenance: dict[str, Any]


def align_photos(
    photos: Manifest,
    out: str | Path,
    cropper: FaceCropper,
    *,
    size: int | tuple[int, int] = 112,
    format: Format = "jpg",
    workers: int | None = None,
    overwrite: bool = False,
) -> AlignedFolder:
    """Crop the faces of photos into a folder; after an interruption, the same call continues.

    A photo without a face, or one that cannot be read, is listed in `failures.csv`. A photo that
    has changed since it was processed is processed again.

    Args:
        photos: The photos; all columns are kept.
        out: The output folder; it must not be inside the photos' folder.
        cropper: Detects and crops faces. With "all", a photo gives a crop for each face, numbered
            by decreasing size.
        size: (height, width) of the crops in pixels, or one number for a square.
        format: "jpg" (quality 95, no chroma subsampling) or "png" (lossless).
        workers: Number of threads; by default all cores.
        overwrite: Replace an existing folder of crops at `out`.

    Returns:
        The result.

    Raises:
        ConfigError: Format, size or number of threads are invalid.
        DataError: `out` exists or is inside the photos' folder, another call is writing to it, or
            no photo has a face.
    """
    out = Path(out)
    sides = (size, size) if isinstance(size, int) else size
    if format not in ("jpg", "png"):
        raise ConfigError(f"format is '{format}' (allowed: jpg, png)")
    if not all(1 <= side <= 4096 for side in sides):
        raise ConfigError(f"size is {sides[0]} x {sides[1]} (allowed: 1 to 4096 pixels per side)")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers} (allowed: at least 1)")
    _check_place(photos, out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    taken = DataError(
        f"{out}: another 'facever data align' is writing to it; wait until it has finished"
    )
    lock = out.with_name(f".{out.name}.lock")
    with alone(lock, taken):
        try:
            return _Work(photos, out, cropper, sides, format).run(workers or usable_cpus())
        finally:
            lock.unlink(missing_ok=True)


def _check_place(photos: Manifest, out: Path, overwrite: bool) -> None:
    place, partial = out.resolve(), _partial(out)
    listed = {Path(file_of(photos.locate(row))).parent for row in range(len(photos))}
    for folder in {each.resolve() for each in listed}:
        if place in (folder, *folder.parents):
            raise DataError(
                f"{out} contains photos, which are never changed (in {folder}): give another folder"
            )
    sources = listed if photos.layout == "table" else {*listed, photos.root}
    for folder in sorted({each.resolve() for each in sources}):
        if folder in place.parents:
            raise DataError(
                f"{out} is inside the photos' folder {folder}: give a folder outside it, so "
                "that crops are not used as photos"
            )
    if _holds_something(partial) and not (partial / _JOURNAL).is_file():
        raise DataError(
            f"{partial}, the temporary folder for crops, contains other files: move it, or give "
            "another --out"
        )
    if not _holds_something(out):
        return
    if not (out / ALIGNMENT).is_file():
        raise DataError(
            f"{out} already exists and does not contain aligned crops: give another folder"
        )
    if not overwrite:
        raise DataError(
            f"{out} already contains aligned crops: give another folder, or overwrite it"
        )


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _holds_something(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


class _Work:
    """One call: finished and remaining photos."""

    def __init__(
        self,
        photos: Manifest,
        out: Path,
        cropper: FaceCropper,
        size: tuple[int, int],
        format: Format,
    ) -> None:
        self.photos, self.out, self.cropper = photos, out, cropper
        self.size, self.format = size, format
        self.partial = _partial(out)
        self.names = list(_names(photos))

    def run(self, workers: int) -> AlignedFolder:
        done = self._recovered()
        missing = [row for row in range(len(self.photos)) if row not in done]
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # one thread per photo
        try:
            with (
                (self.partial / _JOURNAL).open("ab") as journal,
                progress("aligning", len(self.photos), "photos") as shown,
                closing(in_order(self._one, missing, workers)) as made,
            ):
                shown.start_at(len(done))
                for row, one in zip(missing, made, strict=True):
                    journal.write(self._line(row, one))
                    journal.flush()
                    done[row] = one
                    shown.advance()
        finally:
            cv2.setNumThreads(threads)
        return self._finished([done[row] for row in range(len(self.photos))])

    def _one(self, row: int) -> _Done:
        path = self.photos.locate(row)
        stamp = _stamp(path)
        try:
            photo = decode(path, unended=[], reduce=True)
            found = self.cropper.crops(photo, self.size)
        except ImageError as error:
            return _Done(stamp, [], error.reason)
        except FailureToAcquire as error:
            return _Done(stamp, [], error.reason)
        return _Done(stamp, [self._written(row, i, one) for i, one in enumerate(found)], None)

    def _written(self, row: int, number: int, one: Acquired) -> tuple[str, dict[str, Any]]:
        name = self._name(row, number)
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(encoded(one.pixels, self.format))
        path.chmod(0o600)
        return name, one.columns

    def _recovered(self) -> dict[int, _Done]:
        """Return the results of an interrupted call with the same settings, by current position."""
        key = {"key": self._key()}
        journal = self.partial / _JOURNAL
        lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
        if not lines or _parsed(lines[0]) != key:
            if self.partial.exists():
                warn(f"{self.partial} was made with other settings: starting from the beginning")
                shutil.rmtree(self.partial)
            self.partial.mkdir(0o700, parents=True)
            journal.write_bytes(json.dumps(key).encode() + b"\n")
            journal.chmod(0o600)
            return {}
        rows = {self.photos.locate(row): row for row in range(len(self.photos))}
        done = {}
        for line in lines[1:]:
            said = _parsed(line)
            if not line.endswith(b"\n") or not isinstance(said, list) or len(said) != 4:
                continue
            row, one = rows.get(said[0], -1), _Done(said[1], [(*cut,) for cut in said[2]], said[3])
            if row >= 0 and one.stamp == _stamp(said[0]) and self._is_whole(row, one):
                done[row] = one
        self._remove_others(done)
        kept = [self._line(row, one) for row, one in done.items()]
        with atomic_path(journal, private=True) as temporary:
            temporary.write_bytes(b"".join([lines[0], *kept]))
        if done:
            say(f"resuming with {len(done)} of {len(self.photos)} photos in {self.partial}")
        return done

    def _line(self, row: int, one: _Done) -> bytes:
        return json.dumps([self.photos.locate(row), *one]).encode() + b"\n"

    def _is_whole(self, row: int, one: _Done) -> bool:
        """Return whether the crops exist under their current names."""
        names = [self._name(row, i) for i in range(len(one.crops))]
        whole = all((self.partial / name).is_file() for name in names)
        return whole and [name for name, _ in one.crops] == names

    def _remove_others(self, done: dict[int, _Done]) -> None:
        """Remove crops of photos that have changed, are missing, or were not finished."""
        wanted = {self.partial / name for one in done.values() for name, _ in one.crops}
        for path in self.partial.rglob("*"):
            if path.is_file() and path not in wanted and path.name != _JOURNAL:
                path.unlink()

    def _name(self, row: int, number: int) -> str:
        numbered = f"-{number + 1}" if self.cropper.which == "all" else ""
        return f"{self.names[row]}{numbered}.{self.format}"

    def _key(self) -> str:
        said = [self.cropper.provenance, self.size, self.format, str(self.photos.root)]
        return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()

    def _finished(self, done: list[_Done]) -> AlignedFolder:
        failures = {row: one.reason for row, one in enumerate(done) if one.reason is not None}
        crops = sum(len(one.crops) for one in done)
        if not crops:
            first = next(iter(failures.items()))
            shutil.rmtree(self.partial)
            raise DataError(
                f"none of {len(done)} photos gave a crop, first: "
                f"{self.photos.locate(first[0])}: {first[1]}"
            )
        self._write_tables(done, failures)
        provenance = self.cropper.provenance
        write_json(
            self.partial / ALIGNMENT,
            {
                "format": FORMAT,
                "facever": __version__,
                "alignment": self.cropper.alignment,
                "size": list(self.size),
                "image_format": self.format,
                **provenance,
                "photos": len(done),
                "crops": crops,
                "failures": len(failures),
            },
        )
        cut = [
            (self.photos.locate(row), self.partial / name, columns)
            for row, one in enumerate(done)
            for name, columns in one.crops
        ]
        failed = [(self.photos.locate(row), reason) for row, reason in failures.items()]
        write_sheet(self.partial / SHEET, cut, failed, self.cropper.detector)
        (self.partial / _JOURNAL).unlink()
        for path in self.partial.iterdir():
            if path.is_file():
                path.chmod(0o600)
        aside = self.out.with_name(f".{self.out.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        put_into_place(self.partial, self.out, aside)
        shutil.rmtree(aside, ignore_errors=True)
        return AlignedFolder(self.out, len(done), crops, failures, provenance)

    def _write_tables(self, done: list[_Done], failures: dict[int, str]) -> None:
        frame = self.photos.frame
        rows = np.array([row for row, one in enumerate(done) for _ in one.crops], np.int64)
        found = pd.DataFrame([columns for one in done for _, columns in one.crops])
        table = frame.iloc[rows].reset_index(drop=True)
        table = table.drop(columns=[name for name in found if name in table])
        table["path"] = [name for one in done for name, _ in one.crops]
        table[PHOTO] = [self.photos.locate(row) for row in rows.tolist()]
        table = pd.concat([table, found], axis=1)
        table["alignment"] = self.cropper.alignment
        Manifest(table, self.partial, self.photos.dataset).save(self.partial / MANIFEST)
        kept = frame.iloc[list(failures)].reset_index(drop=True)
        kept["path"] = [self.photos.locate(row) for row in failures]
        kept["reason"] = list(failures.values())
        write_table(kept, self.partial / FAILURES)


def encoded(crop: NDArray[np.uint8], format: Format) -> bytes:
    """Encode a crop, uint8 [H, W, 3] RGB, as an image file."""
    if format == "jpg":
        import simplejpeg

        jpeg: bytes = simplejpeg.encode_jpeg(crop, quality=JPEG_QUALITY, colorsubsampling="444")
        return jpeg
    png: bytes = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()
    return png


def _names(photos: Manifest) -> Iterator[str]:
    """Yield the path of each photo's crop, without suffix: the photo's path below the root."""
    taken: set[str] = set()
    root = photos.root
    for row in range(len(photos)):
        path = photos.locate(row).replace("#", "/")
        relative = os.path.relpath(path, root)
        if relative.startswith(".."):  # a table with photos outside of the root
            relative = os.path.join(*Path(path).parts[-2:])  # noqa: PTH118
        stem, _ = os.path.splitext(relative)  # noqa: PTH122
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.lower())
        yield name


def _stamp(path: str) -> list[int] | None:
    """Return the size and modification time of a photo's file, or None if there is no file."""
    try:
        found = Path(file_of(path)).stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line)
    except ValueError:
        return None
