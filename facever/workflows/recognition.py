"""Answers to images: an Extractor and a Gallery joined."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from facever.data.manifest import Manifest
from facever.errors import DataError
from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import SearchResult, Verification
from facever.gallery.gallery import Gallery
from facever.vectors.embedding_set import EmbeddingSet
from facever.workflows.enrollment import require_model

if TYPE_CHECKING:
    from facever.embedding.extractor import Extractor


def search_images(
    gallery: Gallery,
    extractor: "Extractor",
    images: Sequence[str | Path],
    k: int = 5,
    operating_point: OperatingPoint | str | None = None,
    rule: ScoreRule | None = None,
    where: Mapping[str, Any] | None = None,
    calibration: ScoreCalibration | str | None = None,
    decide: bool = False,
) -> SearchResult:
    """Find the people who are nearest to each image, as `Gallery.search` does.

    The answer to an image that cannot be read carries the reason; the others are answered.

    Raises:
        DataError: Not one image could be read.
        GalleryError: As in `Gallery.search`, or another model.
    """
    require_model(gallery, extractor)
    with _embedded(extractor, images) as probes:
        return gallery.search(
            probes,
            k,
            operating_point=operating_point,
            rule=rule,
            where=where,
            calibration=calibration,
            decide=decide,
        )


def verify_images(
    gallery: Gallery,
    extractor: "Extractor",
    person: str,
    images: Sequence[str | Path],
    operating_point: OperatingPoint | str | None = None,
    rule: ScoreRule = "max",
    calibration: ScoreCalibration | str | None = None,
) -> Verification:
    """Say whether each image shows a person of the gallery, as `Gallery.verify` does.

    An image that cannot be read has its reason for an error; the others are decided.

    Raises:
        DataError: Not one image could be read.
        GalleryError: As in `Gallery.verify`, or another model.
    """
    require_model(gallery, extractor)
    with _embedded(extractor, images) as probes:
        return gallery.verify(
            probes,
            person,
            operating_point=operating_point,
            rule=rule,
            calibration=calibration,
        )


@contextmanager
def _embedded(extractor: "Extractor", images: Sequence[str | Path]) -> Iterator[EmbeddingSet]:
    """Yield the images' vectors, from a folder that goes again."""
    if isinstance(images, str | os.PathLike):
        images = [images]
    for image in images:
        if not isinstance(image, str | os.PathLike):
            raise DataError(
                f"images of a gallery's questions are given by their paths, not as "
                f"{type(image).__name__}: embed others (load_model(...).embed) and ask the gallery "
                "with the vectors"
            )
    paths = [os.path.abspath(image) for image in images]  # noqa: PTH100  (of "a.npy#7" too)
    frame = pd.DataFrame({"path": paths, "identity": "probe"})
    manifest = Manifest.from_frame(frame, Path.cwd(), "probes")
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        yield extractor.extract(manifest, Path(folder) / "probes", workers=0)
