"""JSON files: atomic writes, and reading with limits for files from any source."""

import json
import math
from pathlib import Path
from typing import Any

from facever.core.files import read_regular, write_text

_MOST_JSON_DEPTH = 64
_MOST_JSON_BYTES = 256 * 2**20
_MOST_JSON_INTEGER = 2**63


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, most: int = _MOST_JSON_BYTES) -> Any:
    """Read a JSON file (UTF-8) from any source; see `parse_json`.

    Raises:
        OSError: As `open_regular`.
        ValueError: As `parse_json`, or more than `most` bytes.
    """
    return parse_json(read_regular(path, most))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text from any source.

    Raises:
        ValueError: The text is not JSON (UTF-8), is nested more than 64 deep, or contains an
            integer beyond 64 bits, NaN or infinity.
    """
    if isinstance(text, bytes | bytearray):
        text = text.decode("utf-8-sig")
    try:
        value = _FOREIGN_JSON.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("{") + text.count("[") > _MOST_JSON_DEPTH:
        _check_depth(value)
    return value


def _integer(digits: str) -> int:
    if len(digits) < 21 and -_MOST_JSON_INTEGER <= (value := int(digits)) < _MOST_JSON_INTEGER:
        return value
    raise ValueError(f"the integer {digits[:24]}... is beyond 64 bits")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:24]} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_FOREIGN_JSON = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant
)
_TOO_DEEP = f"JSON nested more than {_MOST_JSON_DEPTH} deep"


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_JSON_DEPTH + 1):
        inside = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for several in inside for one in several if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)
