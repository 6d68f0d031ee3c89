"""Answers to images: an Extractor and a Gallery joined."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from facever.data.manifest import Manifest
from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import SearchResult, Verification
from facever.gallery.gallery import Gallery
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
) -> SearchResult:
    """Find the people who are nearest to each image, as `Gallery.search` does.

    The answer to an image that cannot be read carries the reason; the others are answered.

    Raises:
        DataError: Not one image could be read.
        GalleryError: As in `Gallery.search`, or another model.
    """
    require_model(gallery, extractor)
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        paths = [os.path.abspath(image) for image in images]  # noqa: PTH100  (of "a.npy#7" too)
        probes = Manifest.from_frame(
            pd.DataFrame({"path": paths, "identity": "probe"}), Path.cwd(), "probes"
        )
        vectors = extractor.extract(probes, Path(folder) / "probes", workers=0)
        return gallery.search(
            vectors,
            k,
            operating_point=operating_point,
            rule=rule,
            where=where,
            calibration=calibration,
        )


def verify_image(
    gallery: Gallery,
    extractor: "Extractor",
    person: str,
    image: str | Path,
    operating_point: OperatingPoint | str | None = None,
    rule: ScoreRule = "max",
    calibration: ScoreCalibration | str | None = None,
) -> Verification:
    """Say whether an image shows a person of the gallery, as `Gallery.verify` does.

    Raises:
        ImageError: The image cannot be read.
        GalleryError: As in `Gallery.verify`, or another model.
    """
    require_model(gallery, extractor)
    return gallery.verify(
        extractor.embed(image),
        person,
        fingerprint=extractor.fingerprint,
        operating_point=operating_point,
        rule=rule,
        calibration=calibration,
    )
