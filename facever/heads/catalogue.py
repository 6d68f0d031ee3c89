"""A description of each head, for people who choose one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from facever.heads.base import Head, HeadConfig
from facever.heads.registry import HEADS, head_class, head_names, written_name
from facever.render.values import Record

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
    """One parameter of a head's configuration.

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


@dataclass(frozen=True)
class HeadCard(Record):
    """A head as its class declares it.

    Attributes:
        name: As in configurations; NAME stands for the members of a family.
        summary: One line.
        metric: The similarity by which verification must compare its embeddings.
        images_per_identity: The least number of images of one identity in a batch.
        beside: The targets that a training must load instead of labels, or None.
        paper: Authors, venue, year and equation.
        parameters: The head's own, with defaults.
        common: Those that every head has.
    """

    name: str
    summary: str
    metric: str
    images_per_identity: int
    beside: str | None
    paper: str
    parameters: tuple[Parameter, ...]
    common: tuple[Parameter, ...]

    @property
    def sampling(self) -> str:
        """What a batch must hold, in words."""
        if self.images_per_identity > 1:
            return f"{self.images_per_identity} or more images of each identity"
        return "any batch" if self.beside is None else f"any batch, with {self.beside}"

    def to_text(self, common: bool = True) -> str:
        """Return the card as lines; `common` adds what every head takes."""
        lines = [
            f"{self.name}: {self.summary}",
            f"    paper: {self.paper}",
            f"    compare by: {self.metric}; sampling: {self.sampling}",
        ]
        for parameter in (*self.parameters, *(self.common if common else ())):
            lines += [f"    {line}" for line in parameter_lines(parameter)]
        return "\n".join(lines)


def catalogue() -> list[HeadCard]:
    """Return the card of every head, in alphabetical order."""
    return [_card(HEADS[name]) for name in head_names()]


def card(name: str) -> HeadCard:
    """Return the card of one head; for a member of a family, such as pml:NAME, the family's.

    Raises:
        ConfigError: There is no such head.
    """
    return _card(HEADS[name] if name in HEADS else head_class(name))


def _card(head: type[Head]) -> HeadCard:
    schema = head.Config.model_json_schema()
    parameters = tuple(_parameters(schema, schema.get("$defs", {})))
    return HeadCard(
        name=written_name(head.name),
        summary=(head.__doc__ or "").partition("\n")[0],
        metric=head.metric,
        images_per_identity=head.images_per_identity,
        beside=head.beside,
        paper=head.paper,
        parameters=tuple(p for p in parameters if p.name not in HeadConfig.model_fields),
        common=tuple(p for p in parameters if p.name in HeadConfig.model_fields),
    )


def parameter_lines(parameter: Parameter) -> list[str]:
    """Return a parameter as lines: its name, default, meaning and range; then what is inside."""
    default = "(required)" if parameter.required else f"= {_written(parameter.default)}"
    lines = [f"{parameter.name} {default}: {parameter.description} ({parameter.takes})"]
    return lines + [f"    {line}" for inner in parameter.inside for line in parameter_lines(inner)]


def _parameters(schema: dict[str, Any], named: dict[str, Any]) -> Iterator[Parameter]:
    for key, field in schema["properties"].items():
        if key == "name":
            continue
        mappings = [_resolved(choice, named) for choice in _choices(field)]
        inside = [choice for choice in mappings if "properties" in choice]
        yield Parameter(
            name=key,
            required=key in schema.get("required", ()),
            default=field.get("default"),
            takes=", or ".join(_takes(choice, named) for choice in _choices(field)),
            description=field.get("description", ""),
            inside=tuple(p for choice in inside for p in _parameters(choice, named)),
        )


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
    bounds = ", ".join(f"{word} {field[key]:.4g}" for key, word in _BOUNDS.items() if key in field)
    return f"{kind} {bounds}".strip()


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _written(value: Any) -> str:
    """Return a value as in YAML."""
    return json.dumps(value) if isinstance(value, bool | None) else str(value)
