"""Rooms joined, callable from Python. The names that users need are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facever.studies.tuning import tune

_FORMER = "facever.workflows.former"  # they still work, with a DeprecationWarning
_HOMES = {
    "create_gallery": _FORMER,
    "enroll_images": _FORMER,
    "migrate_gallery": _FORMER,
    "search_images": _FORMER,
    "tune": "facever.studies.tuning",
    "verify_images": _FORMER,
    "verify_pair": _FORMER,
}

__all__ = ["tune"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'facever.workflows' has no attribute {name!r}")
