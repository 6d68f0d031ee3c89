"""Typed configuration: YAML files, `key=value` overrides, and errors with the key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from facever.core.files import read_regular, write_text
from facever.errors import ConfigError, nearest

_MOST_BYTES = 2**22
_MOST_DEPTH = 64  # of a dotted key, as of a text in core/yaml_loader.py


class Config(BaseModel):
    """The base of every configuration: frozen, strict on types; unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_as_tuples(cls, values: Any) -> Any:
        """Convert YAML lists to tuples."""
        if not isinstance(values, dict):
            return values
        tuples = {
            name
            for name, field in cls.model_fields.items()
            if any(get_origin(kind) is tuple for kind in _unfold(field.annotation, False))
        }
        return {
            key: tuple(value) if key in tuples and isinstance(value, list) else value
            for key, value in values.items()
        }


C = TypeVar("C", bound=Config)


def load(kind: type[C], path: Path, changes: Sequence[str] | Mapping[str, Any] = ()) -> C:
    """Read a YAML file, apply changes and validate.

    Args:
        kind: The configuration's class.
        path: The YAML file.
        changes: Each "dotted.key=value", the value in YAML; or values by dotted key. List items by
            their index, such as "heads.0.margin=0.4".

    Raises:
        ConfigError: There is no such file, it is not YAML, a change has no "=", or a key or value
            is not allowed.
    """
    values = read_yaml_file(path, "configuration file") or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must contain 'key: value' lines, not a {type(values).__name__}")
    changes = changes if isinstance(changes, Mapping) else read_overrides(changes)
    return parse(kind, with_changes(values, changes), str(path), changes)


def read_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Return the values of "dotted.key=value" words by key; the last value of a key is used.

    Raises:
        ConfigError: A word has no "=", or a value is not YAML.
    """
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"'{word}' is not an override of the form key=value")
        changes.pop(key, None)  # in the order of the last ones
        changes[key] = read_yaml(text, where=f"the value of '{word}'")
    return changes


def dotted(kind: type[BaseModel], changes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return changes by dotted key; a mapping for a nested configuration changes only its keys.

    Args:
        kind: The class of the whole configuration.
        changes: Values by key, from Python: paths and tuples become text and lists.
        prefix: The dotted key of their parent.
    """
    found: dict[str, Any] = {}
    for name, value in changes.items():
        key = f"{prefix}{name}"
        location = [int(part) if part.isdecimal() else part for part in key.split(".")]
        if isinstance(value, Mapping) and _model_at(kind, location) is not None:
            found |= dotted(kind, value, f"{key}.")
        else:
            found[key] = _plain(value)
    return found


