"""Which people's metadata is as asked: narrowed by SQLite, decided by comparing text.

What a table says of people is text, what Python says may be numbers: both sides go through
`text_of`, so that 3, 3.0 and "3" are one value, as in every other column.
"""

import json
from collections.abc import Mapping
from typing import Any

from facever.core.text import text_of
from facever.errors import GalleryError
from facever.gallery.records import text

Conditions = dict[str, list[Any]]  # by key, the values of which one is wanted


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


def narrowed(conditions: Conditions) -> tuple[str, list[str]]:
    """Return a condition in SQL, and its values, that everybody who is wanted fulfils.

    Metadata is JSON as Python writes it, so a key or text is in it as Python writes that. Texts
    that may be there as a number or a boolean narrow nothing.
    """
    parts, values = ["1"], []
    for key, wanted in conditions.items():
        parts.append("instr(metadata, ?)")
        values.append(f"{json.dumps(key)}: ")
        if all(isinstance(value, str) and not _is_plain_value(value) for value in wanted):
            parts.append(f"({' OR '.join(['0', *['instr(metadata, ?)'] * len(wanted)])})")
            values += [f"{json.dumps(value)}" for value in wanted]
    return " AND ".join(parts), values


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


def _is_plain_value(text_: str) -> bool:
    """Return whether a number or a boolean may be written so by `text_of`."""
    try:
        float(text_)
    except ValueError:
        return text_ in ("True", "False")
    return True
