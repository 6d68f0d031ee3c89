"""Metadata of people: JSON values, and filters on them.

Values from a table are text; values from Python can be numbers. `text_of` converts both sides of a
comparison, so that 3, 3.0 and "3" are equal, as in every other column.
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

Conditions = dict[str, list[Any]]  # allowed values by key

_MANY_DIGITS = re.compile(r"\d{19,}")


def metadata_in(written: object) -> dict[str, Any] | None:
    """Return a person's metadata from its JSON; None if the JSON is damaged."""
    try:
        known = stored_json(written)
    except ValueError:
        return None
    return known if isinstance(known, dict) else None


def stored_json(written: object) -> Any:
    """Return the value of a JSON text in a store.

    Raises:
        ValueError: It is not text, not JSON, or nested deeper than `parse_json` allows.
    """
    if not isinstance(written, str):
        raise ValueError("it is not text")
    parse_json(_MANY_DIGITS.sub("0", written))  # earlier versions stored integers of any size
    return json.loads(written)


def merged(person: str, known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with added keys.

    Raises:
        GalleryError: The addition is not a mapping, a key is not a string, or a value cannot be
            stored as JSON (as `parse_json` reads it) or UTF-8.
    """
    if not isinstance(added, Mapping):
        raise GalleryError(
            "metadata of a person must be keys with values, such as site=A, not "
            f"{reprlib.repr(added)}"
        )
    try:
        for name in added:
            text(name, "a key of metadata")
        parse_json(json.dumps(added, allow_nan=False))
        json.dumps(added, ensure_ascii=False).encode()  # a lone surrogate is not valid text
    except (TypeError, ValueError, RecursionError, GalleryError) as error:
        raise GalleryError(f"metadata of {shown(person)} cannot be stored: {error}") from error
    return {**known, **added}


def checked_where(where: Mapping[str, Any]) -> Conditions:
    """Return a filter with a list of allowed values for each key.

    Raises:
        GalleryError: A key is not a string, or a value is not a string, a number, a boolean, None
            or a list of these.
    """
    if not isinstance(where, Mapping):
        raise GalleryError(f"a filter must be keys with values, such as site=A, not {where!r}")
    conditions = {}
    for key, given in where.items():
        values = list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]
        for value in values:
            if not (value is None or isinstance(value, (str, bool, int, float))):
                raise GalleryError(
                    "a filter value must be text, a number, true, false or none, or a list of "
                    f"these, not {value!r}"
                )
            if isinstance(value, str) and value:
                text(value, "a filter value")
        conditions[text(key, "a key of metadata")] = values
    return conditions


def fits(metadata: Mapping[str, Any], conditions: Conditions) -> bool:
    """Return whether metadata has an allowed value for each key."""
    return all(
        key in metadata and any(_same(metadata[key], value) for value in wanted)
        for key, wanted in conditions.items()
    )


def _same(found: Any, wanted: Any) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return isinstance(found, (str, bool, int, float)) and text_of(found) == text_of(wanted)
