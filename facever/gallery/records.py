"""What goes into a gallery's store and comes out of it."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from facever.core.text import canonical
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
    """What a gallery is bound to when it is made; every vector that comes in must agree.

    Args:
        fingerprint: Of the extractor that makes the vectors.
        dimension: Of the vectors.
        metric: What the model was trained to be compared by; a gallery compares by cosine.
        preprocessing: The embedder's preprocessing.
        options: The extraction options.
    """

    fingerprint: str
    dimension: int
    metric: str = "cosine"
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What can be chosen for a gallery and changed later; every image's vector stays.

    Args:
        templates: What people are compared by: "all" of their images, their "mean",
            "quality_mean", or "medoids:K".
        storage: How vectors are written: float32, float16 or int8.
        index: "auto", "flat" or a FAISS factory string.
    """

    templates: str = "all"
    storage: Storage = "float32"
    index: str = "auto"


class Change(NamedTuple):
    """A state of the store: its number, and the stamp that no other copy's change shares."""

    number: int
    stamp: str


class Entries(NamedTuple):
    """Entries, in the order of their numbers.

    Args:
        numbers: int64 [N], ascending; never used twice.
        owners: People's keys, int64 [N]; in an index, -1 for entries that were removed.
        vectors: float32 [N, D], unit rows.
        checksums: uint32 [N], of each vector with its number and owner (`checksums.py`).
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
    """Return the entries of at least one part, one part after the other."""
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
        norms: Lengths before normalising, or None where not known.
        sources: Where the images came from, such as absolute paths, or None.
        hashes: Hashes of the images' bytes, or None.
        qualities: How much each image counts in a quality-weighted mean, above 0; where there is
            none, its norm serves.
        times: When each was enrolled, ISO 8601 in UTC, where that is not now.
        photos: The landmarks of the face that was found in each photo, as rows hold them (empty
            where they are not known), and None for a crop.
    """

    people: Sequence[str]
    vectors: Vectors
    norms: Sequence[float | None]
    sources: Sequence[str | None]
    hashes: Sequence[str | None]
    qualities: Sequence[float | None] | None = None
    times: Sequence[str] | None = None
    photos: Sequence[str | None] | None = None

    def rows(self, which: Sequence[int]) -> "NewImages":
        """Return some of the images."""
        return NewImages(
            [self.people[row] for row in which],
            self.vectors if len(which) == len(self.vectors) else self.vectors[list(which)],
            [self.norms[row] for row in which],
            [self.sources[row] for row in which],
            [self.hashes[row] for row in which],
            [self.qualities[row] for row in which] if self.qualities is not None else None,
            [self.times[row] for row in which] if self.times is not None else None,
            [self.photos[row] for row in which] if self.photos is not None else None,
        )


class PersonImages(NamedTuple):
    """A person, and how many images there are of them."""

    person: str
    images: int


@dataclass(frozen=True)
class StoredImage(Record):
    """What a gallery knows of an image beside its vector.

    Args:
        image: Its number in the gallery.
        source: Where it came from, or None.
        hash: Of its bytes, or None.
        enrolled: When, ISO 8601 in UTC.
        norm: The length of its embedding before it was normalised, or None.
        quality: How much it counts in a quality-weighted mean; where None, its norm serves.
    """

    image: int
    source: str | None
    hash: str | None
    enrolled: str
    norm: float | None
    quality: float | None


@dataclass(frozen=True)
class PendingImage:
    """An image that a migration has yet to embed by the new model.

    `landmarks` are those of the face in a photo, empty where they are not known; None is a crop.
    """

    image: int
    person: str
    source: str | None
    hash: str | None
    landmarks: str | None = None


@dataclass(frozen=True)
class Audited(Record):
    """That something was removed: when and how much, but not whom.

    Args:
        time: ISO 8601 in UTC.
        action: "remove", "remove images", "merge", "rename" or "migrate".
        images: How many images went.
        person: HMAC-SHA256 of the person's id under a random key of the gallery's own.
        change: The number of the change.
    """

    time: str
    action: str
    images: int
    person: str
    change: int


@dataclass(frozen=True)
class Finding(Record):
    """Something that is wrong with a gallery.

    Args:
        part: "store", "templates", "decisions", "index" or "files".
        problem: What, in one line.
    """

    part: str
    problem: str


class Row(NamedTuple):
    """An image as it is exported, beside its vector."""

    person: str
    metadata: str
    source: str | None
    hash: str | None
    enrolled: str
    norm: float | None
    quality: float | None
    landmarks: str | None = None


@dataclass(frozen=True)
class MigrationState:
    """How far a migration is.

    Args:
        binding: Of the new model.
        done: Images that are embedded by it.
        pending: Images that are not yet.
    """

    binding: Binding
    done: int
    pending: int


@dataclass(frozen=True)
class Duplicate:
    """An image that was there already.

    Args:
        index: Its position among the images given.
        person: Under whom it was to be enrolled.
        known_as: Under whom it was there.
        source: Where it came from, where known.
        score: The cosine by which it is near one that was there; None where it is the same by its
            hash or source.
    """

    index: int
    person: str
    known_as: str
    source: str | None
    score: float | None = None

    def what(self) -> str:
        """Return a name of the image for a message."""
        return shown(self.source) if self.source is not None else f"image {self.index}"


def several(values: Sequence[T], what: str) -> Sequence[T]:
    """Return values that are given as a list, not as one text, whose letters would be taken.

    Raises:
        GalleryError: It is one text.
    """
    if isinstance(values, (str, bytes)):
        raise GalleryError(f"{what} are given as a list, such as [{reprlib.repr(values)}]")
    return values


def shown(value: str) -> str:
    """Return a text from outside in quotes and in one line, fit for a message or a terminal."""
    line = plain(value)
    return f"'{line}'" if len(line) <= 120 else f"'{line[:117]}...'"


def person_id(value: object) -> str:
    """Return a person's id as it is kept: composed (NFC), without space around it.

    Raises:
        GalleryError: Not a text, empty, or not expressible in UTF-8.
    """
    return text(canonical(text(value, "a person id")), "a person id")


def text(value: object, what: str) -> str:
    """Return `value` when the store can hold it.

    Raises:
        GalleryError: Not a text, empty, or not expressible in UTF-8.
    """
    if not isinstance(value, str) or not value:
        raise GalleryError(
            f"{what} must be a text of at least one character, not {reprlib.repr(value)}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"{what} cannot be written in UTF-8: {shown(value)}") from error
    return value
