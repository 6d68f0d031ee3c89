"""What `make` writes of models: their fingerprints, the names of their weights, small files."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

import facever
from facever.models import Embedder, ModelConfig, model_hash, save_embedder
from tests.former.replay import ask

TINY = {
    "backbone": "test_resnet",
    "backbone_options": {"channels": [8, 8, 8, 16], "stem_width": 4},
    "preprocessing": {"size": [32, 32]},
    "embedding_size": 12,
}
"""A network of a few thousand weights."""

CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "tiny": TINY,
    "linear": {**TINY, "neck": "linear"},
    "bnneck": {**TINY, "neck": "bnneck"},
    "bnneck-as-wide": {**TINY, "neck": "bnneck", "embedding_size": 16},
    "none": {**TINY, "neck": "none", "embedding_size": 16},
    "dropout": {**TINY, "dropout": 0.3},
    "dropout-none": {**TINY, "neck": "none", "embedding_size": 16, "dropout": 0.3},
    "flatten": {**TINY, "pooling": "flatten", "preprocessing": {"size": [64, 64]}},
    "keypoints": {**TINY, "local": {"keypoints": 3}},
    "keypoints-default": {**TINY, "local": {}},
    "keypoints-of-one-stage": {**TINY, "neck": "bnneck", "local": {"stages": [4], "keypoints": 2}},
    "explicit-defaults": {**TINY, "neck": "linear_bn", "pooling": "backbone", "pretrained": False},
    "options": {**TINY, "backbone_options": {**TINY["backbone_options"], "drop_path_rate": 0.1}},
    "preprocessing": {
        **TINY,
        "preprocessing": {
            "size": [40, 32],
            "crop": 0.9,
            "color": "bgr",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "interpolation": "bicubic",
        },
    },
    "grey": {**TINY, "preprocessing": {"size": [32, 32], "color": "grey"}},
    "efficientnet": {"backbone": "test_efficientnet", "embedding_size": 24},
    "vit": {"backbone": "test_vit", "preprocessing": {"size": [160, 160]}, "neck": "linear"},
    "convnext": {"backbone": "test_convnext", "neck": "bnneck", "embedding_size": 64},
}
"""By name, what a ModelConfig is given."""

FILES = ["tiny", "linear", "bnneck", "none", "dropout", "flatten", "keypoints", "preprocessing"]
"""Those that are kept as files."""


def filled(config: dict[str, Any]) -> Embedder:
    """Return an Embedder whose weights follow from their names alone."""
    embedder = Embedder(ModelConfig(**config))
    state = embedder.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            random = np.random.RandomState(zlib.crc32(name.encode()))
            values = random.standard_normal(tensor.shape) / max(1, tensor[:1].numel()) ** 0.5
            values = np.abs(values) + 0.5 if name.endswith("running_var") else values
            tensor.copy_(torch.from_numpy(np.asarray(values, np.float32)))
    return embedder.eval()


def told(name: str) -> dict[str, Any]:
    """Return what identifies a model of a configuration."""
    embedder = filled(CONFIGS[name])
    return {
        "config": embedder.config.model_dump(mode="json"),
        "fingerprint": model_hash(embedder),
        "weights": {
            key: f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
            for key, tensor in embedder.state_dict().items()
        },
    }


def pictures() -> list[np.ndarray]:
    """Return images of several sizes, RGB uint8."""
    random = np.random.RandomState(0)
    sizes = [(32, 32), (64, 64), (50, 40)]
    return [random.randint(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


def opened(path: Path) -> dict[str, Any]:
    """Return what is known of a model's file, and how it embeds."""
    model = facever.load_model(path, device="cpu")
    return {
        "fingerprint": model.fingerprint,
        "dimension": model.dimension,
        "vectors": model.embed(pictures()).tolist(),
        "flipped": facever.load_model(path, device="cpu", flip=True).fingerprint,
        "bf16": facever.load_model(path, device="cpu", precision="bf16").fingerprint,
    }


LATER = {"gradient"}
"""Parameters of heads that came later."""


def heads() -> Any:
    """Return the heads with their parameters and defaults, without what is for people to read."""
    cards = without_prose(ask(["heads", "--json"], Path.cwd())["said"])
    for card in cards:
        card["parameters"] = [one for one in card["parameters"] if one["name"] not in LATER]
    return cards


def without_prose(value: Any) -> Any:
    if isinstance(value, list):
        return [without_prose(one) for one in value]
    if isinstance(value, dict):
        prose = {"summary", "takes", "description"}
        return {key: without_prose(one) for key, one in value.items() if key not in prose}
    return value


def write(folder: Path) -> dict[str, Any]:
    files = {}
    for name in FILES:
        path = folder / f"{name}.safetensors"
        save_embedder(filled(CONFIGS[name]), path, metric="cosine")
        files[name] = opened(path)
    return {"models": {name: told(name) for name in CONFIGS}, "files": files, "heads": heads()}
