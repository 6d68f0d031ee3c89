"""Models: the protocol, and the Embedder (a timm backbone and a neck) with saving and loading.

The names are imported on first use: a user's own model needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facever.core.extras import named_extras
from facever.deprecated import Former, former_names

if TYPE_CHECKING:
    from facever.models.embedder import Embedder, ModelConfig
    from facever.models.images import embed_images
    from facever.models.protocol import Model
    from facever.models.saving import ModelCard, load_embedder, model_hash, save_embedder

_HOMES = {
    "Embedder": "facever.models.embedder",
    "Model": "facever.models.protocol",
    "ModelCard": "facever.models.saving",
    "ModelConfig": "facever.models.embedder",
    "embed_images": "facever.models.images",
    "load_embedder": "facever.models.saving",
    "model_hash": "facever.models.saving",
    "save_embedder": "facever.models.saving",
}

_former = former_names(
    __name__,
    {"fingerprint": Former("facever.models.saving:model_hash", "facever.models.model_hash")},
)

__all__ = [
    "Embedder",
    "Model",
    "ModelCard",
    "ModelConfig",
    "embed_images",
    "load_embedder",
    "model_hash",
    "save_embedder",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        with named_extras():
            return getattr(import_module(_HOMES[name]), name)
    return _former(name)
