"""Comparisons of two images or vectors, decided by the gallery's operating points."""

from typing import Any

import numpy as np

from facever.errors import unknown
from facever.gallery.gallery import Gallery
from facever.gallery.inputs import checked_vectors
from facever.gallery.records import Binding
from facever.models.protocol import Model
from facever.operating_point import OperatingPoint
from facever.pair_verification import PairVerification
from facever.service.problems import Problem

KIND = "1:1-image"


def point_for_pairs(gallery: Gallery, name: str | None, model: Model) -> OperatingPoint | None:
    """Return what decides between two images.

    Args:
        gallery: Whose operating points are used.
        name: Name of one of them; by default the gallery's only one of kind 1:1-image, else the
            one that comes with the model.
        model: The gallery's model.

    Raises:
        Problem: There is no operating point of that name, or it has another kind.
    """
    points = gallery.operating_points()
    if name is not None:
        if name not in points:
            raise Problem(422, unknown("operating point", name, points))
        if points[name].kind != KIND:
            raise Problem(
                422, f"operating point {name} is of kind {points[name].kind}: name one of {KIND}"
            )
        return points[name]
    fitting = [point for point in points.values() if point.kind == KIND]
    return fitting[0] if len(fitting) == 1 else getattr(model, "operating_point", None)


def compared(
    gallery: Gallery, vectors: Any, fingerprint: str | None, point: OperatingPoint | None
) -> PairVerification:
    """Compare two unit vectors of the gallery's model by their cosine similarity.

    Args:
        gallery: The gallery whose model made them.
        vectors: [2, D].
        fingerprint: Fingerprint of the model that made them.
        point: What decides; None for a score without a decision.

    Raises:
        GalleryError: They are of another model or dimension, or not of unit length.
        Problem: The operating point is for another similarity.
    """
    binding = Binding(gallery.fingerprint, gallery.dimension)
    first, second = checked_vectors(vectors, fingerprint, binding)
    if point is not None and point.similarity != "cosine":
        raise Problem(
            422,
            f"the operating point is for {point.similarity} scores, and embeddings are compared by "
            "cosine: give images",
        )
    score = float(np.dot(first.astype(np.float64), second.astype(np.float64)))
    same = None if point is None else point.accepts(score)
    note = "" if point is not None else "score only: there is no operating point"
    return PairVerification(score, "cosine", same, point, gallery.fingerprint, note, [None, None])
