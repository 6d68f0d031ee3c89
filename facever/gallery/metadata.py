"""Metadata of people: JSON values, and filters on them.

Values from a table are text; values from Python can be numbers. `text_of` converts both sides of a
comparison, so that 3, 3.0 and "3" are equal, as in every other column.
"""

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from facever.core.json_files import parse_json
from facever.core.text import text_of
from facever.errors import GalleryError
from facever.gallery.records import shown, text

Conditions = dict[str, list[Any]]  # allowed values and ranges by key

_MANY_DIGITS = re.compile(r"\d{19,}")


class ValueRange(NamedTuple):
    """Values from `first` to `last`, both included; None: without an end.

    Numbers are compared with numbers, and texts with texts by their characters, as ISO 8601 times
    of one zone are.
    """

    first: str | float | None
    last: str | float | None

    def holds(self, value: object) -> bool:
        """Return whether a value lies in the range; values of another type do not."""
        known = value is not None
        return known and _reaches(value, self.first) and _reaches(self.last, value)


def _reaches(value: Any, end: Any) -> bool:
    """Return whether `value` is at or after `end`; an end of a range that is None is no end."""
    if value is None or end is None:
        return True
    both_numbers = _is_number(value) and _is_number(end)
    return (both_numbers or (isinstance(value, str) and isinstance(end, str))) and value >= end


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
        GalleryError: A key is not a string, or a value is not a string, a number, a boolean, None,
            a list of these, or a range: {"from": VALUE, "to": VALUE} or one of them.
    """
    if not isinstance(where, Mapping):
        raise GalleryError(f"a filter must be keys with values, such as site=A, not {where!r}")
    conditions = {}
    for key, given in where.items():
        if isinstance(given, Mapping):
            conditions[text(key, "a key of metadata")] = [_range_of(given)]
            continue
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


def is_texts(wanted: Sequence[Any]) -> bool:
    """Return whether only metadata with one of these texts can match, as a text."""
    return all(isinstance(value, str) and not _is_plain_value(value) for value in wanted)


def _is_plain_value(text_: str) -> bool:
    """Return whether a text can be the result of `text_of` for a number or boolean."""
    try:
        float(text_)
    except ValueError:
        return text_ in ("True", "False")
    return True


def _range_of(given: Mapping[Any, Any]) -> ValueRange:
    ends = [given.get("from"), given.get("to")]
    kinds = {isinstance(end, str) for end in ends if end is not None}
    sound = all(end is None or isinstance(end, str) or _is_number(end) for end in ends)
    if not set(given) <= {"from", "to"} or len(kinds) != 1 or not sound:
        raise GalleryError(
            'a range of a filter must be {"from": VALUE, "to": VALUE} or one of them, two texts or '
            f"two numbers, not {reprlib.repr(dict(given))}"
        )
    return ValueRange(*ends)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, ValueRange):
        return wanted.holds(found)
    if found is None or wanted is None:
        return found is wanted
    return isinstance(found, (str, bool, int, float)) and text_of(found) == text_of(wanted)
