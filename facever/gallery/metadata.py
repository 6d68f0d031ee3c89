"""Metadata of people: what JSON can keep, and which of it matches a filter.

Values of a table are text, values from Python may be numbers: both sides of a comparison go through
`text_of`, so that 3, 3.0 and "3" are equal, as in every other column.
"""

import json
import re
import reprlib
from collections.abc import Mapping
from typing import Any

from facever.core.json_files import parse_json
from facever.core.text import text_of
from facever.errors import GalleryError
from facever.gallery.records import shown, text

Conditions = dict[str, list[Any]]  # by key, the values of which one is wanted

_MANY_DIGITS = re.compile(r"\d{19,}")


def metadata_in(written: object) -> dict[str, Any] | None:
    """Return what is known of a person, from its JSON; None where that is damaged."""
    try:
        known = stored_json(written)
    except ValueError:
        return None
    return known if isinstance(known, dict) else None


def stored_json(written: object) -> Any:
    """Return the value of a JSON text in a store.

    Raises:
        ValueError: No text, no JSON, or nested deeper than `parse_json` allows.
    """
    if not isinstance(written, str):
        raise ValueError("it is no text")
    parse_json(_MANY_DIGITS.sub("0", written))  # earlier versions kept integers of any size
    return json.loads(written)


def merged(person: str, known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known with what is added.

    Raises:
        GalleryError: What is added is not keys with values, a key is no text, or JSON (as
            `parse_json` reads it) or UTF-8 cannot hold a value.
    """
    if not isinstance(added, Mapping):
        raise GalleryError(
            f"metadata of a person is keys with values, such as site=A, not {reprlib.repr(added)}"
        )
    try:
        for name in added:
            text(name, "a key of metadata")
        parse_json(json.dumps(added, allow_nan=False))
        json.dumps(added, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (TypeError, ValueError, RecursionError, GalleryError) as error:
        raise GalleryError(f"metadata of {shown(person)} cannot be kept: {error}") from error
    return {**known, **added}


def checked_where(where: Mapping[str, Any]) -> Conditions:
    """Return a filter with a list of values for each key.

    Raises:
        GalleryError: A key that is no text, or a value that is neither a text, a number, a boolean
            or None nor a list of these.
    """
    if not isinstance(where, Mapping):
        raise GalleryError(f"a filter is keys with values, such as site=A, not {where!r}")
    conditions = {}
    for key, given in where.items():
        values = list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]
        for value in values:
            if not (value is None or isinstance(value, (str, bool, int, float))):
                raise GalleryError(
                    f"people are found by a text, a number, true, false or none, or a list of "
                    f"these, not by {value!r}"
                )
            if isinstance(value, str) and value:
                text(value, "a value to find people by")
        conditions[text(key, "a key of metadata")] = values
    return conditions


def fits(metadata: Mapping[str, Any], conditions: Conditions) -> bool:
    """Return whether metadata has one of the values wanted for each key."""
    return all(
        key in metadata and any(_same(metadata[key], value) for value in wanted)
        for key, wanted in conditions.items()
    )


def _same(found: Any, wanted: Any) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return isinstance(found, (str, bool, int, float)) and text_of(found) == text_of(wanted)
