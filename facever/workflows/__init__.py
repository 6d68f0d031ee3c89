"""Rooms joined, callable from Python. The names that users need are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facever.workflows.enrollment import enroll_images
    from facever.workflows.migration import migrate_gallery
    from facever.workflows.recognition import search_images, verify_images
    from facever.workflows.tuning import tune

_HOMES = {
    "enroll_images": "facever.workflows.enrollment",
    "migrate_gallery": "facever.workflows.migration",
    "search_images": "facever.workflows.recognition",
    "tune": "facever.workflows.tuning",
    "verify_images": "facever.workflows.recognition",
}

__all__ = ["enroll_images", "migrate_gallery", "search_images", "tune", "verify_images"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'facever.workflows' has no attribute {name!r}")
