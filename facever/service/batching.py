"""The micro-batcher: images of many requests go through the model together.

One thread runs the model. It takes what waits and never waits for more: a lone request is not
delayed, and while the model works on one batch the next one fills.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.data.given import Given, pixels_of
from facever.errors import UnavailableError
from facever.models.protocol import Model
from facever.models.streams import stream_of

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]

MEMBERS = (
    "metric",
    "preprocessing",
    "options",
    "versions",
    "alignment",
    "trained_on",
    "operating_point",
    "operating_point_note",
)
"""Optional members of a model that a model of the service has where the model has them."""


class _Waiting(NamedTuple):
    images: Sequence[Pixels]
    result: "Future[Rows]"


class Batcher:
    """A queue in front of a function that computes rows of images.

    Args:
        run: Returns a row for each image, [N, D]. It is called by one thread.
        most: Images in a batch. A request with more images is a batch of its own.
        observe: Called with the number of images of each batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Pixels]], Rows],
        most: int = 32,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._run, self._most, self._observe = run, most, observe
        self._held: deque[_Waiting] = deque()
        self._waiting = 0  # images
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="facever-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of images that wait."""
        return self._waiting

    def submit(self, images: Sequence[Pixels]) -> Rows:
        """Return the rows of some images; several threads may call.

        Raises:
            UnavailableError: The service stops.
        """
        result: Future[Rows] = Future()
        with self._changed:
            if self._closed:
                raise UnavailableError("the service stops: try again later")
            self._held.append(_Waiting(images, result))
            self._waiting += len(images)
            self._changed.notify()
        return result.result()

    def close(self) -> None:
        """Compute what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            sizes = [len(one.images) for one in batch]
            self._observe(sum(sizes))
            try:
                rows = self._run([image for one in batch for image in one.images])
            except Exception:  # one request's images must not fail the others
                for one in batch:
                    self._alone(one)
                continue
            ends = np.cumsum(sizes).tolist()
            for one, size, end in zip(batch, sizes, ends, strict=True):
                one.result.set_result(rows[end - size : end])

    def _alone(self, one: _Waiting) -> None:
        try:
            one.result.set_result(self._run(one.images))
        except Exception as error:
            one.result.set_exception(error)

    def _next(self) -> list[_Waiting]:
        """Return the next batch, at once where something waits; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._closed)
            batch: list[_Waiting] = []
            count = 0
            while self._held and (not batch or count + len(self._held[0].images) <= self._most):
                batch.append(self._held.popleft())
                count += len(batch[-1].images)
            self._waiting -= count
            return batch


class BatchedModel:
    """A model whose images of many threads are computed together; itself a `facever.Model`.

    Args:
        model: Any model. Only the batcher's thread calls it.
        most, observe: As for `Batcher`.
    """

    def __init__(
        self,
        model: Model,
        most: int = 32,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.fingerprint, self.dimension = model.fingerprint, model.dimension
        self._model = model
        self._batcher = Batcher(self._features, most, observe)

    def __getattr__(self, name: str) -> Any:
        if name in MEMBERS:
            return getattr(self._model, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def embed(self, images: Sequence[Given], /) -> Rows:
        """Return the embeddings of crops, float32 [N, D], not normalised.

        Raises:
            UnavailableError: As `Batcher.submit`.
        """
        return self._batcher.submit([pixels_of(image) for image in images])

    @property
    def waiting(self) -> int:
        """Number of images that wait for the model."""
        return self._batcher.waiting

    def close(self) -> None:
        """Compute what waits, then end the thread."""
        self._batcher.close()

    def _features(self, images: Sequence[Pixels]) -> Rows:
        with closing(stream_of(self._model, images, None, workers=0, on_error="raise")) as stream:
            return np.concatenate([block.embeddings for block in stream])
