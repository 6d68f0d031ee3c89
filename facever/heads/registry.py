"""The heads by name. A file in this folder with a registered class is all that a new head needs."""

import pkgutil
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Discriminator, Tag

from facever.config import parse
from facever.errors import ConfigError, unknown
from facever.heads.base import Head, HeadConfig
from facever.heads.classes.layout import PrototypesConfig

H = TypeVar("H", bound=type[Head])

HEADS: dict[str, type[Head]] = {}
"""Every head by its name."""


def register(head: H) -> H:
    """Register a head under the name in its configuration.

    A head whose configuration has no default name is a family: the class has its own `name`, and
    configurations write name:MEMBER, such as pml:NAME.
    """
    default = head.Config.model_fields["name"].default
    if isinstance(default, str):
        head.name = default
    assert head.name not in HEADS, f"two heads are called {head.name}"
    HEADS[head.name] = head
    return head


def head_class(name: str) -> type[Head]:
    """Return the class of a configuration's name; for pml:NAME it is that of pml.

    Raises:
        ConfigError: There is no such head.
    """
    family, colon, _ = name.partition(":")
    if family not in HEADS or is_family(family) != bool(colon):
        raise ConfigError(unknown("head", name, map(written_name, HEADS), most=len(HEADS)))
    return HEADS[family]


def is_family(name: str) -> bool:
    """Return whether the head's name in configurations ends in :MEMBER."""
    return not isinstance(HEADS[name].Config.model_fields["name"].default, str)


def written_name(name: str) -> str:
    """Return how configurations name the head: pml:NAME for the family pml."""
    return f"{name}:NAME" if is_family(name) else name


def head_names() -> list[str]:
    """Return the names of all heads, in alphabetical order."""
    return sorted(HEADS)


def config_union() -> Any:
    """Return the type of "any head's configuration", discriminated by its name, for pydantic."""
    configs = [Annotated[HEADS[name].Config, Tag(written_name(name))] for name in head_names()]
    return Annotated[reduce(or_, configs), Discriminator(_tag)]


def _tag(values: Any) -> str | None:
    """Return which head a configuration is of, as `written_name` has it."""
    name = values.get("name") if isinstance(values, dict) else getattr(values, "name", None)
    if not isinstance(name, str):
        return None
    family, colon, _ = name.partition(":")
    return f"{family}:NAME" if colon else name


def build_head(
    config: HeadConfig,
    embedding_size: int,
    identities: int,
    layout: PrototypesConfig | None = None,
) -> Head:
    """Return the head of a configuration, its prototypes in a layout where it is arrangeable."""
    head = head_class(config.name)(config, embedding_size, identities)
    head.arrange(layout if layout is not None and head.arrangeable else PrototypesConfig())
    return head


def create_head(name: str, *, embedding_size: int, identities: int, **parameters: Any) -> Head:
    """Return a head by name, as in `create_head("cosface", embedding_size=512, identities=1000)`.

    Args:
        name: One of `head_names()`.
        embedding_size: D, components of an embedding.
        identities: C, number of identities.
        parameters: Of the head's configuration, such as `margin=0.4`.

    Raises:
        ConfigError: An unknown head, or a parameter that it does not take.
    """
    config = parse(head_class(name).Config, {"name": name, **parameters}, where=f"head '{name}'")
    return build_head(config, embedding_size, identities)


for _module in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
    import_module(_module.name)
