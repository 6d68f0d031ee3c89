"""Records that a gallery's store takes and returns."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from facever.core.text import canonical
from facever.data.crops import KeptCrop
from facever.errors import GalleryError, plain
from facever.render.values import Record

T = TypeVar("T")

Duplicates = Literal["skip", "keep", "refuse"]
Storage = Literal["float32", "float16", "int8"]
STORAGES: tuple[Storage, ...] = ("float32", "float16", "int8")
Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]
Checksums = NDArray[np.uint32]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Binding:
    """The model that a gallery is bound to; every new vector must match it.

    Args:
        fingerprint: Fingerprint of the extractor.
        dimension: Dimension of the vectors.
        metric: Metric that the model was trained for; a gallery uses cosine similarity.
        preprocessing: Preprocessing of the model.
        options: Options of the extraction.
    """

    fingerprint: str
    dimension: int
    metric: str = "cosine"
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """Settings of a gallery that can be changed later; the vectors of images are kept.

    Args:
        templates: Templates of a person: "all" images, their "mean",
            "quality_mean", or "medoids:K".
        storage: Number format of stored vectors: float32, float16 or int8.
        index: "auto", "flat" or a FAISS factory string.
        keep_crops: Whether the crop that the model saw of each new image is kept.
    """

    templates: str = "all"
    storage: Storage = "float32"
    index: str = "auto"
    keep_crops: bool = False


@dataclass(frozen=True)
class Equivalence(Record):
    """Another model whose vectors a gallery takes like those of its own model.

    Args:
        fingerprint: Fingerprint of the other model.
        of: Fingerprint of the gallery's model.
        images: Number of images that both models were compared on.
        largest: Largest cosine distance of their vectors.
        mean: Mean cosine distance.
        measured_on: What these images were.
        accepted: Time of the measurement, ISO 8601 in UTC.
        versions: Versions of the packages that computed the vectors of the other model.
    """

    fingerprint: str
    of: str
    images: int
    largest: float
    mean: float
    measured_on: str
    accepted: str
    versions: Mapping[str, str] = field(default_factory=dict)


class Change(NamedTuple):
    """A state of the store: its number, and a stamp that is unique among copies of the store."""

    number: int
    stamp: str


class Entries(NamedTuple):
    """Entries, in the order of their numbers.

    Args:
        numbers: int64 [N], ascending; a number is never reused.
        owners: People's keys, int64 [N]; in an index, -1 for entries that were removed.
        vectors: float32 [N, D], unit rows.
        checksums: uint32 [N], checksum of each vector with its number and owner (`checksums.py`).
    """

    numbers: Keys
    owners: Keys
    vectors: Vectors
    checksums: Checksums

    def rows(self, which: slice | Keys | NDArray[np.bool_]) -> "Entries":
        """Return some of the entries."""
        return Entries(
            self.numbers[which], self.owners[which], self.vectors[which], self.checksums[which]
        )


def joined(parts: Sequence[Entries]) -> Entries:
    """Return the concatenated entries of one or more parts."""
    return Entries(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.checksums for part in parts]),
    )


@dataclass(frozen=True)
class NewImages:
    """Images to enroll, all columns of length N.

    Args:
        people: Person ids.
        vectors: float32 [N, D], unit rows.
        norms: Lengths before normalisation, or None if unknown.
        sources: Sources of the images, such as absolute paths, or None.
        hashes: Hashes of the images' bytes, or None.
        qualities: Weight of each image in a quality-weighted mean, above 0; if None, its norm.
        times: Enrolment times, ISO 8601 in UTC; by default now.
        photos: Landmarks of the face in each photo, as text in rows (empty if unknown); None for a
            crop.
        cameras: Camera of each image, in stored form (`image_filters.camera_of`), or None.
        taken: Time when each image was taken, in stored form (`image_filters.time_of`), or None.
        crops: Returns the crop of an image by its position, or None; it is called when the image is
            written, by a store that keeps crops. None: there are none.
    """

    people: Sequence[str]
    vectors: Vectors
    norms: Sequence[float | None]
    sources: Sequence[str | None]
    hashes: Sequence[str | None]
    qualities: Sequence[float | None] | None = None
    times: Sequence[str] | None = None
    photos: Sequence[str | None] | None = None
    cameras: Sequence[str | None] | None = None
    taken: Sequence[str | None] | None = None
    crops: Callable[[int], KeptCrop | None] | None = None

    def rows(self, which: Sequence[int]) -> "NewImages":
        """Return some of the images."""
        crops = self.crops
        return NewImages(
            [self.people[row] for row in which],
            self.vectors if len(which) == len(self.vectors) else self.vectors[list(which)],
            [self.norms[row] for row in which],
            [self.sources[row] for row in which],
            [self.hashes[row] for row in which],
            _chosen(self.qualities, which),
            _chosen(self.times, which),
            _chosen(self.photos, which),
            _chosen(self.cameras, which),
            _chosen(self.taken, which),
            None if crops is None else lambda row: crops(which[row]),
        )


def _chosen(column: Sequence[T] | None, which: Sequence[int]) -> list[T] | None:
    return None if column is None else [column[row] for row in which]


class PersonImages(NamedTuple):
    """A person and the number of their images."""

    person: str
    images: int


@dataclass(frozen=True)
class StoredImage(Record):
    """A gallery's record of an image, without its vector.

    Args:
        image: Its number in the gallery.
        source: Its source, or None.
        hash: Hash of its bytes, or None.
        enrolled: Enrolment time, ISO 8601 in UTC.
        norm: Length of its embedding before normalisation, or None.
        quality: Its weight in a quality-weighted mean; if None, its norm.
        camera: The camera that took it, or None.
        taken: Time when it was taken, ISO 8601 in UTC, or None.
        crop: Whether its crop is kept.
    """

    image: int
    source: str | None
    hash: str | None
    enrolled: str
    norm: float | None
    quality: float | None
    camera: str | None = None
    taken: str | None = None
    crop: bool = False


@dataclass(frozen=True)
class PendingImage:
    """An image that the new model of a migration has not embedded yet.

    `landmarks` are those of the face in a photo, empty if unknown; None for a crop.
    """

    image: int
    person: str
    source: str | None
    hash: str | None
    landmarks: str | None = None


@dataclass(frozen=True)
class Audited(Record):
    """A removal in the audit log; the person is stored as a keyed hash.

    Args:
        time: ISO 8601 in UTC.
        action: "remove", "remove images", "merge", "rename" or "migrate".
        images: Number of images removed.
        person: HMAC-SHA256 of the person's id with a random key of the gallery.
        change: The number of the change.
    """

    time: str
    action: str
    images: int
    person: str
    change: int


@dataclass(frozen=True)
class Finding(Record):
    """A problem of a gallery.

    Args:
        part: "store", "templates", "decisions", "index" or "files".
        problem: Description in one line.
    """

    part: str
    problem: str


class Row(NamedTuple):
    """An exported image, without its vector; `image` is its number in the gallery."""

    person: str
    metadata: str
    source: str | None
    hash: str | None
    enrolled: str
    norm: float | None
    quality: float | None
    camera: str | None = None
    taken: str | None = None
    landmarks: str | None = None
    image: int | None = None


@dataclass(frozen=True)
class MigrationState:
    """Progress of a migration.

    Args:
        binding: The new model's binding.
        done: Number of images embedded by the new model.
        pending: Number of images not embedded yet.
    """

    binding: Binding
    done: int
    pending: int


@dataclass(frozen=True)
class Duplicate:
    """An image that was already enrolled.

    Args:
        index: Its position among the images given.
        person: Id given for the image.
        known_as: Id under which it was already enrolled.
        source: Source of the image, if known.
        score: Cosine similarity to the enrolled image; None if hash or source are the same.
    """

    index: int
    person: str
    known_as: str
    source: str | None
    score: float | None = None

    def what(self) -> str:
        """Return a short description of the image for messages."""
        return shown(self.source) if self.source is not None else f"image {self.index}"


def several(values: Sequence[T], what: str) -> Sequence[T]:
    """Return values given as a list; refuse a single string.

    Raises:
        GalleryError: The value is a string.
    """
    if isinstance(values, (str, bytes)):
        raise GalleryError(f"{what} must be a list, such as [{reprlib.repr(values)}]")
    return values


def shown(value: str) -> str:
    """Return an external text quoted and in one line, safe for messages and terminals."""
    line = plain(value)
    return f"'{line}'" if len(line) <= 120 else f"'{line[:117]}...'"


def person_id(value: object) -> str:
    """Return a person's id in stored form: composed (NFC), without surrounding spaces.

    Raises:
        GalleryError: The id is not a string, is empty, or cannot be encoded in UTF-8.
    """
    return text(canonical(text(value, "a person id")), "a person id")


def text(value: object, what: str) -> str:
    """Return `value` if the store can hold it.

    Raises:
        GalleryError: The value is not a string, is empty, or cannot be encoded in UTF-8.
    """
    if not isinstance(value, str) or not value:
        raise GalleryError(
            f"{what} must be a string of at least one character, not {reprlib.repr(value)}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"{what} cannot be encoded in UTF-8: {shown(value)}") from error
    return value
