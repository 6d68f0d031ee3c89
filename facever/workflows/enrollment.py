"""From images into a gallery: an Extractor and a Gallery joined."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
import pandas as pd

from facever.data.decode import decode, read_bytes
from facever.data.manifest import Manifest
from facever.data.members import split_member
from facever.data.sources import load
from facever.data.tables import is_table, to_numbers
from facever.data.walking import images_below
from facever.errors import DataError, GalleryError, unknown
from facever.files import sha256_of_file
from facever.gallery.answers import Enrollment
from facever.gallery.checks import Conflicts
from facever.gallery.gallery import Gallery
from facever.gallery.records import Binding, Duplicates, shown
from facever.text import canonical, canonical_column
from facever.vectors.embedding_set import META, EmbeddingSet

if TYPE_CHECKING:
    from facever.embedding.extractor import Extractor

_OPTIONS = ("flip", "precision")  # of an extraction, those that change the vectors
_WORTH_WORKERS = 1000  # images: starting processes takes longer than reading fewer


class Rules(TypedDict, total=False):
    """What `Gallery.enroll` can be told beside the images."""

    metadata: Mapping[str, Mapping[str, Any]] | None
    duplicates: Duplicates
    near: float | None
    conflicts: Conflicts
    conflict_point: str | None


def binding_of(made_by: "Extractor | EmbeddingSet") -> Binding:
    """Return what a gallery of a model's vectors is bound to, or of those of an embedding set."""
    if isinstance(made_by, EmbeddingSet):
        meta = made_by.meta
        options = {name: meta.options[name] for name in _OPTIONS if name in meta.options}
        return Binding(
            meta.fingerprint, meta.dimension, meta.metric, dict(meta.preprocessing), options
        )
    return Binding(
        made_by.fingerprint,
        made_by.dimension,
        made_by.card.metric,
        made_by.embedder.preprocessing.model_dump(mode="json"),
        {name: getattr(made_by, name) for name in _OPTIONS},
    )


def create_gallery(
    path: str | Path,
    made_by: "Extractor | EmbeddingSet",
    *,
    templates: str = "all",
    storage: str = "float32",
    index: str = "auto",
) -> Gallery:
    """Make an empty gallery that is bound to a model, or to the origin of an embedding set.

    Args:
        path: A folder that does not exist or is empty.
        made_by: The model, or vectors of it.
        templates: As in `Gallery.create`, like what follows.
        storage: How vectors are written.
        index: Which kind of index is made.

    Raises:
        GalleryError: As in `Gallery.create`, or the embedding set's origin is not declared.
    """
    bound = binding_of(made_by)
    return Gallery.create(
        path,
        fingerprint=bound.fingerprint,
        dimension=bound.dimension,
        metric=bound.metric,
        preprocessing=bound.preprocessing,
        options=bound.options,
        templates=templates,
        storage=storage,
        index=index,
    )


def gallerys_extractor(gallery: Gallery, model: str | Path, device: str = "auto") -> "Extractor":
    """Load a gallery's model with the extraction options that the gallery is bound to.

    Raises:
        GalleryError: It is another model; both fingerprints are shown.
        ModelError: There is no usable model.
    """
    from facever.embedding.extractor import load_model  # torch, for those who need it

    options = gallery.info().options
    flip, precision = bool(options.get("flip", False)), options.get("precision", "fp32")
    extractor = load_model(model, device=device, flip=flip, precision=precision)
    require_model(gallery, extractor)
    return extractor


def require_model(gallery: Gallery, extractor: "Extractor") -> None:
    """Refuse a model that is not the gallery's.

    Raises:
        GalleryError: Both fingerprints are shown.
    """
    if extractor.fingerprint != gallery.fingerprint:
        raise GalleryError(
            f"the model is of fingerprint {extractor.fingerprint}, the gallery {gallery.path} of "
            f"{gallery.fingerprint}: use the gallery's model, or make another gallery"
        )


def manifest_of(
    given: Sequence[str], person: str | None, data: str | Path | None = None
) -> Manifest:
    """Return the images that a person names on a command line, and whom they show.

    Args:
        given: Images and folders of images of one `person`; without one, a single folder, table
            or data set that says itself whom its images show.
        person: Whom all of them show.
        data: Where named data sets are.

    Raises:
        DataError: No such path, no images, or nobody says whom they show.
    """
    if person is None:
        if len(given) == 1 and not _is_picture(Path(given[0])):
            return load(given[0], data)
        raise DataError(f"whom does {given[0]} show? say it with --person ID")
    paths: list[str] = []
    for name in given:
        path = Path(name).absolute()
        if path.is_dir():
            paths += [str(path / image) for image in images_below(path)]
        elif path.is_file():
            paths.append(str(path))
        else:
            raise DataError(f"no such path: {name}")
    if not paths:
        raise DataError(f"no images in {given[0]}")
    frame = pd.DataFrame({"path": paths, "identity": person})
    return Manifest.from_frame(frame, Path.cwd(), "images")


