"""What an export costs: how far its vectors are from the original's, and the speed of both."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facever.data.machine import processor_name
from facever.errors import ModelError
from facever.models.extraction import LoadedModel
from facever.models.onnx.engine import Engine
from facever.models.onnx.file import OnnxFile
from facever.models.onnx.model import OnnxModel
from facever.render.values import Record

BATCHES = (1, 3, 17)
"""Batch sizes that an exported network is run with."""

LARGEST = 1e-5
"""Largest cosine distance of an fp32 export to its original: the same embedding space."""

_TIMED = 32  # images
_SECONDS = 1.0  # for each model, at least
_SAME = 1e-4  # of the longest vector: one image alone, and the same image in a batch


@dataclass(frozen=True)
class Distances(Record):
    """Cosine distances (1 - cosine) of the vectors of the same images by two models.

    Attributes:
        images: Number of images.
        largest: The largest distance.
        mean: The mean distance.
        lengths: Largest relative difference of the vectors' lengths before normalisation.
    """

    images: int
    largest: float
    mean: float
    lengths: float


@dataclass(frozen=True)
class Cost(Record):
    """What was measured when a model was exported.

    Attributes:
        distances: Of the exported model to its original.
        of: What images these are.
        batches: Batch sizes that were run.
        engine: What computed the exported model, with its version.
        before: Images per second of the original: one thread, batches of its own size.
        after: Images per second of the exported model: one thread, one image at a time.
        machine: Name of the processor.
    """

    distances: Distances
    of: str
    batches: list[int] = field(default_factory=lambda: list(BATCHES))
    engine: str = ""
    before: float = 0.0
    after: float = 0.0
    machine: str = field(default_factory=processor_name)


def distances(
    original: LoadedModel, other: LoadedModel, pixels: Sequence[NDArray[np.uint8]]
) -> Distances:
    """Compare two models on crops, uint8 [H, W, 3] RGB each.

    Raises:
        ModelError: Their vectors have different dimensions, or are not finite.
    """
    first = original.features(list(pixels), photos=False)
    second = other.features(list(pixels), photos=False)
    return distances_of(first, second)


def distances_of(first: NDArray[np.floating], second: NDArray[np.floating]) -> Distances:
    """Compare two matrices of vectors [N, D] row by row; see `distances`."""
    if first.shape != second.shape:
        raise ModelError(
            f"the models give vectors of {first.shape[1]} and {second.shape[1]} components"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ModelError("a vector is infinite or NaN: this model cannot be used in this precision")
    one, two = _units(first), _units(second)
    far = 0.5 * np.square(one - two).sum(axis=1)  # 1 - cosine, without its rounding
    lengths = np.linalg.norm(second, axis=1) / np.linalg.norm(first, axis=1)
    return Distances(
        len(far), float(far.max()), float(far.mean()), float(np.abs(lengths - 1).max())
    )


def check_batches(file: OnnxFile, model: OnnxModel) -> None:
    """Run a network with several batch sizes.

    Raises:
        ModelError: It fails, or an image has another vector in a batch than alone.
    """
    engine = Engine(file, model.card.output)
    shape = [side or 3 for side in engine.shape[1:]]
    levels = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape))
    images = levels.astype(np.float32) if engine.takes_levels else (levels / 127.5 - 1)
    alone = [engine.run(images[row : row + 1].astype(np.float32)) for row in range(max(BATCHES))]
    whole = np.concatenate(alone).reshape(max(BATCHES), -1)
    for size in BATCHES:
        found = engine.run(images[:size].astype(np.float32)).reshape(size, -1)
        apart = np.abs(found - whole[:size]).max() / np.linalg.norm(whole, axis=1).max()
        if not apart <= _SAME:
            raise ModelError(
                f"the exported network gives other vectors in a batch of {size} than for single "
                f"images (by {apart:.1e} of their length): its forward mixes the images of a batch"
            )


def speed(model: LoadedModel, pixels: Sequence[NDArray[np.uint8]]) -> float:
    """Return how many images a second one thread embeds, with the model's own batches."""
    images = [pixels[i % len(pixels)] for i in range(_TIMED)]
    workers = 1 if isinstance(model, OnnxModel) else 0
    best, begun = 0.0, time.perf_counter()
    with _one_thread():
        deque(model.blocks(images, workers=workers), maxlen=0)  # to warm up
        while not best or time.perf_counter() - begun < _SECONDS:
            start = time.perf_counter()
            deque(model.blocks(images, workers=workers), maxlen=0)
            best = max(best, len(images) / (time.perf_counter() - start))
    return best


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _units(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    if not lengths.all():
        raise ModelError("a vector is zero: this model cannot be used in this precision")
    units: NDArray[np.float64] = exact / lengths
    return units
