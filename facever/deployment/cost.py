"""What an export costs: how far its vectors are from the original's, and the speed of both."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facever.core.seeding import stream
from facever.data.machine import processor_name
from facever.embeddings.distances import Distances, distances_of
from facever.errors import DataError, ModelError
from facever.models.extraction import LoadedModel
from facever.models.onnx.model import OnnxModel
from facever.render.values import Record

BATCHES = (1, 3, 17)
"""Batch sizes that an exported network is run with."""

_TIMED = 32  # images
_SECONDS = 2.0  # for all models, at least
_SAME = 1e-4  # of the longest vector: one image alone, and the same image in a batch


@dataclass(frozen=True)
class Cost(Record):
    """What was measured when a model was exported.

    Attributes:
        distances: Of the exported model to its original.
        of: What images these are.
        engine: What computed the exported model, with its version.
        before: Images per second of the original: one thread, batches of its own size.
        after: Images per second of the exported model: one thread, one image at a time.
        batches: Batch sizes that were run; empty for a model that was an ONNX file before.
        machine: Name of the processor.
    """

    distances: Distances
    of: str
    engine: str
    before: float
    after: float
    batches: list[int]
    machine: str = field(default_factory=processor_name)


def distances(
    original: LoadedModel, other: LoadedModel, pixels: Sequence[NDArray[np.uint8]]
) -> Distances:
    """Compare two models on crops, uint8 [H, W, 3] RGB each.

    Raises:
        ModelError: Their vectors cannot be compared.
    """
    both = (model.features(list(pixels), photos=False) for model in (original, other))
    try:
        return distances_of(*both)
    except DataError as error:
        raise ModelError(f"the exported model cannot be used: {error}") from error


def check_batches(model: OnnxModel) -> list[int]:
    """Run a network with several batch sizes, and return these.

    Raises:
        ModelError: It fails, or an image has another vector in a batch than alone.
    """
    draw = stream(0, "batches of an export")
    images = draw.integers(0, 256, (max(BATCHES), *model.card.size, 3), dtype=np.uint8)
    alone = np.concatenate([model.embed_batch(images[row : row + 1]) for row in range(len(images))])
    for size in BATCHES:
        found = model.embed_batch(images[:size])
        apart = np.abs(found - alone[:size]).max() / np.linalg.norm(alone, axis=1).max()
        if not apart <= _SAME:
            raise ModelError(
                f"the exported network gives other vectors in a batch of {size} than for single "
                f"images (by {apart:.1e} of their length): its forward mixes the images of a batch"
            )
    return list(BATCHES)


def speeds(models: Sequence[LoadedModel], pixels: Sequence[NDArray[np.uint8]]) -> list[float]:
    """Return how many images a second each model embeds in one thread, with its own batches.

    The models take turns, so that other work on the machine slows down all of them; the best turn
    of each counts.
    """
    images = [pixels[i % len(pixels)] for i in range(_TIMED)]
    best, begun = [0.0] * len(models), time.perf_counter()
    with _one_thread():
        while not all(best) or time.perf_counter() - begun < _SECONDS:
            for place, model in enumerate(models):
                workers = 1 if isinstance(model, OnnxModel) else 0
                start = time.perf_counter()
                deque(model.blocks(images, workers=workers), maxlen=0)
                best[place] = max(best[place], len(images) / (time.perf_counter() - start))
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
