"""JSON values of results, made from their fields."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel


class Record:
    """A dataclass whose fields are its JSON values.

    `json_keys` names the keys if they differ from the fields: words, each an attribute or
    KEY=ATTRIBUTE. Both sides may be dotted, for an object within an object.
    """

    json_keys: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        names = self.json_keys.split() or [found.name for found in fields(self)]  # type: ignore[arg-type]
        made: dict[str, Any] = {}
        for name in names:
            key, _, attribute = name.partition("=")
            *outer, last = key.split(".")
            inside = made
            for part in outer:
                inside = inside.setdefault(part, {})
            inside[last] = json_value(_reached(self, attribute or key))
        return made


def _reached(value: Any, path: str) -> Any:
    """Return the value at a dotted path of attributes and of indices of sequences."""
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return value


def json_value(value: Any) -> Any:
    """Return a value for JSON: arrays as lists, NaN and infinity as None."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return json_value(value._asdict())
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return [json_value(item) if np.isfinite(item) else None for item in value]
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return {found.name: json_value(getattr(value, found.name)) for found in fields(value)}
    if isinstance(value, PurePath):
        return str(value)
    return value.value if isinstance(value, Enum) else value
