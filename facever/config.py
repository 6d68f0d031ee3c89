"""Typed configuration: YAML files, `key=value` overrides, and errors that name the key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from facever.errors import ConfigError, nearest
from facever.files import write_text


class Config(BaseModel):
    """The base of every configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


C = TypeVar("C", bound=Config)


def load(kind: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a YAML file, apply `key=value` overrides and validate.

    Args:
        kind: The configuration's class.
        path: The YAML file.
        overrides: Each "dotted.key=value", the value in YAML; list items by their index, such as
            "heads.0.margin=0.4".

    Raises:
        ConfigError: No such file, not YAML, an override without "=", or a key or value that is
            not allowed.
    """
    if not path.is_file():
        raise ConfigError(f"no configuration file at {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold 'key: value' lines, not a {type(values).__name__}")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"'{override}' is not an override of the form key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"the value of '{override}' is not YAML") from error
        _assign(values, key, value)
    return parse(kind, values, where=str(path))


def parse(kind: type[C], values: Mapping[str, Any], where: str = "configuration") -> C:
    """Validate values against a configuration class.

    Raises:
        ConfigError: One line for the first wrong key: its path, what is allowed, the nearest match.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        raise ConfigError(f"{where}: {_describe(kind, first)}{more}") from error


def dump(config: Config, path: Path) -> None:
    """Write the resolved configuration as YAML, atomically."""
    write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted key, making the mappings on its way."""
    *parents, last = key.split(".")
    here: Any = values
    for depth, name in enumerate([*parents, last]):
        final = depth == len(parents)
        if isinstance(here, list):
            if not name.isdigit() or int(name) >= len(here):
                raise ConfigError(f"'{key}': {name} is not an index into a list of {len(here)}")
            if final:
                here[int(name)] = value
            else:
                here = here[int(name)]
        elif isinstance(here, dict):
            if final:
                here[name] = value
            else:
                here[name] = {} if here.get(name) is None else here[name]
                here = here[name]
        else:
            raise ConfigError(f"'{key}': '{parents[depth - 1]}' holds a value, not a mapping")


def _describe(kind: type[BaseModel], error: ErrorDetails) -> str:
    location = error["loc"]
    path = ".".join(_written(location, kind))
    if error["type"] == "extra_forbidden":
        owner = _model_at(kind, location[:-1])
        allowed = sorted(owner.model_fields) if owner is not None else []
        name = str(location[-1])
        return f"unknown key '{path}'{nearest(name, allowed)} (allowed: {', '.join(allowed)})"
    if error["type"] == "union_tag_invalid":
        context = error["ctx"]
        allowed = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        tag = str(context["tag"])
        key = str(context["discriminator"]).strip("'")
        return (
            f"unknown {path}.{key} '{tag}'{nearest(tag, allowed)} (allowed: {', '.join(allowed)})"
        )
    if error["type"] == "union_tag_not_found":
        return f"'{path}' needs a {error['ctx']['discriminator']!s}"
    if error["type"] == "missing":
        return f"'{path}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    shown = repr(error["input"])
    if isinstance(error["input"], dict | list) or len(shown) > 60:
        return f"'{path}': {message}" if path else message
    return f"'{path}' is {shown}: {message}"


def _written(location: Sequence[int | str], kind: type[BaseModel]) -> list[str]:
    """Return the path as the user writes it, without the tags that tell a union apart."""
    parts = []
    for depth, part in enumerate(location):
        owner = _model_at(kind, location[: depth + 1])
        tag = depth and isinstance(location[depth - 1], int) and owner and _tag_of(owner) == part
        if not tag:
            parts.append(str(part))
    return parts


def _model_at(kind: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the configuration class that the path of an error leads to."""
    candidates: list[Any] = [kind]
    for part in location:
        found: list[Any] = []
        for candidate in candidates:
            if isinstance(part, int):
                found.extend(_unfold(candidate, into_items=True))
                continue
            field = candidate.model_fields.get(part) if _is_model(candidate) else None
            if field is not None:
                found.extend(_unfold(field.annotation, into_items=False))
            elif _is_model(candidate) and _tag_of(candidate) == part:
                found.append(candidate)
        candidates = found or candidates
    models = [candidate for candidate in candidates if _is_model(candidate)]
    return models[0] if models else None


def _unfold(annotation: Any, into_items: bool) -> list[Any]:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return [leaf for arg in get_args(annotation) for leaf in _unfold(arg, into_items)]
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _unfold(get_args(annotation)[0], into_items)
    if origin in (list, tuple) and into_items:
        return [leaf for arg in get_args(annotation) for leaf in _unfold(arg, False)]
    return [annotation]


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _tag_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("name")
    return field.default if field is not None and isinstance(field.default, str) else None
