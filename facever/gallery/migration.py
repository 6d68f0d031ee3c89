"""Migration of a gallery to another model: embed its sources again while the old model is in
use.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.console import Progress, progress
from facever.data.acquisition import FaceStep
from facever.data.decode import ImageError
from facever.data.given import Given
from facever.data.manifest import Manifest
from facever.embeddings.unit import unit_rows
from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.inputs import binding_of
from facever.gallery.records import PendingImage
from facever.gallery.sources import cropping, located, misfit_of
from facever.models.images import workers_for
from facever.models.photos import Photos, one_face_each
from facever.models.protocol import Model
from facever.models.streams import Workers, stream_of
from facever.render.values import Record

Missing = Literal["refuse", "remove"]

_AT_ONCE = 2048  # images whose sources are searched before they are embedded


@dataclass(frozen=True)
class MissingImage:
    """An image of a gallery that cannot be embedded again.

    Args:
        image: Its number in the gallery.
        person: Id of the person.
        source: Source of the image, or None.
        reason: Why it cannot be embedded.
    """

    image: int
    person: str
    source: str | None
    reason: str


@dataclass(frozen=True)
class Migration(Record):
    """Result of a migration to another model.

    Args:
        finished: Whether the gallery uses the new model now.
        before: Fingerprint of the old model.
        fingerprint: Fingerprint of the new model.
        images: Number of images embedded in this run.
        resumed: Number of images embedded in earlier runs.
        missing: Images that cannot be embedded again. A finished migration has removed them.
        lost: Names of the old model's operating points and calibrations. A finished migration has
            removed them.
        crops: Number of images, of those embedded in this run, whose kept crop was embedded:
            their source is missing.
    """

    finished: bool
    before: str
    fingerprint: str
    images: int
    resumed: int
    missing: list[MissingImage]
    lost: list[str]
    crops: int = 0


def migrate_gallery(
    gallery: Gallery,
    model: Model,
    *,
    missing: Missing = "refuse",
    root: str | Path | None = None,
    workers: Workers | None = None,
    photos: Photos = None,
) -> Migration:
    """Embed the images of a gallery with another model, then switch to that model.

    New vectors are stored immediately: after an interruption, the same call continues. Until all
    images are embedded, the old model stays in use, also for enrolment; images enrolled meanwhile
    are embedded, too. An image is read from its source. It is missing if the source has other bytes
    than at enrolment. Then its kept crop is embedded, if there is one and the new model takes crops
    of this size and alignment.

    Args:
        gallery: The gallery; it switches in one transaction at the end.
        model: The new model.
        missing: With "refuse", the migration does not finish while images are missing; new vectors
            are kept for the next call. With "remove", these images are removed from the gallery.
        root: A folder to search for images that are no longer at their source: by the source's full
            path below it, or by its last parts. Relative sources are relative to it.
        workers: Number of processes that load images; by default chosen by the number of images.
        photos: Whether the images are photos or crops; see `facever.models.photos.Photos`. By
            default, images enrolled as photos are photos, and for the others the model decides. A
            photo is cropped by its stored landmarks.

    Raises:
        GalleryError: The gallery already uses this model, a migration to a third model has begun,
            `missing` is unknown, `root` is not a folder, the cropper returns every face, the images
            are photos and the model takes crops, or the store cannot be written.
    """
    if missing not in ("refuse", "remove"):
        raise GalleryError(f"missing is {missing!r} (allowed: refuse, remove)")
    folder = Path(root).absolute() if root is not None else None
    if folder is not None and not folder.is_dir():
        raise GalleryError(f"{folder} is not a folder: give the root folder of the images")
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
                    continue  # new people were enrolled meanwhile
            return Migration(
                finished,
                before,
                model.fingerprint,
                moving.embedded,
                resumed,
                [moving.missing[image] for image in pending],
                [*info.operating_points, *info.calibrations],
                moving.from_crops,
            )


class _Moving:
    """Embeds the pending images of a migration in blocks and stores the vectors immediately.

    Attributes:
        embedded: Number of images embedded.
        from_crops: Number of those whose kept crop was embedded.
        missing: Images that cannot be embedded, by number.
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
        self.embedded = self.from_crops = 0
        self.missing: dict[int, MissingImage] = {}

    @property
    def seen(self) -> int:
        """Number of images that were embedded or are missing."""
        return self.embedded + len(self.missing)

    def embed_pending(self) -> list[int]:
        """Embed all images without a new vector; return the numbers of missing images."""
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
        lost: list[tuple[PendingImage, str]] = []
        for image in images:
            try:
                found.append((image, located(image, self._root)))
            except ImageError as error:
                lost.append((image, error.reason))
        for photos in (False, True):
            some = [one for one in found if (one[0].landmarks is not None) == photos]
            if some:
                self._embed_files(some)
        if lost:
            self._embed_crops(lost)

    def _embed_files(self, found: Sequence[tuple[PendingImage, str]]) -> None:
        """Embed images, all photos or all crops, from files."""
        images, paths = zip(*found, strict=True)
        faces = cropping(self._model, self._photos, [image.landmarks for image in images])
        manifest = Manifest.from_frame(pd.DataFrame({"path": paths}), Path.cwd(), "gallery")
        workers = workers_for(len(manifest)) if self._workers is None else self._workers
        self._embed(images, manifest, faces, workers)

    def _embed_crops(self, lost: Sequence[tuple[PendingImage, str]]) -> None:
        """Embed images without a source by their kept crops; the others are missing."""
        kept = dict(self._gallery.crops([image.image for image, _ in lost]))
        images: list[PendingImage] = []
        for image, reason in lost:
            crop = kept.get(image.image)
            if crop is not None and self._photos is False and image.landmarks is not None:
                why = "its kept crop is of a face, and photos are to be embedded whole"
            else:
                why = "" if crop is None else misfit_of(crop, self._model)
            if crop is None or why:
                self._miss(image, f"{reason}; {why}" if why else reason)
            else:
                images.append(image)
        if images:
            before = self.embedded
            self._embed(images, [kept[image.image].png for image in images], None, 0)
            self.from_crops += self.embedded - before

    def _embed(
        self,
        images: Sequence[PendingImage],
        given: Manifest | Sequence[Given],
        faces: FaceStep | None,
        workers: Workers,
    ) -> None:
        left = iter(images)
        with closing(stream_of(self._model, given, faces, workers=workers)) as blocks:
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
                f"the new model returns a zero vector for {batch[kept[row]].source}; the old "
                "model stays in use"
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
