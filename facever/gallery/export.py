"""Export: a gallery's people and metadata as an embedding set with checksums.

In addition to the columns of every embedding set, `rows.parquet` has `path` (the source), `hash`,
`enrolled` (ISO 8601), `quality` and `metadata` (JSON, of the person). A person without images has a
row without a vector. If some images have them, `camera` and `taken` (ISO 8601) are where and when
they were taken. If some images were enrolled as photos, `landmarks` are those of the face:
empty if unknown, missing for crops. If crops are kept, `crops.zip` has them as PNG files, named by
the row (0.png), and `crop` is the alignment of a row's crop. `export.json` has the SHA-256 of each
file; an export is imported completely or not at all.
"""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from facever.core.files import atomic_folder, open_regular, sha256_of_file
from facever.core.json_files import parse_json, read_json, write_json
from facever.data.crops import CROP, KeptCrop, is_plain_png
from facever.embeddings.embedding_set import (
    META,
    ROWS,
    VECTORS,
    EmbeddingSet,
    refuse_to_replace,
    with_outcome,
    write_tables,
)
from facever.embeddings.meta import EmbeddingMeta
from facever.errors import GalleryError
from facever.gallery.records import Row, Vectors
from facever.gallery.store.store import Store

SEAL, CROPS = "export.json", "crops.zip"
FORMAT = 1
NO_IMAGE = "no image is enrolled"
DAMAGED = "the vector is damaged in the gallery"
_FILES = (META, ROWS, VECTORS)
_COLUMNS = {"path", "hash", "enrolled", "quality", "metadata"}
_OPTIONAL = ("camera", "taken", "landmarks", CROP)  # written if an image has them


class Export(NamedTuple):
    """The contents of an export beyond those of an embedding set.

    Args:
        faces: The images, without the rows of people without images.
        hashes: Hashes of the images' bytes, or None.
        times: Enrolment time of each image.
        metadata: Metadata by person id.
        nobody: Ids of people who have no image, or an image without a vector.
        photos: As in `NewImages`.
        crops: The number of each image's crop in the archive, with its alignment; None without one.
    """

    faces: EmbeddingSet
    hashes: list[str | None]
    times: list[str]
    metadata: dict[str, dict[str, Any]]
    nobody: list[str]
    photos: list[str | None] | None = None
    crops: Sequence[tuple[int, str] | None] = ()


class PersonExport(NamedTuple):
    """All that a gallery keeps of one person.

    Args:
        person: Their id.
        fingerprint: Fingerprint of the model that made the vectors.
        metadata: Their metadata.
        images: The records of their images.
        vectors: float32 [N, D], a row for each image; NaN where it is damaged.
        crops: The kept crops as PNG files, by the numbers of the images.
    """

    person: str
    fingerprint: str
    metadata: dict[str, Any]
    images: list[Row]
    vectors: Vectors
    crops: dict[int, bytes]


def write_export(store: Store, path: Path) -> int:
    """Write all images of one state of a store and return their number.

    An image with a damaged vector is written without a vector.

    Raises:
        GalleryError: The export cannot be written.
        DataError: Something other than an embedding set exists at `path`.
    """
    refuse_to_replace(path)
    try:
        with store.reading(), atomic_folder(path, private=True) as folder:
            binding = store.binding
            rows, whole = _write_vectors(store, folder / VECTORS)
            frame = pd.DataFrame(rows, columns=Row._fields)
            frame = frame.rename(columns={"person": "identity", "source": "path"})
            norms = frame.pop("norm").astype("float32").to_numpy()
            alignments = _write_crops(store, rows, folder / CROPS)
            frame = frame.drop(columns="image")
            frame[CROP] = alignments
            frame = frame.astype({"quality": "float64", "metadata": "category"})
            for name in ("path", "hash", *_OPTIONAL):
                frame[name] = frame[name].astype("string")
            unused = [name for name in _OPTIONAL if frame[name].isna().all()]
            frame = frame.drop(columns=unused)
            errors = [None if good else DAMAGED for good in whole]
            errors += [NO_IMAGE] * (len(rows) - len(whole))
            meta = EmbeddingMeta(
                binding.fingerprint,
                binding.dimension,
                binding.metric,
                preprocessing=dict(binding.preprocessing),
                options=dict(binding.options),
            )
            write_tables(folder, with_outcome(frame, norms, errors), meta, None)
            names = [*_FILES, CROPS] if any(alignments) else _FILES
            sums = {name: sha256_of_file(folder / name) for name in names}
            write_json(folder / SEAL, {"format": FORMAT, "sha256": sums})
            for file in folder.iterdir():
                file.chmod(0o600)
    except OSError as error:
        raise GalleryError(f"{path} cannot be written: {error.strerror}") from error
    return sum(whole)


def export_person(store: Store, person: str) -> PersonExport:
    """Return all that a store keeps of one person, from one state."""
    with store.reading():
        metadata = store.metadata(person)
        rows, vectors = store.rows_of(person)
        kept = store.crops([row.image for row in rows if row.image is not None])
        crops = {image: crop.png for image, crop in kept}
    return PersonExport(person, store.binding.fingerprint, metadata, rows, vectors, crops)


