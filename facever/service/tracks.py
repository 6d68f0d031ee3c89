"""Several images of one person, such as a track of crops, as one probe."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from facever.data.given import hash_of
from facever.embeddings.embedding_set import EmbeddingSet, with_outcome
from facever.embeddings.unit import unit_rows
from facever.errors import DataError
from facever.gallery.answers import Enrollment
from facever.models.images import embed_given
from facever.recognizer import EnrollmentRules, Recognizer


def template_of(faces: EmbeddingSet) -> EmbeddingSet:
    """Return one row: the mean of the unit vectors, of unit length. Failed images are left out.

    Raises:
        DataError: The vectors cancel out.
    """
    held = faces.vectors[faces.acquired].astype(np.float64)
    vector, norm = unit_rows(held.mean(axis=0, keepdims=True))
    if not norm.all():
        raise DataError("the vectors of the track cancel out: their mean is zero")
    rows = with_outcome(pd.DataFrame({"identity": [None]}), norm, [None])
    return EmbeddingSet(vector, rows, faces.meta)


def enroll_track(
    recognizer: Recognizer, images: Sequence[bytes], person: str, rules: EnrollmentRules
) -> Enrollment:
    """Enroll the mean of some images of a person as one image; the same track is a duplicate.

    Raises:
        DataError: No image could be read, or the vectors cancel out.
        GalleryError: As in `Gallery.enroll`.
    """
    faces = embed_given(recognizer.model, images, photos=recognizer.photos)
    hashes = "".join(map(hash_of, images))
    track = hashlib.sha256(hashes.encode()).hexdigest()
    done = recognizer.gallery.enroll(template_of(faces), person, hashes=[track], **rules)
    errors = faces.rows["error"].tolist()
    failed = [
        (f"image {row}", str(error))
        for row, (error, there) in enumerate(zip(errors, faces.acquired, strict=True))
        if not there
    ]
    return replace(done, failed=failed, given=len(images))


def note_of(images: int, failed: int) -> str:
    """Return a remark about a probe that is the mean of several images."""
    left_out = f", {failed} without a vector left out" if failed else ""
    return (
        f"the probe is the mean of {images - failed} images{left_out}: an operating point that was "
        "measured on single images has other rates for it"
    )
