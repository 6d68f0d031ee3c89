"""The heads by name. A file in this folder with a registered class is all that a new head needs."""

import pkgutil
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from facever.config import parse
from facever.errors import ConfigError, unknown
from facever.heads.base import Head, HeadConfig

H = TypeVar("H", bound=type[Head])

HEADS: dict[str, type[Head]] = {}
"""Every head by its name."""


def register(head: H) -> H:
    """Make a head known by the name in its configuration."""
    name: str = head.Config.model_fields["name"].default
    assert name not in HEADS, f"two heads are called {name}"
    head.name = name
    HEADS[name] = head
    return head


def head_names() -> list[str]:
    """Return the names of all heads, in alphabetical order."""
    return sorted(HEADS)


def config_union() -> Any:
    """Return the type of "any head's configuration", told apart by its name, for pydantic."""
    configs = [HEADS[name].Config for name in head_names()]
    return Annotated[reduce(or_, configs), Field(discriminator="name")]


def build_head(config: HeadConfig, embedding_size: int, identities: int) -> Head:
    """Return the head of a configuration."""
    return HEADS[config.name](config, embedding_size, identities)


def create_head(
    name: str, *, embedding_size: int, identities: int, **parameters: float | str | bool | None
) -> Head:
    """Return a head by name, as in `create_head("cosface", embedding_size=512, identities=1000)`.

    Args:
        name: One of `head_names()`.
        embedding_size: D, components of an embedding.
        identities: C, number of identities.
        parameters: Of the head's configuration, such as `margin=0.4`.

    Raises:
        ConfigError: An unknown head, or a parameter that it does not take.
    """
    if name not in HEADS:
        raise ConfigError(unknown("head", name, HEADS))
    config = parse(HEADS[name].Config, {"name": name, **parameters}, where=f"head '{name}'")
    return build_head(config, embedding_size, identities)


for _module in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
    import_module(_module.name)