def with_changes(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set the values of dotted keys in place, and return all values."""
    for key, value in changes.items():
        _assign(values, key, value)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def parse(
    kind: type[C],
    values: Mapping[str, Any],
    where: str = "configuration",
    changed: Iterable[str] = (),
) -> C:
    """Validate values against a configuration class.

    Args:
        kind: The class.
        values: By key.
        where: Where they come from, for messages.
        changed: Dotted keys that do not come from there: overrides.

    Raises:
        ConfigError: A key is wrong; the message has its path, the allowed values and the nearest
            match.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first, *others = _one_per_place(kind, error.errors())
        more = f" (and {len(others)} more)" if others else ""
        place = ".".join(_written(first["loc"], kind)) + "."
        if any(place.startswith(f"{key}.") or f"{key}.".startswith(place) for key in changed):
            where = "override"
        raise ConfigError(f"{where}: {_describe(kind, first)}{more}") from error


def dump(config: Config, path: Path) -> None:
    """Write the resolved configuration as YAML, atomically."""
    import yaml

    write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def read_yaml_file(path: Path, what: str = "file") -> Any:
    """Return the value of a YAML file (UTF-8) from any source; see `read_yaml`.

    Args:
        path: A regular file of at most 4 MiB.
        what: Kind of file, for the message if it is missing.

    Raises:
        ConfigError: There is no such file, it cannot be read, or as in `read_yaml`.
    """
    try:
        text = read_regular(path, _MOST_BYTES).decode()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ConfigError(f"no {what} at {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # too large, or not UTF-8
        raise ConfigError(f"{path} is not YAML: {error}") from error
    return read_yaml(text, str(path))


def read_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text from any source.

    All YAML texts are read here. 1e-3 is a number, as in YAML 1.2; duplicate keys are errors.

    Args:
        text: The YAML.
        where: Name of the text for errors, such as the path of the file.

    Raises:
        ConfigError: The text is not YAML, is nested more than 64 deep, has more than 100,000 values
            with aliases resolved, an integer beyond 64 bits, a value that does not fit its tag, or
            a duplicate key.
    """
    import yaml  # here and above: takes 10 ms, which a service and a --help do without

    from facever.core.yaml_loader import RefusedYaml, YamlLoader

    try:
        return yaml.load(text, YamlLoader)
    except RefusedYaml as error:
        raise ConfigError(f"{where}, {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {error}") from error


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, creating missing mappings."""
    *parents, last = key.split(".")
    if len(parents) >= _MOST_DEPTH:
        raise ConfigError(f"'{key[:60]}...': nested more than {_MOST_DEPTH} deep")
    here: Any = values
    for depth, name in enumerate([*parents, last]):
        final = depth == len(parents)
        if isinstance(here, list):
            if not (name.isdecimal() and len(name) < 10) or int(name) >= len(here):
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


def _one_per_place(kind: type[BaseModel], errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Merge the errors of the alternatives of a union about one value."""
    places: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        place = ".".join(_written(error["loc"], kind))
        places.setdefault(place, []).append(error)
    for place, complaints in list(places.items()):
        inner = [other for other in places if other.startswith(f"{place}.")]
        if inner and isinstance(complaints[0]["input"], dict | list):
            del places[place]  # errors inside are more specific
            continue
        right_type = [error for error in complaints if not error["type"].endswith("_type")]
        if all(error["type"] == "literal_error" for error in right_type):
            right_type = []  # another alternative may have been intended
        shown = right_type or [error for error in complaints if error["type"] != "model_type"]
        said = dict.fromkeys(error["msg"].removeprefix("Value error, ") for error in shown)
        complaints[0] = shown[0] if shown else complaints[0]
        complaints[0]["msg"] = ", or ".join(said) or complaints[0]["msg"]
    return [complaints[0] for complaints in places.values()]


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
        return f"unknown {path}.name '{tag}'{nearest(tag, allowed)} (allowed: {', '.join(allowed)})"
    if error["type"] == "union_tag_not_found":
        given = error["input"]
        written = f": write {{name: {given}}}" if isinstance(given, str) else ""
        return f"'{path}' needs a 'name'{written}"
    if error["type"] == "missing":
        return f"'{path}' is missing"
    message = error["msg"]
    shown = repr(error["input"])
    if isinstance(error["input"], dict | list) or len(shown) > 60:
        return f"'{path}': {message}" if path else message
    return f"'{path}' is {shown}: {message}"


def _written(location: Sequence[int | str], kind: type[BaseModel]) -> list[str]:
    """Return the path as the user writes it, without the names of union alternatives."""
    return [str(part) for part, _, tag in _walk(location, kind) if not tag]


def _model_at(kind: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the configuration class at the path of an error."""
    candidates: list[Any] = [kind]
    for _, candidates, _ in _walk(location, kind):  # noqa: B007 - the last ones
        pass
    return next((candidate for candidate in candidates if _is_model(candidate)), None)


def _walk(
    location: Sequence[int | str], kind: type[BaseModel]
) -> Iterator[tuple[int | str, list[Any], bool]]:
    """Yield each part of an error's path, its possible types, and whether it is not a key.

    A part that is not a key is the name of a union alternative: a class, a type, or a head's name.
    """
    candidates: list[Any] = [kind]
    for part in location:
        found: list[Any] = []
        for candidate in candidates:
            if isinstance(part, int):
                found.extend(_unfold(candidate, into_items=True))
            elif _is_model(candidate) and part in candidate.model_fields:
                found.extend(_unfold(candidate.model_fields[part].annotation, into_items=False))
            elif get_origin(candidate) is dict:
                found.extend(_unfold(get_args(candidate)[1], into_items=False))
        if found or isinstance(part, int):
            candidates, tag = found, False
        else:
            models = [candidate for candidate in candidates if _is_model(candidate)]
            chosen = [model for model in models if part in (_tag_of(model), model.__name__)]
            if len(candidates) > 1 and not chosen:
                chosen = [model for model in models if _is_family(model)]
            tag = bool(chosen) or len(candidates) > 1 or not any(map(_is_model, candidates))
            candidates = chosen or candidates
        yield part, candidates, tag


def _unfold(annotation: Any, into_items: bool) -> list[Any]:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):  # None is not an alternative in a path
        choices = [arg for arg in get_args(annotation) if arg is not NoneType]
        return [leaf for arg in choices for leaf in _unfold(arg, into_items)]
    if origin is not None and hasattr(annotation, "__metadata__"):
        found = [one.choices for one in annotation.__metadata__ if hasattr(one, "choices")]
        return _unfold(found[0] if found else get_args(annotation)[0], into_items)
    if origin in (list, tuple) and into_items:
        return [leaf for arg in get_args(annotation) for leaf in _unfold(arg, False)]
    return [annotation]


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _is_family(model: type[BaseModel]) -> bool:
    """Return whether the model's name is one of many, such as pml:NAME."""
    return "name" in model.model_fields and _tag_of(model) is None


def _tag_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("name")
    return field.default if field is not None and isinstance(field.default, str) else None
