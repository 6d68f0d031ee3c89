"""What an export costs: how far its vectors are from the original's, and the speed of both."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facever.data.machine import processor_name
from facever.embeddings.distances import Distances, distances_of
from facever.errors import DataError, ModelError
from facever.models.extraction import LoadedModel
from facever.models.onnx.engine import Engine
from facever.models.onnx.file import OnnxFile
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
        batches: Batch sizes that were run.
        machine: Name of the processor.
    """

    distances: Distances
    of: str
    engine: str
    before: float
    after: float
    batches: list[int] = field(default_factory=lambda: list(BATCHES))
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
