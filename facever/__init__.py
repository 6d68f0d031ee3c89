"""Face verification and re-identification: train identity models, keep galleries, measure honestly.

The public names are imported on first use, so that `import facever` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facever._version import __version__
from facever.core.extras import named_extras
from facever.deprecated import find_former_modules

if TYPE_CHECKING:
    from facever import evaluate
    from facever.client import Client
    from facever.data.manifest import Manifest
    from facever.embedding_files.importing import import_embeddings
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.gallery.gallery import Gallery
    from facever.models.loading import load_model
    from facever.models.protocol import Model
    from facever.operating_point import OperatingPoint
    from facever.recognizer import Recognizer
    from facever.training.train import train

_HOMES = {
    "Client": "facever.client",
    "EmbeddingSet": "facever.embeddings.embedding_set",
    "Gallery": "facever.gallery.gallery",
    "Manifest": "facever.data.manifest",
    "Model": "facever.models.protocol",
    "OperatingPoint": "facever.operating_point",
    "Recognizer": "facever.recognizer",
    "import_embeddings": "facever.embedding_files.importing",
    "load_model": "facever.models.loading",
    "train": "facever.training.train",
}

__all__ = [
    "Client",
    "EmbeddingSet",
    "Gallery",
    "Manifest",
    "Model",
    "OperatingPoint",
    "Recognizer",
    "__version__",
    "evaluate",
    "import_embeddings",
    "load_model",
    "train",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        return import_module("facever.evaluate")
    if name in _HOMES:
        with named_extras():
            return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'facever' has no attribute {name!r}")


find_former_modules()
