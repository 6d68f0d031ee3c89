"""Starting: from the options of `facever serve` to a service and its app."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from facever.data.acquisition import PhotoCropper
from facever.data.machine import usable_cpus
from facever.errors import ConfigError
from facever.faces.detection import YuNet
from facever.faces.selection import Which
from facever.gallery.gallery import Gallery
from facever.models.photos import NONE, alignment_of, default_cropper
from facever.models.protocol import Model
from facever.recognizer import Recognizer
from facever.service.limits import LOG_DAYS, Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from facever.service.croppers import MakeCropper


@dataclass(frozen=True)
class Options:
    """What a service is started with; it travels to worker processes.

    Args:
        gallery: The gallery's folder, or its address in PostgreSQL.
        model: The gallery's model, as for `facever.load_model`.
        device: Device that runs it.
        photos: Whether images are photos; None: what the model says.
        min_quality: Quality below which faces are refused, 0 to 100; None: the default.
        rotations: Whether faces are also detected in rotated photos.
        detector: YuNet's file; None: that of the catalogue.
        limits: Limits of requests.
        log_days: Days that the log of uses keeps a row; 0 for no log.
        tokens: File of tokens; None for a service that only this machine reaches.
    """

    gallery: str | Path
    model: Path
    device: str = "auto"
    photos: bool | None = None
    min_quality: float | None = None
    rotations: bool = False
    detector: Path | None = None
    limits: Limits = field(default_factory=Limits)
    log_days: int = LOG_DAYS
    tokens: Path | None = None


def load_app(options: Options) -> "FastAPI":
    """Return the app of a new service, as each worker process makes it.

    The model is read in a thread while the web framework is imported: both take part of a second.

    Raises:
        GalleryError: There is no such gallery, or it is bound to another model.
        ModelError: There is no usable model or detector.
        ConfigError: An option is invalid.
    """
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_load_model, options)
        from facever.service.app import create_app
        from facever.service.service import Service
        from facever.service.tokens import Tokens

    model = loading.result()
    cv2.setNumThreads(1)  # requests are spread over the cores, not each image
    if "torch" in sys.modules:  # only one thread runs the model, and it may use all cores
        import torch

        torch.set_num_threads(usable_cpus())
    service = Service(
        model,
        options.gallery,
        cropper=_cropper_of(model, options),
        limits=options.limits,
        log_days=options.log_days,
    )
    return create_app(service, None if options.tokens is None else Tokens(options.tokens))


def _load_model(options: Options) -> Model:
    with Gallery.open(options.gallery) as gallery:
        recognizer = Recognizer.load(options.model, gallery, device=options.device)
        recognizer.require_own()
        return recognizer.model


def _cropper_of(model: Model, options: Options) -> "MakeCropper | None":
    photos = options.photos
    if photos is None:
        photos = alignment_of(model) != NONE
    if not photos:
        if options.min_quality is not None or options.rotations or options.detector is not None:
            raise ConfigError(
                "--min-quality, --rotations and --detector apply to photos, and images are crops "
                "here: omit them"
            )
        return None
    if alignment_of(model) == NONE:
        default_cropper(model)  # refuses, and says what to do
    detector = YuNet(options.detector)
    return partial(_cropper, model, detector, options)


def _cropper(model: Model, detector: YuNet, options: Options, which: Which) -> PhotoCropper:
    more = {} if options.min_quality is None else {"min_quality": options.min_quality}
    return default_cropper(
        model, detector=detector, which=which, rotations=options.rotations, **more
    )
