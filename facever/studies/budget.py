"""Measured training speed of this machine."""

import time

import torch
from torch import nn

from facever.models.embedder import Embedder, ModelConfig
from facever.models.precision import PrecisionName, autocast, choose_device, fastest_layout

_TRIALS = 3


def training_seconds(model: ModelConfig, batch: int, device: str = "auto") -> dict[str, float]:
    """Return seconds per image of a forward and backward pass, for "fp32" and "bf16".

    Args:
        model: The embedder; weights and images are random.
        batch: Images per batch.
        device: As in a training's configuration.
    """
    where = choose_device(device)
    state = torch.get_rng_state()
    try:
        return {name: _seconds(model, batch, where, name) for name in ("fp32", "bf16")}
    finally:
        torch.set_rng_state(state)


def _seconds(
    model: ModelConfig, batch: int, device: torch.device, precision: PrecisionName
) -> float:
    embedder: nn.Module = Embedder(model).to(device).train()
    layout = fastest_layout(embedder, precision, device)
    embedder.to(memory_format=layout)
    pixels = torch.randint(0, 256, (batch, 3, *model.preprocessing.size), dtype=torch.uint8)
    images = pixels.to(device).contiguous(memory_format=layout)
    taken = []
    for _ in range(_TRIALS + 1):
        start = time.perf_counter()
        with autocast(precision, device):
            embeddings = embedder(images)
        embeddings.square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append((time.perf_counter() - start) / batch)
    return min(taken[1:])
