"""insightface's training sets: `train.rec` beside `train.idx`, in MXNet's RecordIO.

Reference:
    insightface, https://github.com/deepinsight/insightface: record 0 is a header whose labels say
    which records are images; the records after these belong to identities and hold no image.
"""

import mmap
from pathlib import Path

import pandas as pd

from facever.core.files import open_regular
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.members import address_of
from facever.data.recordio import Place, places
from facever.data.walking import left_by_system
from facever.errors import DataError

SUFFIX = ".rec"


def detect(root: Path) -> bool:
    """Tell whether `root` is a .rec file, or a folder with one."""
    return bool(_files(root))


def read(root: Path, on_error: OnError = "skip") -> Manifest:  # noqa: ARG001
    """Return the images of each .rec file, in their order; an image's first label is its identity.

    Further labels are the columns `label_2`, `label_3` and so on. Where there are several files
    `subset` is the name of the file.

    Raises:
        DataError: No such file, a damaged or truncated one, an .idx that points elsewhere or names
            another number of records, or a number of images that the header record contradicts.
    """
    files = _files(root)
    if not files:
        raise DataError(f"{root} has no .rec file: give insightface's folder with train.rec")
    frames = [_read(file) for file in files]
    if len(files) > 1:
        for file, frame in zip(files, frames, strict=True):
            frame["subset"] = file.stem
    folder = root if root.is_dir() else root.parent
    return Manifest(pd.concat(frames, ignore_index=True), folder, folder.absolute().name)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix == SUFFIX else []
    found = sorted(path for path in root.glob(f"*{SUFFIX}") if path.is_file())
    return [path for path in found if left_by_system(path.name) is None]


def _read(file: Path) -> pd.DataFrame:
    found = _places(file)
    _check_index(file, found)
    first = found[0]
    images = [place for place in found if place.image_size]
    if not images:
        raise DataError(f"{file} holds no images")
    if not first.image_size and len(first.labels) >= 2:  # a header record
        announced = int(first.labels[0]) - 1
        if announced != len(images) or found[1 : announced + 1] != images:
            raise DataError(
                f"{file}: its header record announces {announced:,} images, and "
                f"{len(images):,} are there: the file is damaged or incomplete; fetch it again"
            )
    table: dict[str, list[str | None]] = {
        "path": [address_of(file.name, place.offset, place.size) for place in images],
        "identity": [_text(place.labels[0]) for place in images],
    }
    for number in range(2, max(len(place.labels) for place in images) + 1):
        table[f"label_{number}"] = [
            _text(place.labels[number - 1]) if len(place.labels) >= number else None
            for place in images
        ]
    return pd.DataFrame(table)


def _places(file: Path) -> list[Place]:
    try:
        with open_regular(file) as opened:
            if not file.stat().st_size:
                raise DataError(f"{file} is empty: fetch it again")
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                view = memoryview(mapped)
                try:
                    return list(places(view))
                finally:
                    view.release()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(
            f"{file} is damaged, truncated or not RecordIO ({error}): fetch it again"
        ) from error


def _check_index(file: Path, found: list[Place]) -> None:
    """Refuse an .idx whose offsets are not those of the records; a missing one is not needed."""
    index = file.with_suffix(".idx")
    if not index.is_file():
        return
    try:
        lines = index.read_text(encoding="ascii").split("\n")
        offsets = sorted(int(line.split("\t")[1]) for line in lines if line.strip())
    except (ValueError, IndexError) as error:
        raise DataError(f"{index} is damaged: each line must be a number, a tab, an offset") from (
            error
        )
    records = [place.offset for place in found]
    if offsets != records:
        wrong = sorted(set(offsets) ^ set(records))
        where = f", first at byte {wrong[0]:,}" if wrong else ""
        raise DataError(
            f"{index} names {len(offsets):,} records, and {file.name} has {len(records):,}{where}: "
            "they do not belong together; fetch both again, or remove the .idx"
        )


def _text(label: float) -> str:
    return str(int(label)) if label == int(label) else repr(label)
