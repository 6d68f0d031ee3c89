"""A gallery's move to another model: its sources are embedded again while the old model serves."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.console import Progress, progress
from facever.data.acquisition import FaceStep, landmarks_of
from facever.data.decode import ImageError
from facever.data.given import hash_of
from facever.data.manifest import Manifest
from facever.data.members import file_of
from facever.embeddings.unit import unit_rows
from facever.errors import DataError, GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.inputs import binding_of
from facever.gallery.records import PendingImage
from facever.models.images import workers_for
from facever.models.photos import NONE, Photos, alignment_of, face_step, one_face_each
from facever.models.protocol import Model
from facever.models.streams import Workers, stream_of
from facever.render.values import Record

Missing = Literal["refuse", "remove"]

_AT_ONCE = 2048  # images whose sources are looked for before they are embedded


@dataclass(frozen=True)
class MissingImage:
    """An image of a gallery that cannot be embedded again.

    Args:
        image: Its number in the gallery.
        person: Whom it shows.
        source: Where it came from, or None.
        reason: Why not.
    """

    image: int
    person: str
    source: str | None
    reason: str


@dataclass(frozen=True)
class Migration(Record):
    """What came of moving a gallery to another model.

    Args:
        finished: Whether the gallery is of the new model now.
        before: The fingerprint that the gallery was of.
        fingerprint: Of the new model.
        images: Images that were embedded in this run.
        resumed: Images that earlier runs had embedded.
        missing: Images that cannot be embedded again. They were removed when it is finished.
        lost: Names of the operating points and calibrations of the old model; they are gone when
            it is finished.
    """

    finished: bool
    before: str
    fingerprint: str
    images: int
    resumed: int
    missing: list[MissingImage]
    lost: list[str]


def migrate_gallery(
    gallery: Gallery,
    model: Model,
    *,
    missing: Missing = "refuse",
    root: str | Path | None = None,
    workers: Workers | None = None,
    photos: Photos = None,
) -> Migration:
    """Embed the images of a gallery by another model, and then let that model serve.

    What is embedded is kept at once: stopped or killed, the same call goes on where it was. Until
    all is there the old model serves and may be enrolled with; such images are embedded too. An
    image is read from its source, and is missing where that has other bytes than were enrolled.

    Args:
        gallery: It changes in one transaction at the end.
        model: The new model.
        missing: With "refuse" nothing changes for as long as images are missing; what was embedded
            is kept for when they are there. With "remove" they are removed from the gallery.
        root: A folder to look in for what is not at its source any more: for the source's own path
            below it, or for the last parts of it. Relative sources are relative to it.
        workers: Processes that load images; chosen by the number of images when not given.
        photos: Whether the images are photos or crops; see `facever.models.photos.Photos`. By
            default those that were enrolled as photos are, and the others what the model says. A
            photo is cut by the landmarks that are known of it.

    Raises:
        GalleryError: The gallery is of this model already, a migration to yet another one has
            begun, an unknown `missing`, no such folder, a cropper of every face, photos where the
            model takes crops, or the store cannot be written.
    """
    if missing not in ("refuse", "remove"):
        raise GalleryError(f"missing is {missing!r} (allowed: refuse, remove)")
    folder = Path(root).absolute() if root is not None else None
    if folder is not None and not folder.is_dir():
        raise GalleryError(f"no folder {folder} to look for the images in")
    one_face_each(photos, "a migration")
    before = gallery.fingerprint
    gallery.begin_migration(binding_of(model))
    state = gallery.migration()
    resumed = state.done if state is not None else 0
    with progress("migrating", total=gallery.info().images, unit="images") as shown:
        shown.start_at(resumed)
        moving = _Moving(gallery, model, folder, workers, photos, shown)
        while True:
            pending, known = moving.embed_pending(), moving.seen
            info = gallery.info()
            finished = missing == "remove" or not pending
            if finished:
                try:
                    gallery.finish_migration(model.fingerprint, pending)
                except GalleryError:
                    moving.embed_pending()
                    if moving.seen == known:
                        raise
                    continue  # somebody was enrolled meanwhile
            return Migration(
                finished,
                before,
                model.fingerprint,
                moving.embedded,
                resumed,
                [moving.missing[image] for image in pending],
                [*info.operating_points, *info.calibrations],
            )


class _Moving:
    """Embeds what a migration lacks, some images at a time, and keeps it at once.

    Attributes:
        embedded: How many images were embedded.
        missing: Those that cannot be, by their numbers.
    """

    def __init__(
        self,
        gallery: Gallery,
        model: Model,
        root: Path | None,
        workers: Workers | None,
        photos: Photos,
        shown: Progress,
    ) -> None:
        self._gallery, self._model, self._root = gallery, model, root
        self._workers, self._photos, self._shown = workers, photos, shown
        self.embedded = 0
        self.missing: dict[int, MissingImage] = {}

    @property
    def seen(self) -> int:
        """How many images were embedded or found missing."""
        return self.embedded + len(self.missing)

    def embed_pending(self) -> list[int]:
        """Embed all images that have no new vector; return the numbers of those that cannot be."""
        while True:
            left: list[int] = []
            before, pending = self.seen, self._gallery.pending_images()
            while some := list(islice(pending, _AT_ONCE)):
                left += [image.image for image in some if image.image in self.missing]
                self._embed_some([image for image in some if image.image not in self.missing])
            if self.seen == before:
                return left

    def _embed_some(self, images: Sequence[PendingImage]) -> None:
        found: list[tuple[PendingImage, str]] = []
        for image in images:
            try:
                found.append((image, _located(image, self._root)))
            except ImageError as error:
                self._miss(image, error.reason)
        for photos in (False, True):
            some = [one for one in found if (one[0].landmarks is not None) == photos]
            if some:
                self._embed(some, self._step([image.landmarks for image, _ in some]))

    def _step(self, landmarks: list[str | None]) -> FaceStep | None:
        """Return how images become crops, which were all enrolled as photos or all as crops."""
        if landmarks[0] is None or self._photos is False:
            return face_step(self._model, self._photos)
        if self._photos is None and alignment_of(self._model) == NONE:
            raise GalleryError(
                "images of the gallery were enrolled as photos and the new model takes crops: "
                "move to a model with an alignment, or give --crops (photos=False) to embed the "
                "photos whole"
            )
        step = face_step(self._model, True if self._photos is None else self._photos)
        known = [text if text and _are_landmarks(text) else None for text in landmarks]
        return None if step is None else FaceStep(step.cropper, step.size, known)

    def _embed(self, found: Sequence[tuple[PendingImage, str]], faces: FaceStep | None) -> None:
        images, paths = zip(*found, strict=True)
        manifest = Manifest.from_frame(pd.DataFrame({"path": paths}), Path.cwd(), "gallery")
        workers = workers_for(len(manifest)) if self._workers is None else self._workers
        left = iter(images)
        with closing(stream_of(self._model, manifest, faces, workers=workers)) as blocks:
            for _, block, errors, _found in blocks:
                batch = list(islice(left, len(errors)))
                for image, error in zip(batch, errors, strict=True):
                    if error is not None:
                        self._miss(image, error)
                self._keep(batch, block)

    def _keep(self, batch: Sequence[PendingImage], block: NDArray[np.float32]) -> None:
        kept = [row for row, image in enumerate(batch) if image.image not in self.missing]
        units, norms = unit_rows(block[kept])
        for row in np.flatnonzero(norms == 0):
            raise GalleryError(
                f"the new model makes a zero vector of {batch[kept[row]].source}, which has no "
                "direction; the old model goes on serving"
            )
        fingerprint = self._model.fingerprint
        self._gallery.add_migrated(
            [batch[row].image for row in kept], units, norms.tolist(), fingerprint=fingerprint
        )
        self.embedded += len(kept)
        self._shown.advance(len(kept))

    def _miss(self, image: PendingImage, reason: str) -> None:
        self.missing[image.image] = MissingImage(image.image, image.person, image.source, reason)
        self._shown.advance()


def _are_landmarks(text: str) -> bool:
    """Return whether a text holds landmarks; one that does not is damaged."""
    try:
        landmarks_of(text)
    except DataError:
        return False
    return True


def _located(image: PendingImage, root: Path | None) -> str:
    """Return where the bytes are that were enrolled.

    Raises:
        ImageError: They are nowhere; the reason says why.
    """
    if image.source is None:
        raise ImageError(f"image {image.image}", "it came in as a vector, without a source")
    there = [place for place in _places(image, root) if _is_there(place)]
    for place in there:
        if image.hash is None or hash_of(place) == image.hash:
            return place
    raise ImageError(image.source, "other bytes than were enrolled" if there else "no such file")


def _places(image: PendingImage, root: Path | None) -> Iterator[str]:
    """Yield where an image may be, the likeliest first."""
    assert image.source is not None
    source = Path(image.source)
    if source.is_absolute():
        yield str(source)
    if root is None:
        return
    parts = source.parts[1:] if source.is_absolute() else source.parts
    tails = range(len(parts)) if image.hash is not None else range(1)  # the hash says which is it
    yield from (str(root.joinpath(*parts[start:])) for start in tails)


def _is_there(place: str) -> bool:
    return Path(file_of(place)).is_file()
