"""The Embedder: a timm backbone and a neck, loaded and saved with its preprocessing."""

from facever.models.embedder import Embedder, ModelConfig
from facever.models.saving import ModelCard, fingerprint, load_embedder, save_embedder

__all__ = ["Embedder", "ModelCard", "ModelConfig", "fingerprint", "load_embedder", "save_embedder"]
