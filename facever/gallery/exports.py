"""A gallery's people in a folder: an embedding set with all that is known of them, and its seal.

Beside the columns of every embedding set, `rows.parquet` has `path` (the source), `hash`,
`enrolled` (ISO 8601), `quality` and `metadata` (JSON, of the person). People without images have a
row without a vector. `export.json` has the SHA-256 of each file: an export is taken whole or not.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from facever.errors import GalleryError
from facever.files import atomic_folder, parse_json, read_json, sha256_of_file, write_json
from facever.gallery.records import Row
from facever.gallery.store.store import Store
from facever.vectors.embedding_set import (
    META,
    ROWS,
    VECTORS,
    EmbeddingMeta,
    EmbeddingSet,
    refuse_to_replace,
    with_outcome,
    write_tables,
)

SEAL = "export.json"
FORMAT = 1
NO_IMAGE = "no image is enrolled"
_FILES = (META, ROWS, VECTORS)
_COLUMNS = {"path", "hash", "enrolled", "quality", "metadata"}


class Export(NamedTuple):
    """What an export holds beside what an embedding set does.

    Args:
        faces: Its images, those of people without images left out.
        hashes: Of the images' bytes, or None.
        times: When each was enrolled.
        metadata: By person id.
        nobody: Ids of people without images.
    """

    faces: EmbeddingSet
    hashes: list[str | None]
    times: list[str]
    metadata: dict[str, dict[str, Any]]
    nobody: list[str]


def write_export(store: Store, path: Path) -> int:
    """Write all images of a store, as of one moment, and return how many.

    Raises:
        GalleryError: It cannot be written.
        DataError: Something that is not an embedding set stands at `path`.
    """
    refuse_to_replace(path)
    try:
        with store.reading(), atomic_folder(path, private=True) as folder:
            binding, count = store.binding, store.counts()[1]
            lonely = store.without_images()
            shape = (count + len(lonely), binding.dimension)
            rows = list(_written(store, folder / VECTORS, shape))
            rows += [Row(id_, known, None, None, "", None, None) for id_, known in lonely.items()]
            frame = pd.DataFrame(rows, columns=Row._fields)
            frame = frame.rename(columns={"person": "identity", "source": "path"})
            norms = frame.pop("norm").astype("float32").to_numpy()
            frame = frame.astype({"quality": "float64", "metadata": "category"})
            for name in ("path", "hash"):
                frame[name] = frame[name].astype("string")
            errors = [None] * count + [NO_IMAGE] * len(lonely)
            meta = EmbeddingMeta(
                binding.fingerprint,
                binding.dimension,
                binding.metric,
                preprocessing=dict(binding.preprocessing),
                options=dict(binding.options),
            )
            write_tables(folder, with_outcome(frame, norms, errors), meta, None)
            sums = {name: sha256_of_file(folder / name) for name in _FILES}
            write_json(folder / SEAL, {"format": FORMAT, "sha256": sums})
            for file in folder.iterdir():
                file.chmod(0o600)
    except OSError as error:
        raise GalleryError(f"{path} cannot be written: {error.strerror}") from error
    return count


def _written(store: Store, path: Path, shape: tuple[int, int]) -> Iterator[Row]:
    """Write the vectors as a file of NumPy's, and yield what belongs to them."""
    with path.open("wb") as file:
        said = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, said)
        left = shape[0]
        for rows, vectors in store.rows():
            file.write(vectors.astype("<f4").tobytes())
            left -= len(rows)
            yield from rows
        file.write(bytes(4 * shape[1]) * left)


def read_export(path: Path) -> Export:
    """Open an export and check it whole.

    Raises:
        GalleryError: It is none, damaged, or of a newer format.
        DataError: It is not even an embedding set.
    """
    _check_seal(path)
    faces = EmbeddingSet.load(path)
    missing = sorted(_COLUMNS - set(faces.rows))
    if missing:
        raise GalleryError(f"{path} is not a gallery's export: it has no column {missing[0]}")
    rows = faces.rows.astype(object).where(faces.rows.notna(), None)
    acquired = faces.acquired
    metadata: dict[str, dict[str, Any]] = {}
    for person, said in zip(rows["identity"], rows["metadata"], strict=True):
        known = _metadata_in(path, said)
        if metadata.setdefault(person, known) != known:
            raise GalleryError(f"{path} says of the same person different things; export it again")
    held = rows[acquired]
    return Export(
        faces.select(acquired),
        held["hash"].tolist(),
        [_time_in(path, said) for said in held["enrolled"]],
        metadata,
        rows["identity"][~acquired].tolist(),
    )


def _check_seal(path: Path) -> None:
    if not path.is_dir():
        raise GalleryError(f"no export at {path}; make one with 'facever gallery export'")
    if not (path / SEAL).is_file():
        raise GalleryError(f"{path} is not a gallery's export: it has no {SEAL}; enroll it instead")
    try:
        said = read_json(path / SEAL)
        version, sums = int(said["format"]), {name: str(said["sha256"][name]) for name in _FILES}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise GalleryError(f"{path / SEAL} is damaged; export the gallery again") from error
    if version > FORMAT:
        raise GalleryError(
            f"{path} has format {version}, newer than this facever reads ({FORMAT}); "
            "update facever (pip install -U facever)"
        )
    for name, expected in sums.items():
        try:
            found = sha256_of_file(path / name)
        except OSError as error:
            raise GalleryError(f"{path / name} cannot be read: {error.strerror}") from error
        if found != expected:
            raise GalleryError(
                f"{path / name} is not as it was exported; nothing was imported: export the "
                "gallery again"
            )


def _metadata_in(path: Path, said: object) -> dict[str, Any]:
    try:
        known = parse_json(said) if isinstance(said, str) else None
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise GalleryError(f"{path}: the metadata of a person is no JSON object")
    return known


def _time_in(path: Path, said: object) -> str:
    try:
        time = datetime.fromisoformat(str(said))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise GalleryError(f"{path}: an image was enrolled at no time")
    return time.astimezone(UTC).isoformat(timespec="seconds")
