"""Names of before `Recognizer` and `Gallery.create`; they go with the next version."""

import warnings
from pathlib import Path
from typing import Any

from facever.embeddings.embedding_set import EmbeddingSet
from facever.gallery.answers import Enrollment, SearchResult, Verification
from facever.gallery.gallery import Gallery
from facever.gallery.migration import Migration
from facever.models.protocol import Model
from facever.pair_verification import PairVerification
from facever.recognizer import Recognizer


def create_gallery(path: str | Path, made_by: Model | EmbeddingSet, **settings: Any) -> Gallery:
    """Make a gallery: use `Gallery.create(path, model)`."""
    _warn("create_gallery", "Gallery.create(path, model)")
    return Gallery.create(path, made_by, **settings)


def enroll_images(gallery: Gallery, model: Model, images: Any, **rules: Any) -> Enrollment:
    """Enroll images: use `Recognizer(model, gallery).enroll(images)`."""
    _warn("enroll_images", "Recognizer(model, gallery).enroll(images)")
    return Recognizer(model, gallery).enroll(images, **rules)


def search_images(
    gallery: Gallery, model: Model, images: Any, k: int = 5, *asked: Any, **named: Any
) -> SearchResult:
    """Search for images: use `Recognizer(model, gallery).search(images)`."""
    _warn("search_images", "Recognizer(model, gallery).search(images)")
    order = ("operating_point", "rule", "where", "calibration", "decide")
    return Recognizer(model, gallery).search(
        images, k, **dict(zip(order, asked, strict=False)), **named
    )


def verify_images(
    gallery: Gallery, model: Model, person: str, images: Any, *asked: Any, **named: Any
) -> Verification:
    """Verify images: use `Recognizer(model, gallery).verify_person(images, person)`."""
    _warn("verify_images", "Recognizer(model, gallery).verify_person(images, person)")
    order = ("operating_point", "rule", "calibration")
    recognizer = Recognizer(model, gallery)
    return recognizer.verify_person(
        images, person, **dict(zip(order, asked, strict=False)), **named
    )


def verify_pair(
    model: Model, image_a: Any, image_b: Any, operating_point: Any = None
) -> PairVerification:
    """Verify two images: use `Recognizer(model).verify(a, b)`, which decides as its run does."""
    _warn("verify_pair", "Recognizer(model).verify(image_a, image_b)")
    return Recognizer(model).verify(image_a, image_b, operating_point)


def migrate_gallery(gallery: Gallery, model: Model, **options: Any) -> Migration:
    """Move a gallery: use `Recognizer(new_model, gallery).migrate()`."""
    _warn("migrate_gallery", "Recognizer(new_model, gallery).migrate()")
    return Recognizer(model, gallery).migrate(**options)


def _warn(old: str, new: str) -> None:
    warnings.warn(
        f"facever.workflows.{old} goes with the next version: use {new}",
        DeprecationWarning,
        stacklevel=3,
    )
