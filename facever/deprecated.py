"""Former public names: found where they are now, with a warning that names the new one."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple


class Former(NamedTuple):
    """A name that a module had.

    Attributes:
        home: Where what it stands for is now, "module:attribute".
        now: What to write in its place, such as "facever.evaluate.verification".
    """

    home: str
    now: str


def former_names(module: str, names: Mapping[str, Former]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that still answers to former names.

    Each use warns (DeprecationWarning) and says what to write instead.

    Args:
        module: The module's `__name__`.
        names: Its former names.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, now = names[name]
        warnings.warn(
            f"{module}.{name} is now {now}; the former name goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        place, _, attribute = home.partition(":")
        return getattr(import_module(place), attribute)

    return find
