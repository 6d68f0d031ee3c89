"""Plug-ins: heads, readers, models and backbones of other packages.

A package is named by `imports:` of a configuration, by the environment variable FACEVER_IMPORTS, or
by its own entry points. The last two are read when a name is not one of facever's own, or when all
names are listed, so that a start costs nothing. docs/plug-ins.md is the guide.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from facever.core.console import say, warn
from facever.errors import ConfigError, FaceverError, ModelError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

VARIABLE = "FACEVER_IMPORTS"
"""The environment variable: names of modules, separated by commas."""

HEADS, READERS = "facever.heads", "facever.readers"
MODELS, BACKBONES = "facever.models", "facever.backbones"
GROUPS = (HEADS, READERS, MODELS, BACKBONES)
"""The groups of entry points."""

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_OBJECT = re.compile(rf"({_MODULE.pattern}):([A-Za-z_]\w*)")
_named: set[str] = set()  # packages that a configuration or this process's own code named


def import_modules(modules: Iterable[str], asked_by: str = "imports") -> None:
    """Import modules, which register their parts; model files may then use their packages.

    Args:
        modules: Names such as "mypackage.parts".
        asked_by: What names them, for the message: a key, a variable or a file.

    Raises:
        ConfigError: A module that cannot be imported; names it, its package and what to do.
    """
    for module in modules:
        _import(module, asked_by)
        _named.add(package_of(module))


def import_named_by_the_environment() -> None:
    """Import the modules that FACEVER_IMPORTS names.

    Raises:
        ConfigError: As `import_modules`.
    """
    named = (one.strip() for one in os.environ.get(VARIABLE, "").split(","))
    import_modules([one for one in named if one], VARIABLE)


def is_object(text: str) -> bool:
    """Return whether a text is "package.module:Name"."""
    return _OBJECT.fullmatch(text) is not None


def load_object(text: str, asked_by: str) -> Any:
    """Return what "package.module:Name" names.

    Raises:
        ConfigError: The module cannot be imported, or has no such name.
    """
    found = _OBJECT.fullmatch(text)
    if found is None:
        raise ConfigError(f"{asked_by} is '{text}': write package.module:Name")
    module, name = found[1], found[found.lastindex or 0]
    imported = _import(module, asked_by)
    if not hasattr(imported, name):
        raise ConfigError(f"{asked_by} is '{text}': module {module} has no {name}")
    return getattr(imported, name)


def entry_names(group: str) -> list[str]:
    """Return the names of the entry points of a group; nothing is imported."""
    return sorted({one.name for one in _entries(group)})


def entry_module(group: str, name: str) -> str | None:
    """Return the module that an entry point names; None where there is no such entry point."""
    return next((one.module for one in _entries(group) if one.name == name), None)


def load_entry(group: str, name: str) -> Any | None:
    """Return what an entry point names; None where there is none of this name.

    Raises:
        ConfigError: It cannot be imported, or two distributions have it; names the distribution.
    """
    found = {(one.value, _distribution(one)): one for one in _entries(group) if one.name == name}
    if len(found) > 1:
        owners = " and ".join(owner for _, owner in found)
        raise ConfigError(f"entry point '{name}' of {group} is in {owners}: uninstall one of them")
    return next((_load(one) for one in found.values()), None)


def load_entries(group: str) -> dict[str, Any]:
    """Return what all entry points of a group name; a warning names those that cannot be loaded."""
    loaded = {}
    for name in entry_names(group):
        try:
            loaded[name] = load_entry(group, name)
        except ConfigError as error:
            warn_once(str(error))
    return loaded


def describe_entry(group: str, name: str) -> str:
    """Return an entry point and its distribution in words."""
    owner = next((_distribution(one) for one in _entries(group) if one.name == name), "unknown")
    return f"entry point '{name}' of {group} (distribution {owner})"


def import_for_model(modules: Iterable[str], source: str, named_by_run: Iterable[str]) -> None:
    """Import what a model file needs, where its user has named the packages.

    A model file alone imports nothing: it may come from anybody, and with the options in it, it
    could call any function that is installed. Its packages must be those of an entry point, of
    FACEVER_IMPORTS, of a module that this process imported by `import_modules`, or of the
    config.yaml in its run folder.

    Args:
        modules: Names of the modules that it needs.
        source: The file, for the message.
        named_by_run: Modules that the configuration of its run names.

    Raises:
        ModelError: A package that nobody named, or that cannot be imported.
    """
    needed = list(modules)
    for module in needed:
        package = package_of(module)
        if _MODULE.fullmatch(module) is None:
            raise ModelError(f"the header of {source} is damaged: '{module}' is not a module")
        if package not in sys.modules and find_spec(package) is None:
            raise ModelError(
                f"{source} needs package '{package}' (module {module}), which is not installed: "
                "install it, or add its folder to PYTHONPATH"
            )
        if package not in _allowed() | set(map(package_of, named_by_run)):
            raise ModelError(
                f"{source} needs module {module}, and a model file alone imports nothing: if you "
                f"trust the file and the package, set {VARIABLE}={module}"
            )
    try:
        for module in needed:
            if module not in sys.modules:
                say(f"{source} imports {module}")
            _import(module, source)
    except ConfigError as error:
        raise ModelError(str(error)) from error


def package_of(module: str) -> str:
    """Return the package that a module is in, such as "mypackage" of "mypackage.parts"."""
    return module.partition(".")[0].strip()


def _allowed() -> set[str]:
    """Return the packages that the user of this process has named."""
    by_entry = {package_of(one.module) for group in GROUPS for one in _entries(group)}
    return by_entry | _named | set(map(package_of, os.environ.get(VARIABLE, "").split(",")))


def _entries(group: str) -> list["EntryPoint"]:
    from importlib.metadata import entry_points

    return list(entry_points(group=group))


def _distribution(entry: "EntryPoint") -> str:
    return "unknown" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _load(entry: "EntryPoint") -> Any:
    asked_by = f"{entry.group}: distribution {_distribution(entry)}, entry point '{entry.name}'"
    if entry.attr:
        return load_object(f"{entry.module}:{entry.attr}", asked_by)
    return _import(entry.module, asked_by)


def _import(module: str, asked_by: str) -> Any:
    if _MODULE.fullmatch(module) is None:
        raise ConfigError(f"{asked_by}: '{module}' is not a module: write package.module")
    try:
        return import_module(module)
    except FaceverError as error:  # such as a head without Config
        raise ConfigError(f"{asked_by}: module {module}: {error}") from error
    except Exception as error:  # whatever the code of a user raises
        raise ConfigError(f"{asked_by}: {_reason(module, error)}") from error


def _reason(module: str, error: Exception) -> str:
    """Return why a module cannot be imported, and what to do."""
    package = package_of(module)
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    if missing == package:
        return (
            f"package '{package}' (module {module}) is not installed: install it, or add its "
            "folder to PYTHONPATH"
        )
    if missing and f"{module}.".startswith(f"{missing}."):
        return f"package '{package}' has no module {missing}: correct the name"
    if missing:
        return f"module {module} needs '{missing}', which is not installed: install it"
    last = traceback.extract_tb(error.__traceback__)[-1]
    place, line = last.filename, last.lineno
    if isinstance(error, SyntaxError):
        place, line = error.filename or place, error.lineno
    said = str(error).strip().partition("\n")[0]
    kind = type(error).__name__
    return f"module {module} cannot be imported: {kind}: {said} ({place}, line {line}): correct it"


@cache
def warn_once(line: str) -> None:
    """Print one warning line, the same one once in a process."""
    warn(line)
