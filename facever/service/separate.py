"""A model that computes each image separately: the thread of a request runs it.

An ONNX model gains nothing from batches. Decoding, detection and the network of an image are one
piece of work of one thread, without a queue between them; as many images are worked on at once as
there are CPUs.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from facever.core.threads import in_order
from facever.data.acquisition import Acquire, OnError
from facever.data.given import Given, read_images
from facever.data.machine import usable_cpus
from facever.models.onnx.model import OnnxModel
from facever.models.streams import EmbeddedBlock, Workers, in_rows
from facever.service.batching import MEMBERS, Rows
from facever.service.turns import Turns


class SeparateModel:
    """An ONNX model whose images are computed one by one; itself a `facever.Model`.

    Args:
        model: The model; several threads call it.
        turns: Taken for each image.
        observe: Called with the number of images of each run of the network, 1.
    """

    def __init__(
        self, model: OnnxModel, turns: Turns, observe: Callable[[int], None] = lambda _: None
    ) -> None:
        self.fingerprint, self.dimension = model.fingerprint, model.dimension
        self._model, self._turns, self._observe = model, turns, observe
        self._cpus = usable_cpus()

    def __getattr__(self, name: str) -> Any:
        if name in MEMBERS:
            return getattr(self._model, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def waiting(self) -> int:
        """Number of images that wait for the model only: none."""
        return 0

    def embed(self, images: Sequence[Given], /) -> Rows:
        """Return the embeddings of crops, float32 [N, D], not normalised."""
        rows = [block.embeddings for block in self.blocks(images, workers=0, on_error="raise")]
        return np.concatenate([np.empty((0, self.dimension), np.float32), *rows])

    def blocks(
        self,
        images: Sequence[Given],
        *,
        workers: Workers,  # noqa: ARG002 - as many threads as there are CPUs
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """See `facever.models.streams.BlockSource`."""

        def embedded(row: int) -> EmbeddedBlock:
            with self._turns:
                given = [images[row]]
                pixels, errors, found = read_images(
                    given, self._model.prepare, on_error, faces, row
                )
                vectors = np.zeros((1, self.dimension), np.float32)
                if pixels:
                    vectors = self._model.embed_batch(np.stack(pixels))
                    self._observe(1)
            return EmbeddedBlock(row, vectors, errors, in_rows(found, errors))

        yield from in_order(embedded, range(len(images)), min(self._cpus, len(images)) or 1)

    def close(self) -> None:
        """Do nothing: nothing waits without its request."""
