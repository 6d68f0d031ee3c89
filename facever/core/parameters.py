"""The parameters of a configuration in words, read from its JSON schema."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from facever.errors import ConfigError, unknown

_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "from",
    "exclusiveMaximum": "below",
    "maximum": "up to",
}
_KINDS = {
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a configuration.

    Attributes:
        name: The key in a configuration.
        required: Whether it must be given; `default` is None then.
        default: Its value where it is not given, in JSON's terms.
        takes: What it takes in words, such as "number above 0, or 'learned'".
        description: What it is.
        inside: The keys of a mapping, where it may be one.
    """

    name: str
    required: bool
    default: Any
    takes: str
    description: str
    inside: tuple["Parameter", ...] = ()


def parameter_lines(parameter: Parameter) -> list[str]:
    """Return a parameter as lines: its name, default, meaning and range; then what is inside."""
    default = "(required)" if parameter.required else f"= {_written(parameter.default)}"
    lines = [f"{parameter.name} {default}: {parameter.description} ({parameter.takes})"]
    return lines + [f"    {line}" for inner in parameter.inside for line in parameter_lines(inner)]


def find(parameters: Sequence[Parameter], key: str) -> Parameter:
    """Return the parameter of a dotted key.

    Raises:
        ConfigError: There is no such key.
    """
    above, found = "", None
    for name in key.split("."):
        known = {one.name: one for one in (parameters if found is None else found.inside)}
        if name not in known:
            if found is not None and not known:
                reason = f"{above[:-1]} has no keys below it: {found.description}"
                raise ConfigError(f"unknown key '{key}'; {reason}")
            inside = [one for one in _dotted(parameters) if one.endswith(f".{key}")]
            if inside:
                near = get_close_matches(key, known, n=1, cutoff=0.8)
                said = " or ".join([*near, *sorted(inside, key=len)])
                raise ConfigError(f"unknown key '{key}'; did you mean {said}?")
            raise ConfigError(unknown("key", f"{above}{name}", [above + one for one in known]))
        found, above = known[name], f"{above}{name}."
    assert found is not None
    return found


def _dotted(parameters: Sequence[Parameter], above: str = "") -> Iterator[str]:
    for one in parameters:
        yield above + one.name
        yield from _dotted(one.inside, f"{above}{one.name}.")


def to_yaml(parameters: Sequence[Parameter], values: Any = None, indent: str = "") -> list[str]:
    """Return the lines of a YAML file with every key, its meaning, range and default.

    Args:
        parameters: Of one level.
        values: Defaults of this level, where they are others than those of the parameters.
        indent: In front of each line.
    """
    lines = []
    for one in parameters:
        value = values.get(one.name, one.default) if isinstance(values, dict) else one.default
        nested = bool(one.inside) and (isinstance(value, dict) or one.required)
        said = one.description if nested else f"{one.description} ({one.takes})"
        lines += textwrap.wrap(
            said, 98, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        if nested:
            lines += [f"{indent}{one.name}:", *to_yaml(one.inside, value, f"{indent}  ")]
            continue
        shown = "null  # required" if one.required else json.dumps(value)
        lines.append(f"{indent}{one.name}: {shown}")
        if one.inside:  # of a mapping that is not there by default
            lines += to_yaml(one.inside, indent=f"{indent}#   ")
    return lines


def parameters_of(schema: dict[str, Any]) -> tuple[Parameter, ...]:
    """Return the parameters that a JSON schema of pydantic describes."""
    return tuple(_parameters(schema, schema.get("$defs", {})))


def _parameters(schema: dict[str, Any], named: dict[str, Any]) -> Iterator[Parameter]:
    for key, field in schema["properties"].items():
        choices = [choice.get("items", choice) for choice in _choices(field)]
        mappings = [_resolved(choice, named) for choice in choices]
        inside = [choice for choice in mappings if "properties" in choice]
        yield Parameter(
            name=key,
            required=key in schema.get("required", ()),
            default=field.get("default"),
            takes=", or ".join(_takes(choice, named) for choice in _choices(field)),
            description=field.get("description") or (_meaning(inside[0]) if inside else ""),
            inside=tuple(p for choice in inside for p in _parameters(choice, named)),
        )


def _meaning(schema: dict[str, Any]) -> str:
    """Return the first sentence of the docstring of a nested configuration."""
    text = " ".join(schema.get("description", "").partition("\n\n")[0].split())
    return text.rstrip(".")


def _choices(field: dict[str, Any]) -> list[dict[str, Any]]:
    choices: list[dict[str, Any]] = field.get("anyOf") or field.get("oneOf") or [field]
    return choices


def _resolved(field: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    definition: dict[str, Any] = named.get(field.get("$ref", "").rpartition("/")[2], field)
    return definition


def _takes(field: dict[str, Any], named: dict[str, Any]) -> str:
    """Return what a field takes in words, such as "number from 0, below 1"."""
    if "$ref" in field:
        return "a mapping of the keys below"
    if "const" in field:
        return _quoted(field["const"])
    if "enum" in field:
        return ", ".join(_quoted(value) for value in field["enum"])
    if field.get("type") == "array":
        items = field.get("items", {})
        return f"a list of {_takes(items, named)}" if items else "a list"
    kind = _KINDS.get(field.get("type", ""), "a mapping")
    bounds = ", ".join(
        f"{word} {_number(field[key])}" for key, word in _BOUNDS.items() if key in field
    )
    return f"{kind} {bounds}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:g}"


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _written(value: Any) -> str:
    """Return a value as in YAML."""
    return json.dumps(value) if isinstance(value, bool | None) else str(value)
