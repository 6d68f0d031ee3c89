"""What an embedder needs for an image in training: bytes kept for the backward pass, operations.

Counted, not timed: the sizes of what autograd keeps, each memory once, in float32, in bf16, and in
bf16 with gradient checkpointing; and the floating-point operations of a forward pass. No GPU is
needed: what is kept there is the same but for a kernel's own workspace.

    python tools/bench/embedder_memory.py --json
"""

import argparse
from contextlib import nullcontext

import torch
from _figures import Figure, as_json, as_table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from facever.config import parse
from facever.models.embedder import Embedder, ModelConfig
from facever.training.computing.thrift import checkpoint_gradients

IMAGES = 8
MODELS = {
    "resnet10t": (64, 64),
    "resnet18": (112, 112),
    "resnet50": (112, 112),
    "resnet50, person": (256, 128),
    "vit_small_patch16_224": (224, 224),
}


def made(name: str, size: tuple[int, int]) -> Embedder:
    config = {
        "backbone": name.partition(",")[0],
        "embedding_size": 512,
        "preprocessing": {"size": size},
    }
    return Embedder(parse(ModelConfig, config)).train()


def kept(embedder: Embedder, half: bool) -> float:
    """Return the MB that a forward pass keeps for each image."""
    weights = {p.untyped_storage().data_ptr() for p in embedder.parameters()}
    found: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in weights:
            found[memory.data_ptr()] = (
                memory.nbytes(),
                tensor,
            )  # alive, so that no place comes twice
        return tensor

    images = torch.randint(0, 256, (IMAGES, 3, *embedder.preprocessing.size), dtype=torch.uint8)
    autocast = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        _ = embedder(images)  # alive, so that nothing is freed meanwhile
    return sum(size for size, _ in found.values()) / IMAGES / 1e6


def operations(embedder: Embedder) -> float:
    """Return the GFLOP of a forward pass for each image."""
    images = torch.zeros(IMAGES, 3, *embedder.preprocessing.size, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        embedder(images)
    return counted.get_total_flops() / IMAGES / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = []
    for name in options.models:
        embedder = made(name, MODELS[name])
        height, width = MODELS[name]
        called = f"{name}, {height} x {width}"
        parameters = sum(p.numel() for p in embedder.parameters()) / 1e6
        figures += [
            Figure(f"{called}: parameters", parameters, "million"),
            Figure(f"{called}: forward", operations(embedder), "GFLOP/image"),
            Figure(f"{called}: kept, fp32", kept(embedder, half=False), "MB/image"),
            Figure(f"{called}: kept, bf16", kept(embedder, half=True), "MB/image"),
        ]
        checkpoint_gradients(embedder)
        figures.append(
            Figure(f"{called}: kept, bf16, checkpointing", kept(embedder, half=True), "MB/image")
        )
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
