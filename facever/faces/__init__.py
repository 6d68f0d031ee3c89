"""Faces: detection in photos, selection, quality and alignment.

The names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facever.faces.alignment import align, similarity_transform, template
    from facever.faces.cropping import FaceCropper
    from facever.faces.detection import Detector, YuNet
    from facever.faces.face import Face
    from facever.faces.quality import Quality, quality_of

_HOMES = {
    "Detector": "facever.faces.detection",
    "Face": "facever.faces.face",
    "FaceCropper": "facever.faces.cropping",
    "Quality": "facever.faces.quality",
    "YuNet": "facever.faces.detection",
    "align": "facever.faces.alignment",
    "quality_of": "facever.faces.quality",
    "similarity_transform": "facever.faces.alignment",
    "template": "facever.faces.alignment",
}

__all__ = [
    "Detector",
    "Face",
    "FaceCropper",
    "Quality",
    "YuNet",
    "align",
    "quality_of",
    "similarity_transform",
    "template",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'facever.faces' has no attribute {name!r}")
