"""The service: a model, a gallery that others may write too, and what requests share."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facever.errors import GalleryError, UnavailableError
from facever.faces.selection import Which
from facever.gallery.gallery import Gallery
from facever.gallery.place import place_of
from facever.gallery.uses import UseLog
from facever.models.onnx.model import OnnxModel
from facever.models.protocol import Model
from facever.recognizer import Recognizer
from facever.service.batching import BatchedModel
from facever.service.croppers import Croppers, MakeCropper
from facever.service.limits import LOG_DAYS, Limits
from facever.service.metrics import Metrics
from facever.service.separate import SeparateModel
from facever.service.turns import Turns

_STORE = "gallery.db"


class Service:
    """A model and a gallery that the requests of an app use.

    Args:
        model: The gallery's model.
        gallery: The gallery's folder, or its address in PostgreSQL. It is opened at once, and a
            folder again after it was replaced.
        cropper: Makes the cropper of a rule for photos; None for a model that takes crops.
        limits: Limits of requests.
        log_days: Days that the log of uses keeps a row; 0 for no log.
        wait: Seconds to wait for another process that writes the gallery.

    Attributes:
        uses: The log of uses, or None.

    Raises:
        GalleryError: There is no such gallery, it is bound to another model, or the log of uses
            cannot be written.
    """

    def __init__(
        self,
        model: Model,
        gallery: str | Path,
        *,
        cropper: MakeCropper | None = None,
        limits: Limits | None = None,
        log_days: int = LOG_DAYS,
        wait: float = 10.0,
    ) -> None:
        self.limits, self.log_days = limits or Limits(), log_days
        self._turns = Turns()
        self.croppers = Croppers(cropper, self.limits.faces, self._turns)
        self.metrics = Metrics()
        self._gallery = _Reopened(gallery, wait)
        try:
            with self._gallery.open() as opened:
                Recognizer(model, opened, photos=False).require_own()
            self.uses = UseLog(place_of(gallery), log_days, wait) if log_days else None
        except BaseException:
            self._gallery.close()
            raise
        observe = self.metrics.batches.observe
        self.model: BatchedModel | SeparateModel
        if isinstance(model, OnnxModel) and model.together == 1:
            self.model = SeparateModel(model, self._turns, observe)
        else:
            self.model = BatchedModel(model, self.limits.batch, observe)
        self.metrics.queue.set_function(lambda: self.waiting)

    @property
    def waiting(self) -> int:
        """Number of images that wait for a turn or for the model."""
        return self._turns.waiting + self.model.waiting

    @property
    def full(self) -> bool:
        """Whether as many images wait as may; requests with images are refused then."""
        return self.waiting >= self.limits.queue

    @contextmanager
    def gallery(self) -> Iterator[Gallery]:
        """Yield the gallery, bound to the service's model.

        Raises:
            UnavailableError: It is gone, or was migrated to another model.
        """
        with self._gallery.open() as opened:
            if opened.fingerprint != self.model.fingerprint:
                raise UnavailableError(
                    f"the gallery has fingerprint {opened.fingerprint} now, and the service runs "
                    f"{self.model.fingerprint}: restart the service with the gallery's model"
                )
            yield opened

    @contextmanager
    def recognizer(self, face: Which | None = None) -> Iterator[Recognizer]:
        """Yield a recognizer of the gallery.

        Args:
            face: Face of a photo that is used.

        Raises:
            Problem: `face` is given for a model that takes crops.
        """
        photos = self.croppers.of(face)
        with self.gallery() as opened:
            yield Recognizer(self.model, opened, photos=photos)

    def close(self) -> None:
        """Compute what waits for the model, and close the gallery."""
        self.model.close()
        self._gallery.close()
        if self.uses is not None:
            self.uses.close()


class _Reopened:
    """A gallery that is opened again when its store was replaced; threads share it."""

    def __init__(self, path: str | Path, wait: float) -> None:
        self._path, self._place, self._wait = path, place_of(path), wait
        self._lock = threading.Lock()
        self._users: dict[Gallery, int] = {}
        self._seen = self._stamp()
        self._current: Gallery | None = Gallery.open(path, wait=wait)

    @contextmanager
    def open(self) -> Iterator[Gallery]:
        with self._lock:
            opened = self._newest()
            self._users[opened] = self._users.get(opened, 0) + 1
        try:
            yield opened
        finally:
            with self._lock:
                self._users[opened] -= 1
                self._close_unused()

    def close(self) -> None:
        with self._lock:
            if self._current is not None:
                self._users.setdefault(self._current, 0)
            self._current = None
            self._close_unused()

    def _newest(self) -> Gallery:
        stamp = self._stamp()
        if self._current is None or stamp != self._seen:
            replaced, self._current = self._current, None
            if replaced is not None:
                self._users.setdefault(replaced, 0)
                self._close_unused()
            try:
                self._current = Gallery.open(self._path, wait=self._wait)
            except GalleryError as error:
                raise UnavailableError(str(error)) from error
            self._seen = stamp
        return self._current

    def _close_unused(self) -> None:
        for gallery in [one for one, users in self._users.items() if not users]:
            if gallery is not self._current:
                del self._users[gallery]
                gallery.close()

    def _stamp(self) -> tuple[int, int] | None:
        """Return which file the store is; None if there is none, as in PostgreSQL."""
        if not isinstance(self._place, Path):
            return None
        try:
            found = os.stat(self._place / _STORE)  # noqa: PTH116
        except OSError:
            return None
        return found.st_dev, found.st_ino
