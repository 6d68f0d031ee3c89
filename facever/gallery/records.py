"""What goes into a gallery's store and comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.errors import GalleryError, plain

Duplicates = Literal["skip", "keep", "refuse"]
Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]


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


class Change(NamedTuple):
    """A state of the store: its number, and the stamp that no other copy's change shares."""

    number: int
    stamp: str


@dataclass(frozen=True)
class NewImages:
    """Images to enroll, all columns of length N.

    Args:
        people: Person ids.
        vectors: float32 [N, D], unit rows.
        norms: Lengths before normalising, or None where not known.
        sources: Where the images came from, such as absolute paths, or None.
        hashes: Hashes of the images' bytes, or None.
    """

    people: Sequence[str]
    vectors: Vectors
    norms: Sequence[float | None]
    sources: Sequence[str | None]
    hashes: Sequence[str | None]

    def rows(self, which: Sequence[int]) -> "NewImages":
        """Return some of the images."""
        return NewImages(
            [self.people[row] for row in which],
            self.vectors if len(which) == len(self.vectors) else self.vectors[list(which)],
            [self.norms[row] for row in which],
            [self.sources[row] for row in which],
            [self.hashes[row] for row in which],
        )


@dataclass(frozen=True)
class Duplicate:
    """An image that was there already.

    Args:
        index: Its position among the images given.
        person: Under whom it was to be enrolled.
        known_as: Under whom it was there.
        source: Where it came from, where known.
    """

    index: int
    person: str
    known_as: str
    source: str | None

    def what(self) -> str:
        """Return a name of the image for a message."""
        return shown(self.source) if self.source is not None else f"image {self.index}"


def shown(value: str) -> str:
    """Return a text from outside in quotes and in one line, fit for a message or a terminal."""
    line = plain(value)
    return f"'{line}'" if len(line) <= 120 else f"'{line[:117]}...'"


def text(value: object, what: str) -> str:
    """Return `value` when the store can hold it.

    Raises:
        GalleryError: Not a text, empty, or not expressible in UTF-8.
    """
    if not isinstance(value, str) or not value:
        raise GalleryError(f"{what} must be a text of at least one character, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"{what} cannot be written in UTF-8: {value!r}") from error
    return value
