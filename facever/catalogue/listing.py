"""The entries of the catalogue of public models."""

import json
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from facever.errors import ModelError, unknown

_FILE = Path(__file__).with_name("models.json")


@dataclass(frozen=True)
class Entry:
    """A public model.

    Attributes:
        name: Name for commands and `facever.load_model`.
        title: Short description.
        task: "detection" (a photo to faces) or "embedding" (an image to a vector).
        file: Name of its file.
        size: Size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
        urls: Addresses of its authors, in the order in which they are tried.
        licence: Licence stated by its authors.
        trained_on: Training data, as far as known.
        source: Authors and paper.
        input: Preprocessing of its input: size (height, width), color, mean and std (0..255),
            layout; empty for detectors.
        alignment: "arcface-112", or "none" for a model that takes unaligned crops.
        measured: Results measured by facever.
        operating_points: 1:1 operating points by target rate, as from `OperatingPoint.to_dict`;
            empty if none was measured.
    """

    name: str
    title: str
    task: Literal["detection", "embedding"]
    file: str
    size: int
    sha256: str
    urls: list[str]
    licence: str
    trained_on: str
    source: str
    input: dict[str, Any] = field(default_factory=dict)
    alignment: str = "none"
    measured: str = ""
    operating_points: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@cache
def entries() -> tuple[Entry, ...]:
    """Return all entries, in the catalogue's order."""
    return tuple(Entry(**one) for one in json.loads(_FILE.read_text("utf-8"))["models"])


def is_name(text: str) -> bool:
    """Return whether a text is the name of an entry."""
    return any(one.name == text for one in entries())


def entry(name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        ModelError: There is no such entry.
    """
    for one in entries():
        if one.name == name:
            return one
    raise ModelError(unknown("model", name, [one.name for one in entries()]))
