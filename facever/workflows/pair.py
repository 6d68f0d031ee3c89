"""Two images, one answer: an Extractor and an operating point joined."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facever.data.given import Given
from facever.embedding.extractor import Extractor
from facever.errors import DataError, GalleryError
from facever.evaluation.operating_point import OperatingPoint
from facever.evaluation.scoring.similarity import make_scorer
from facever.gallery.decisions import require_fit
from facever.render.values import Record
from facever.training.run import Run
from facever.vectors.unit import unit_rows


@dataclass(frozen=True)
class PairVerification(Record):
    """Whether two images show the same person.

    Args:
        score: How alike they are; larger means more alike.
        similarity: What the score is: cosine, euclidean (minus the squared distance) or dot.
        same: The decision, or None where nothing decides.
        operating_point: What decided, or None.
        fingerprint: Of the model and its options.
        note: Why there is no decision, or an empty text.
    """

    score: float
    similarity: str
    same: bool | None
    operating_point: OperatingPoint | None
    fingerprint: str
    note: str


def run_operating_point(model: str | Path) -> OperatingPoint | None:
    """Return the operating point in a run folder; None where there is none."""
    path = Run(Path(model)).operating_point
    return OperatingPoint.load(path) if path.is_file() else None


def verify_pair(
    extractor: Extractor,
    image_a: Given,
    image_b: Given,
    operating_point: OperatingPoint | None = None,
) -> PairVerification:
    """Say whether two images show the same person (1:1); they are given as to `Extractor.embed`.

    The score is the operating point's; without one it is the model's own, and nothing decides.

    Raises:
        ImageError: An image cannot be read.
        DataError: Something else than an image, or its embedding has no length.
        GalleryError: The operating point is of another model or not for two images.
    """
    if operating_point is not None:
        require_fit(operating_point, extractor.fingerprint, "the model")
        if operating_point.kind != "1:1-image":
            raise GalleryError(
                f"a {operating_point.kind} operating point does not decide between two images: "
                "give one of kind 1:1-image"
            )
    features = extractor.features([image_a, image_b])
    vectors, norms = unit_rows(features)
    if not norms.all():
        raise DataError("an image has an embedding of length zero: nothing can be compared with it")
    similarity = operating_point.similarity if operating_point else extractor.card.metric
    scorer = make_scorer(vectors[:1], similarity, norms[:1], vectors[1:], norms[1:])
    score = float(scorer.pairs(np.zeros(1, int), np.zeros(1, int))[0])
    note = "" if operating_point else "score only: there is no operating point to decide by"
    same = operating_point.accepts(score) if operating_point else None
    return PairVerification(score, similarity, same, operating_point, extractor.fingerprint, note)
