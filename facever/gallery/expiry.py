"""Expiry: people whose time in the gallery is over.

The metadata `expires` of a person is a date, "2027-01-31", whose day is the last one (UTC), or a
time with its zone, "2027-01-31T12:00:00+00:00", after which they are due.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from facever.gallery.gallery import Gallery

EXPIRES = "expires"
"""The key of metadata."""


class Expiry(NamedTuple):
    """Who is due.

    Args:
        due: Ids of people whose time is over.
        unclear: Ids of people whose `expires` is neither a date nor a time with its zone.
    """

    due: list[str]
    unclear: list[str]


def expired(gallery: "Gallery", now: datetime | None = None) -> Expiry:
    """Return who is due at a time, by default now.

    Args:
        gallery: The gallery.
        now: A time with its zone.
    """
    moment = now or datetime.now(UTC)
    found = Expiry([], [])
    for person, _ in gallery.people():
        metadata = gallery.metadata(person)
        if EXPIRES not in metadata:
            continue
        last = _end_of(metadata[EXPIRES])
        if last is None:
            found.unclear.append(person)
        elif last <= moment:
            found.due.append(person)
    return found


def _end_of(value: object) -> datetime | None:
    """Return when the time is over; None for what is neither a date nor a time with its zone."""
    if not isinstance(value, str):
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        pass
    else:
        return datetime.combine(day + timedelta(days=1), time(), UTC)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment
