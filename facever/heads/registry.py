"""The heads by name. A file in this folder with a registered class is all that a new head needs.

A head of another package is registered the same way, see docs/plug-ins.md.
"""

import pkgutil
from functools import lru_cache, reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    Discriminator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    TypeAdapter,
)
from pydantic_core import CoreSchema, core_schema

from facever import plugins
from facever.config import parse
from facever.errors import ConfigError, unknown
from facever.heads.base import Head, HeadConfig
from facever.heads.classes.layout import PrototypesConfig

H = TypeVar("H", bound=type[Head])

HEADS: dict[str, type[Head]] = {}
"""Every head that is registered, by its name: those of facever, and of plug-ins once imported."""


def register(head: H) -> H:
    """Register a head under the name in its configuration; a decorator of its class.

    A head whose configuration has no default name is a family: its class has its own `name`, and
    configurations write name:MEMBER, such as pml:NAME.

    Raises:
        ConfigError: It is not a `Head`, has no `Config` with a name, or the name is taken.
    """
    own = f"{getattr(head, '__module__', '')}.{getattr(head, '__qualname__', head)}"
    if not (isinstance(head, type) and issubclass(head, Head)):
        raise ConfigError(f"{own} is not a head: derive its class from facever.heads.Head")
    config = getattr(head, "Config", None)
    if not (isinstance(config, type) and issubclass(config, HeadConfig)):
        raise ConfigError(
            f"head {own} has no Config: nest 'class Config(HeadConfig)' with "
            '\'name: Literal["NAME"] = "NAME"\' in it'
        )
    default = config.model_fields["name"].default
    if isinstance(default, str):
        head.name = default
    if not isinstance(getattr(head, "name", None), str):
        raise ConfigError(
            f'head {own}: Config.name has no default: write \'name: Literal["NAME"] = "NAME"\''
        )
    taken = HEADS.get(head.name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (
        *(head.__module__, head.__qualname__),  # the same class again, of a notebook's cell
    ):
        raise ConfigError(
            f"head {own}: the name '{head.name}' is that of {taken.__module__}."
            f"{taken.__qualname__}: give Config.name another default"
        )
    HEADS[head.name] = head
    return head


def head_class(name: str) -> type[Head]:
    """Return the class of a configuration's name; for pml:NAME it is that of pml.

    Raises:
        ConfigError: There is no such head, or the package that brings it cannot be imported.
    """
    family, colon, _ = name.partition(":")
    if not _is_found(family) or is_family(family) != bool(colon):
        known = [written_name(one) for one in head_names()]
        raise ConfigError(unknown("head", name, known, most=len(known)))
    return HEADS[family]


def _is_found(name: str) -> bool:
    """Return whether there is such a head; a plug-in that brings it is imported.

    Raises:
        ConfigError: The plug-in cannot be imported.
    """
    if name not in HEADS:
        plugins.import_named_by_the_environment()
    if name not in HEADS and (found := plugins.load_entry(plugins.HEADS, name)) is not None:
        _take(name, found)
    return name in HEADS


def _take(name: str, found: Any) -> None:
    """Register what an entry point names: a head's class, or a module that registers it.

    Raises:
        ConfigError: That gives no head of this name.
    """
    if isinstance(found, type) and found not in HEADS.values():
        register(found)
    if name not in HEADS:
        raise ConfigError(
            f"{plugins.describe_entry(plugins.HEADS, name)} gives no head '{name}': name it as "
            "the default of the head's Config.name"
        )


def is_family(name: str) -> bool:
    """Return whether the head's name in configurations ends in :MEMBER."""
    return not isinstance(HEADS[name].Config.model_fields["name"].default, str)


def written_name(name: str) -> str:
    """Return how configurations name the head: pml:NAME for the family pml."""
    return f"{name}:NAME" if is_family(name) else name


def head_names() -> list[str]:
    """Return the names of all heads, those of plug-ins too, in alphabetical order.

    A plug-in that cannot be used is named in a warning.

    Raises:
        ConfigError: FACEVER_IMPORTS names a module that cannot be imported.
    """
    plugins.import_named_by_the_environment()
    for name, found in plugins.load_entries(plugins.HEADS).items():
        try:
            _take(name, found)
        except ConfigError as error:
            plugins.warn_once(str(error))
    return sorted(HEADS)


class AnyHead:
    """For pydantic: the configuration of any head that is known when a value is validated."""

    def __get_pydantic_core_schema__(
        self,
        source: Any,
        handler: GetCoreSchemaHandler,
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(
        self,
        schema: CoreSchema,
        handler: GetJsonSchemaHandler,
    ) -> dict[str, Any]:
        return {"type": "object", "title": "head"}

    def validate(self, values: Any) -> HeadConfig:
        """Return the configuration of the head that the values name."""
        tag = _tag(values)
        try:
            if tag is not None and not _is_found(tag.partition(":")[0]):
                head_names()  # all that there are, for the message
        except ConfigError as error:
            raise ValueError(str(error)) from error
        found: HeadConfig = _adapter(tuple(HEADS.items())).validate_python(values)
        return found

    @property
    def choices(self) -> Any:
        """The union of the configurations, for messages."""
        return _union(tuple(HEADS.items()))


def config_union() -> Any:
    """Return the type of "any head's configuration", discriminated by its name, for pydantic.

    Heads that are registered later are part of it too.
    """
    return Annotated[HeadConfig, AnyHead()]


def _union(heads: tuple[tuple[str, type[Head]], ...]) -> Any:
    configs = [Annotated[head.Config, Tag(written_name(name))] for name, head in sorted(heads)]
    return Annotated[reduce(or_, configs), Discriminator(_tag)]


@lru_cache(maxsize=2)
def _adapter(heads: tuple[tuple[str, type[Head]], ...]) -> TypeAdapter[Any]:
    return TypeAdapter(_union(heads))


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
