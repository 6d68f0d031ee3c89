"""Where and when images of a gallery were taken: camera and time, and filters on them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from facever.core.text import text_of
from facever.errors import GalleryError, unknown
from facever.gallery.records import shown, text
from facever.gallery.templates import ALL

_KEYS = ("camera", "taken")


class ImageFilter(NamedTuple):
    """A filter of images; an image without a value that it asks for does not match.

    Args:
        cameras: Allowed cameras, in stored form; None for any.
        first: Earliest time, in stored form, included; None for no limit.
        last: Latest time, included; None for no limit.
    """

    cameras: tuple[str, ...] | None = None
    first: str | None = None
    last: str | None = None

    def condition(self) -> tuple[str, list[str]]:
        """Return an SQL condition on rows of images, and its values."""
        parts, values = ["1 = 1"], list[str]()
        if self.cameras is not None:
            each = " OR ".join(["1 = 0", *["camera = ?"] * len(self.cameras)])
            parts.append(f"({each})")
            values += self.cameras
        for end, compared in ((self.first, ">="), (self.last, "<=")):
            if end is not None:
                parts.append(f"taken {compared} ?")
                values.append(end)
        return " AND ".join(parts), values


def checked_images(where: Mapping[str, Any], templates: str) -> ImageFilter:
    """Return a filter of images.

    Args:
        where: `camera`, one or a list; `taken`, a range {"from": TIME, "to": TIME} or one of them.
        templates: The gallery's template policy.

    Raises:
        GalleryError: The gallery has templates made of several images, a key is unknown, or a value
            is of another kind.
    """
    if templates != ALL:
        raise GalleryError(
            f"images cannot be filtered in a gallery with templates '{templates}', which are made "
            f"of several images: use templates '{ALL}'"
        )
    if not isinstance(where, Mapping) or not where:
        raise GalleryError(
            f"a filter of images must be keys with values, such as camera=c1, not {where!r}"
        )
    for key in where:
        if key not in _KEYS:
            raise GalleryError(unknown("key of a filter of images", str(key), _KEYS))
    cameras = _cameras(where["camera"]) if "camera" in where else None
    return ImageFilter(cameras, *(_range(where["taken"]) if "taken" in where else (None, None)))


def camera_of(value: object) -> str:
    """Return a camera in stored form: 1, 1.0 and "1" are one camera.

    Raises:
        GalleryError: It is not a text or a number, or is empty.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
        raise GalleryError(f"a camera must be a text or a number, not {value!r}")
    return text(text_of(value), "a camera")


def time_of(value: object) -> str:
    """Return a time in stored form: ISO 8601 in UTC, in the order of time.

    Args:
        value: ISO 8601 text, or a datetime, with an offset from UTC.

    Raises:
        GalleryError: It is not a time, or has no offset.
    """
    time = value
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            time = None
    if not isinstance(time, datetime) or time.tzinfo is None:
        what = shown(value) if isinstance(value, str) else repr(value)
        raise GalleryError(
            f"the time {what} is not ISO 8601 with an offset from UTC, such as "
            "2026-11-01T08:30:00+01:00"
        )
    try:
        return time.astimezone(UTC).isoformat()
    except OverflowError as error:
        raise GalleryError(f"the time {value} is outside the years 1 to 9999 of UTC") from error


def _cameras(given: object) -> tuple[str, ...]:
    several = given if isinstance(given, list | tuple | set | frozenset) else [given]
    return tuple(sorted({camera_of(one) for one in several}))


def _range(given: object) -> tuple[str | None, str | None]:
    if not isinstance(given, Mapping) or not given or not set(given) <= {"from", "to"}:
        raise GalleryError(
            f'taken must be {{"from": TIME, "to": TIME}} or one of them, not {given!r}'
        )
    first, last = (
        None if given.get(end) is None else time_of(given[end]) for end in ("from", "to")
    )
    if first is None and last is None:
        raise GalleryError('taken must have "from" or "to"')
    return first, last