def embeddings_of(given: Sequence[str]) -> EmbeddingSet:
    """Open the one embedding set that is named where no model is.

    Raises:
        DataError: It is not one, or more than one thing is named.
    """
    path = Path(given[0])
    if len(given) > 1:
        raise DataError("without --model one embedding set is enrolled at a time")
    if not (path / META).is_file():
        what = f"{path} is not an embedding set" if path.exists() else f"no such path: {path}"
        raise DataError(f"{what}; images are enrolled with --model MODEL")
    return EmbeddingSet.load(path)


def metadata_of(
    rows: pd.DataFrame, columns: Sequence[str], person: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return what columns of a table say of the people in it, for `Gallery.enroll`.

    Args:
        rows: A table with a column `identity`: a manifest's frame, an embedding set's rows.
        columns: Which columns; a person's empty cells say nothing.
        person: Whom all rows show, in place of the column `identity`.

    Raises:
        DataError: No such column, or rows of one person that contradict each other.
    """
    found: dict[str, dict[str, Any]] = {}
    people = (
        canonical_column(rows["identity"])
        if person is None
        else pd.Series(canonical(person), rows.index)
    )
    for column in columns:
        if column not in rows:
            raise DataError(unknown("column", column, map(str, rows)))
        said = rows[column].dropna().groupby(people)
        several = said.nunique() > 1
        if several.any():
            who = str(several.idxmax())
            values = ", ".join(map(str, said.get_group(who).unique()[:3]))
            raise DataError(
                f"column '{column}' says more than one thing of {shown(who)} ({values}): metadata "
                "is of a person, not of an image"
            )
        for name, value in said.first().items():
            found.setdefault(str(name), {})[column] = _plain(value)
    return found


def with_quality(rows: pd.DataFrame, column: str | None) -> pd.DataFrame:
    """Return a table whose column `quality`, the images' weights, is another of its columns.

    Raises:
        DataError: No such column.
    """
    if column is None:
        return rows
    if column not in rows:
        raise DataError(unknown("column", column, map(str, rows)))
    return rows.assign(quality=to_numbers(rows[column], "the images' weights"))


def enroll_images(
    gallery: Gallery,
    extractor: "Extractor",
    manifest: Manifest,
    *,
    workers: int | Literal["auto"] | None = None,
    **rules: Unpack[Rules],
) -> Enrollment:
    """Embed the images of a manifest and enroll them, all in one transaction.

    Unreadable images are left out and reported. Duplicates are recognised by the images' bytes. A
    column `quality` of the manifest is kept as the images' weights.

    Args:
        gallery: Where to.
        extractor: The gallery's model.
        manifest: The images, and whom they show.
        workers: Processes that load images; chosen by the number of images when not given.
        rules: As in `Gallery.enroll`.

    Raises:
        GalleryError: As in `Gallery.enroll`, or another model.
        DataError: Not one image could be read.
    """
    require_model(gallery, extractor)
    workers = workers_for(manifest) if workers is None else workers
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        faces = extractor.extract(manifest, Path(folder) / "faces", workers=workers)
        hashes = [
            hash_of(manifest.locate(row)) if acquired else None
            for row, acquired in enumerate(faces.acquired)
        ]
        return gallery.enroll(faces, hashes=hashes, **rules)


def workers_for(manifest: Manifest) -> int | Literal["auto"]:
    """Return how many processes load a manifest's images soonest."""
    return "auto" if len(manifest) > _WORTH_WORKERS else 0


def hash_of(path: str) -> str:
    """Return the SHA-256 of an image's bytes, or of its pixels inside an array file."""
    if Path(path).is_file():
        return sha256_of_file(Path(path))
    if split_member(path):
        return hashlib.sha256(read_bytes(path)).hexdigest()
    return hashlib.sha256(decode(path).tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a cell as a value that JSON can hold."""
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | bool | int | float | list | dict) else str(plain)


def _is_picture(path: Path) -> bool:
    return path.is_file() and not is_table(path)
