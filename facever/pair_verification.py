"""Verification of two images, without a gallery, and without pandas, which takes time to import."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facever.data.given import Given, name_of
from facever.embeddings.similarities import named_similarity
from facever.embeddings.unit import unit_block
from facever.errors import GalleryError
from facever.evaluation.scoring.similarity import pair_scores
from facever.models.photos import Photos, acquisition, face_step, one_face_each
from facever.models.protocol import Model, described
from facever.models.streams import stream_of
from facever.operating_point import require_fit
from facever.render.values import Record

if TYPE_CHECKING:
    from facever.operating_point import OperatingPoint


@dataclass(frozen=True)
class PairVerification(Record):
    """The result of a verification of two images.

    Args:
        score: Similarity; larger means more similar.
        similarity: Kind of score: cosine, euclidean (minus the squared distance) or dot.
        same: The decision, or None without an operating point.
        operating_point: The operating point of the decision, or None.
        fingerprint: Fingerprint of the model and its options.
        note: Why there is no decision, or a remark about it; else empty.
        faces: The face in each of the two photos (box, landmarks, quality, ...), by column name;
            None for crops.
    """

    score: float
    similarity: str
    same: bool | None
    operating_point: "OperatingPoint | None"
    fingerprint: str
    note: str
    faces: list[dict[str, Any] | None] = field(default_factory=list)


def verify_pair(
    model: Model,
    image_a: Given,
    image_b: Given,
    operating_point: "OperatingPoint | None" = None,
    photos: Photos = None,
) -> PairVerification:
    """Decide whether two images show the same person (1:1).

    Args:
        model: Any model.
        image_a: An image.
        image_b: Another one.
        operating_point: As in `Recognizer.verify`.
        photos: See `facever.models.photos.Photos`.

    Raises:
        ImageError, FailureToAcquire, DataError, GalleryError: As `Recognizer.verify`.
    """
    said = described(model)
    point = operating_point or getattr(model, "operating_point", None)
    if point is not None:
        require_fit(point, model.fingerprint, "the model")
        if point.kind != "1:1-image":
            raise GalleryError(
                f"a {point.kind} operating point does not decide between two images: "
                "give one of kind 1:1-image"
            )
    one_face_each(photos, "a comparison of two photos")
    faces, images = face_step(model, photos), [image_a, image_b]
    with closing(stream_of(model, images, faces, workers=0, on_error="raise")) as stream:
        blocks = list(stream)
    vectors, norms = unit_block(
        np.concatenate([block.embeddings for block in blocks]),
        [None, None],
        lambda row: name_of(images[row], row),
    )
    similarity = point.similarity if point else named_similarity(said.metric)
    rows = vectors if similarity == "cosine" else vectors * norms[:, None]
    score = float(pair_scores(rows[:1], rows[1:], similarity)[0])
    note = "score only: there is no operating point"
    if point:
        own = "" if operating_point else getattr(model, "operating_point_note", "")
        note = "; ".join(filter(None, [point.other_images(acquisition(faces)), own]))
    same = point.accepts(score) if point else None
    found = [dict(columns) for block in blocks for columns in block.columns] or [{}, {}]
    return PairVerification(
        score,
        similarity,
        same,
        point,
        model.fingerprint,
        note,
        [None, None] if faces is None else [*found],
    )
