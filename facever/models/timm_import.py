"""The one place where timm is first imported: without torch's compiler, which takes a second.

torchvision and timm import `torch._dynamo` for a function and a decorator that only a compiled
model needs. While they are imported stand-ins hold its place; afterwards the compiler is imported
where it is used, as torch itself does it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

_NAMES = ("torch._dynamo", "torch._dynamo.utils")


class _StandIn(ModuleType):
    """A module whose functions import the real one when they are called."""

    __path__: list[str] = []  # noqa: RUF012 - that of a package, for `import`

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            _leave()
            return getattr(import_module(self.__name__), name)(*args, **kwargs)

        return call

    def disable(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Decorate a function that must not be compiled, when it is called first."""

        @cache
        def disabled() -> Callable[..., Any]:
            found: Callable[..., Any] = import_module("torch._dynamo").disable(
                function, *args, **kwargs
            )
            return found

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return disabled()(*args, **kwargs)

        return call


def _leave() -> None:
    for name in _NAMES:
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


@contextmanager
def _without_compiler() -> Iterator[None]:
    if not any(name in sys.modules for name in _NAMES):
        sys.modules.update({name: _StandIn(name) for name in _NAMES})
    try:
        yield
    finally:
        _leave()


with _without_compiler():
    import timm

__all__ = ["timm"]
