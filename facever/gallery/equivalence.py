"""Acceptance of another model whose vectors are those of the gallery's model: by measurement.

What the other model's file says of itself is not believed, except where it speaks against it. Both
models embed the same images, and each cosine distance must be at most 1e-5. The gallery's side is
its stored vectors, whose source images still have the enrolled bytes; or the gallery's model
itself, on other images.

The measurement shows that the models agree on these images. It cannot exclude that a file was built
to answer differently for other images: accept only files whose origin you know.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.data.decode import ImageError
from facever.data.manifest import Manifest
from facever.data.sources import load
from facever.embeddings.distances import SAME_SPACE, Distances, distances_of
from facever.embeddings.template_policies import QUALITY_MEAN
from facever.errors import DataError, GalleryError
from facever.gallery.records import Equivalence, PendingImage
from facever.gallery.sources import cropping, located
from facever.gallery.store.store import Store
from facever.models.extraction import LoadedModel
from facever.models.images import embed_images
from facever.models.onnx.model import OnnxModel
from facever.models.photos import Photos
from facever.models.protocol import described
from facever.models.streams import stream_of

LEAST, MOST = 8, 256
"""Images that must be compared, and that are compared at most."""

_LENGTHS = 1e-3  # relative: a weight of quality_mean


class MeasuredDistances(NamedTuple):
    """Distances of two models, and the images that they were measured on."""

    distances: Distances
    images: str


def equivalence_of(
    store: Store,
    model: LoadedModel,
    original: LoadedModel | None,
    images: str | Path | None,
    root: Path | None,
    photos: Photos,
) -> Equivalence:
    """Measure whether a model has the vectors of a gallery's model; see `accept_equivalent`.

    Raises:
        GalleryError: As `Gallery.accept_equivalent`.
    """
    bound = store.binding.fingerprint
    _require_candidate(store, model)
    if (original is None) != (images is None):
        raise GalleryError("other images need the gallery's model, and the reverse: give both")
    if original is None or images is None:
        measured = _on_own_images(store, model, root, photos)
    else:
        measured = _on_other_images(store, model, original, images, root, photos)
    distances = measured.distances
    if distances.images < LEAST:
        raise GalleryError(
            f"only {distances.images} images could be compared (at least {LEAST}): give their "
            "folder (--data ROOT), or other images and the gallery's model (--images DATA "
            "--original MODEL)"
        )
    if not distances.one_space:
        raise GalleryError(
            "the model has other vectors than the gallery's: cosine distance "
            f"{distances.largest:.1e} on {measured.images} (allowed: {SAME_SPACE:.0e}); nothing "
            "was accepted: migrate to it instead (facever gallery migrate)"
        )
    policy = store.settings.templates
    if policy == QUALITY_MEAN and (distances.lengths is None or distances.lengths > _LENGTHS):
        raise GalleryError(
            f"the gallery's templates '{policy}' weight images by the lengths of their vectors, "
            "and those of this model differ: export it with --preprocessing outside"
        )
    return Equivalence(
        model.fingerprint,
        bound,
        distances.images,
        distances.largest,
        distances.mean,
        measured.images,
        datetime.now(UTC).isoformat(timespec="seconds"),
        dict(described(model).versions),
    )


def _require_candidate(store: Store, model: LoadedModel) -> None:
    """Refuse a model that cannot be equivalent, or whose fingerprint another one could have."""
    bound = store.binding
    if model.fingerprint == bound.fingerprint:
        raise GalleryError(f"this is the gallery's model already ({bound.fingerprint})")
    if not model.verified:
        raise GalleryError(
            "the fingerprint of this model is not computed from its network, so that another file "
            "could have it: accept a file of 'facever export'"
        )
    card = model.card if isinstance(model, OnnxModel) else None
    precisions = {str(model.options.get("precision", "fp32")), card.precision if card else "fp32"}
    if other := precisions - {"fp32"}:
        raise GalleryError(
            f"the model is {other.pop()}, and only fp32 is the same embedding space: migrate to it "
            "instead (facever gallery migrate)"
        )
    if model.exported_from not in (None, bound.fingerprint):
        raise GalleryError(
            f"the file was exported from a model of fingerprint {model.exported_from}, and the "
            f"gallery has {bound.fingerprint}: export the gallery's model, with its --flip"
        )
    if model.dimension != bound.dimension:
        raise GalleryError(
            f"the model has dimension {model.dimension}, and the gallery has {bound.dimension}"
        )


def _on_own_images(
    store: Store, model: LoadedModel, root: Path | None, photos: Photos
) -> MeasuredDistances:
    """Compare a model's vectors with the stored ones, on images whose files are unchanged."""
    if store.settings.storage != "float32":
        raise GalleryError(
            f"the gallery stores {store.settings.storage} vectors, which are rounded: give images "
            "and the gallery's model (--images DATA --original MODEL)"
        )
    found: list[tuple[PendingImage, str, NDArray[np.float32], float | None]] = []
    step, place = -(-store.counts()[1] // MOST) or 1, 0
    with store.reading():
        for rows, vectors in store.rows():
            for row, vector in zip(rows, vectors, strict=True):
                place += 1
                if place % step or row.hash is None or not np.isfinite(vector[0]):
                    continue
                image = PendingImage(place, row.person, row.source, row.hash, row.landmarks)
                try:
                    found.append((image, located(image, root), vector, row.norm))
                except ImageError:
                    continue
    old: list[NDArray[np.float32]] = []
    new: list[NDArray[np.float32]] = []
    for of_photos in (False, True):
        some = [one for one in found if (one[0].landmarks is not None) == of_photos]
        if some:
            made, good = _embedded(
                model, [path for _, path, *_ in some], photos, [one[0].landmarks for one in some]
            )
            new += list(made[good])
            old += [
                vector * np.float32(norm or 1)
                for (*_, vector, norm), whole in zip(some, good, strict=True)
                if whole
            ]
    if not new:
        raise GalleryError(
            "no image of the gallery is at its source with the enrolled bytes: give their folder "
            "(--data ROOT), or other images and the gallery's model (--images DATA --original "
            "MODEL)"
        )
    return MeasuredDistances(_distances(np.stack(old), np.stack(new)), "images of the gallery")


def _embedded(
    model: LoadedModel, paths: Sequence[str], photos: Photos, landmarks: Sequence[str | None]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the vectors [N, D] of files, not normalised, and which of them have one."""
    manifest = Manifest.from_frame(pd.DataFrame({"path": list(paths)}), Path.cwd(), "gallery")
    faces = cropping(model, photos, landmarks)
    with closing(stream_of(model, manifest, faces, workers=0)) as stream:
        blocks = [(block, [error is None for error in errors]) for _, block, errors, _ in stream]
    vectors = np.concatenate([block for block, _ in blocks])
    return vectors, np.concatenate([np.array(good, bool) for _, good in blocks])


def _on_other_images(
    store: Store,
    model: LoadedModel,
    original: LoadedModel,
    images: str | Path,
    root: Path | None,
    photos: Photos,
) -> MeasuredDistances:
    """Compare two models on a data set."""
    bound = store.binding.fingerprint
    if original.fingerprint != bound or not original.verified:
        raise GalleryError(
            f"--original has fingerprint {original.fingerprint}, and the gallery has {bound}: give "
            "the gallery's model"
            if original.verified
            else "the fingerprint of --original is not computed from its network: omit it, and "
            "--images, to compare with the gallery's stored vectors"
        )
    manifest = load(images, root)
    manifest = manifest.select(np.arange(0, len(manifest), -(-len(manifest) // MOST)))
    sets = [embed_images(one, manifest, photos=photos) for one in (original, model)]
    both = np.logical_and(*(one.acquired for one in sets))
    first, second = (
        one.vectors[both] * one.rows["norm"].to_numpy(np.float32)[both, None] for one in sets
    )
    return MeasuredDistances(_distances(first, second), f"{manifest.dataset} ({images})")


def _distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> Distances:
    try:
        return distances_of(first, second)
    except DataError as error:
        raise GalleryError(f"the models cannot be compared: {error}") from error