def _write_vectors(store: Store, path: Path) -> tuple[list[Row], list[bool]]:
    """Write the vectors as an .npy file, with zeros for missing vectors.

    Returns:
        The rows of the images, then of people without images; and for each image whether its vector
        is intact.
    """
    rows: list[Row] = []
    whole: list[bool] = []
    dimension = store.binding.dimension
    with path.open("wb") as file:
        _write_header(file, (0, dimension))  # the header has room for any number of rows
        for some, vectors in store.rows():
            good = np.isfinite(vectors[:, 0])  # a damaged one is NaN
            file.write(np.where(good[:, None], vectors, 0).astype("<f4").tobytes())
            rows += some
            whole += good.tolist()
        for person, known in store.without_images().items():
            file.write(bytes(4 * dimension))
            rows.append(Row(person, known, None, None, "", None, None))
        file.seek(0)
        _write_header(file, (len(rows), dimension))
    return rows, whole


def _write_crops(store: Store, rows: Sequence[Row], path: Path) -> list[str | None]:
    """Write the kept crops of rows as a zip archive; return the alignment of each row's crop.

    Without any there is no archive.
    """
    place = {row.image: number for number, row in enumerate(rows) if row.image is not None}
    alignments: list[str | None] = [None] * len(rows)
    if store.crop_count():
        with zipfile.ZipFile(path, "w") as archive:  # PNG files are compressed already
            for image, crop in store.crops(list(place)):
                archive.writestr(f"{place[image]}.png", crop.png)
                alignments[place[image]] = crop.alignment
        if not any(alignments):  # all are damaged
            path.unlink()
    return alignments


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    said = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, said)


def read_export(path: Path) -> Export:
    """Open an export and check all of it.

    Raises:
        GalleryError: It is not an export, is damaged, or has a newer format.
        DataError: It is not an embedding set.
    """
    _check_seal(path)
    faces = EmbeddingSet.load(path)
    missing = sorted(_COLUMNS - set(faces.rows))
    if missing:
        raise GalleryError(f"{path} is not a gallery export: it has no column {missing[0]}")
    if not faces.named.all():
        raise GalleryError(
            f"{path} is damaged: it has rows without a person; export the gallery again"
        )
    rows = faces.rows.astype(object).where(faces.rows.notna(), None)
    acquired = faces.acquired
    metadata: dict[str, dict[str, Any]] = {}
    for person, said in zip(rows["identity"], rows["metadata"], strict=True):
        known = _metadata_in(path, said)
        if metadata.setdefault(person, known) != known:
            raise GalleryError(
                f"{path}: rows of one person have different metadata; export the gallery again"
            )
    held = rows[acquired]
    return Export(
        faces.select(acquired),
        held["hash"].tolist(),
        [_time_in(path, said) for said in held["enrolled"]],
        metadata,
        rows["identity"][~acquired].tolist(),
        held["landmarks"].tolist() if "landmarks" in held else None,
        [
            None if alignment is None else (number, str(alignment))
            for number, alignment in zip(held.index.tolist(), held[CROP].tolist(), strict=True)
        ]
        if CROP in held and (path / CROPS).is_file()
        else [],
    )


@contextmanager
def exported_crops(path: Path, export: Export) -> Iterator[Callable[[int], KeptCrop | None] | None]:
    """Yield what reads the crop of an image of an export, by its position; None without crops.

    Raises:
        GalleryError: The archive of the crops is damaged, also when it is read.
    """
    if not any(export.crops):
        yield None
        return

    def unusable(error: Exception) -> GalleryError:
        return GalleryError(f"{path / CROPS} cannot be used ({error}); export the gallery again")

    def crop(place: int) -> KeptCrop | None:
        if (known := export.crops[place]) is None:
            return None
        try:
            png = archive.read(f"{known[0]}.png")
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise unusable(error) from error
        if not is_plain_png(png):
            raise GalleryError(
                f"{path / CROPS}: {known[0]}.png is not a PNG file without metadata; nothing was "
                "imported"
            )
        return KeptCrop(known[1], png)

    with ExitStack() as opened:
        try:
            file = opened.enter_context(open_regular(path / CROPS))
            archive = opened.enter_context(zipfile.ZipFile(file))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise unusable(error) from error
        yield crop


def _check_seal(path: Path) -> None:
    if not path.is_dir():
        raise GalleryError(f"no export at {path}; create one with 'facever gallery export'")
    if not (path / SEAL).is_file():
        raise GalleryError(f"{path} is not a gallery export: it has no {SEAL}; enroll it instead")
    try:
        said = read_json(path / SEAL)
        names = [*_FILES, CROPS] if (path / CROPS).exists() else _FILES
        version, sums = int(said["format"]), {name: str(said["sha256"][name]) for name in names}
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
                f"{path / name} was changed after the export; nothing was imported: export the "
                "gallery again"
            )


def _metadata_in(path: Path, said: object) -> dict[str, Any]:
    try:
        known = parse_json(said) if isinstance(said, str) else None
    except ValueError as error:
        raise GalleryError(
            f"{path}: the metadata of a person is not a JSON object: {error}"
        ) from error
    if not isinstance(known, dict):
        raise GalleryError(f"{path}: the metadata of a person is not a JSON object")
    return known


def _time_in(path: Path, said: object) -> str:
    try:
        time = datetime.fromisoformat(str(said))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise GalleryError(f"{path}: missing or invalid enrolment time; export the gallery again")
    return time.astimezone(UTC).isoformat(timespec="seconds")
