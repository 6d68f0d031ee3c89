"""What there is to know of each head, for people who choose one."""

from dataclasses import dataclass
from typing import Any

from facever.heads.registry import HEADS, head_names

_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "from",
    "exclusiveMaximum": "below",
    "maximum": "up to",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a head's configuration."""

    name: str
    default: bool | int | float | str | None
    description: str
    bounds: str


@dataclass(frozen=True)
class HeadCard:
    """A head as its class declares it.

    Attributes:
        name: As in configurations.
        summary: One line.
        metric: What verification must compare its embeddings by.
        images_per_identity: How many images of one identity a batch must hold at least.
        paper: Authors, venue, year and equation.
        parameters: With defaults; `weight` is every head's.
    """

    name: str
    summary: str
    metric: str
    images_per_identity: int
    paper: str
    parameters: tuple[Parameter, ...]


def catalogue() -> list[HeadCard]:
    """Return the card of every head, in alphabetical order."""
    return [_card(name) for name in head_names()]


def _card(name: str) -> HeadCard:
    head = HEADS[name]
    properties: dict[str, dict[str, Any]] = head.Config.model_json_schema()["properties"]
    return HeadCard(
        name=name,
        summary=(head.__doc__ or "").partition("\n")[0],
        metric=head.metric,
        images_per_identity=head.images_per_identity,
        paper=head.paper,
        parameters=tuple(
            Parameter(key, schema["default"], schema.get("description", ""), _bounds(schema))
            for key, schema in properties.items()
            if key != "name"
        ),
    )


def _bounds(schema: dict[str, Any]) -> str:
    """Return the allowed range in words, such as "from 0, below 1"."""
    for part in [schema, *schema.get("anyOf", [])]:
        said = [f"{word} {part[key]:.4g}" for key, word in _BOUNDS.items() if key in part]
        if said:
            return ", ".join(said)
    return ""
