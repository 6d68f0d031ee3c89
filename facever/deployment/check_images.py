"""The images on which an exported model is compared with its original."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.config import read_yaml_file
from facever.core.run_folder import RunFolder
from facever.data.given import read_images
from facever.data.manifest import Manifest
from facever.data.sources import load
from facever.errors import DataError, FaceverError
from facever.models.extraction import LoadedModel
from facever.models.photos import NONE, face_step

MOST = 256
"""Images that are compared; of more, every n-th is taken."""

_PEOPLE, _EACH = 16, 4  # generated: identities, images of each


@dataclass(frozen=True)
class CheckImages:
    """Decoded images for a comparison of two models.

    Attributes:
        pixels: uint8 [H, W, 3] RGB, crops as the model takes them, before its preprocessing.
        said: What they are, for the reader.
    """

    pixels: list[NDArray[np.uint8]]
    said: str


def images_of(
    model: LoadedModel,
    source: str | Path,
    given: str | Path | None,
    data: Path | None = None,
    photos: bool | None = None,
) -> CheckImages:
    """Return images to compare two models on.

    Args:
        model: The original.
        source: The run or file that it was loaded from.
        given: A data set; None for the run's development people, or, if the run's data is not on
            this machine or has photos, generated faces.
        data: Folder of named data sets.
        photos: Whether the images are photos or crops; by default what model and data say.

    Raises:
        DataError: There is no such data, or no image could be read.
    """
    if given is not None:
        manifest = load(given, data)
        return CheckImages(_read(model, manifest, photos), f"{manifest.dataset} ({given})")
    try:
        found = _development(model, RunFolder(source), data, photos)
        return CheckImages(_read(model, found, photos), f"the run's own images ({found.dataset})")
    except FaceverError as error:
        return CheckImages(_generated(), f"generated faces, because {error}")


def _development(
    model: LoadedModel, run: RunFolder, data: Path | None, photos: bool | None
) -> Manifest:
    """Return the data of a run, only development people where they are listed.

    Raises:
        FaceverError: It cannot be used here.
    """
    if not run.config.is_file():
        raise DataError("no images were given (--check-images)")
    values: Any = read_yaml_file(run.config)
    try:
        root, layout = str(values["data"]["root"]), str(values["data"].get("layout", "auto"))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{run.config} names no data") from error
    manifest = load(root, data, layout)
    if photos is None and model.alignment != NONE and manifest.alignment == NONE:
        raise DataError(f"{root} has photos")
    people = model.trained_on
    if people is not None and "use" in people:
        chosen = people["identity"][people["use"] == "development"]
        held = manifest.frame["identity"].isin(set(chosen)).to_numpy()
        manifest = manifest.select(held) if held.any() else manifest
    return manifest


def _read(model: LoadedModel, manifest: Manifest, photos: bool | None) -> list[NDArray[np.uint8]]:
    step = -(-len(manifest) // MOST)
    manifest = manifest.select(np.arange(0, len(manifest), step))
    faces = face_step(model, photos, manifest)
    paths = (manifest.locate(row) for row in range(len(manifest)))
    pixels, errors, _ = read_images(paths, None, "skip", faces)
    if not pixels:
        raise DataError(f"not one of {len(errors)} images could be used, first: {errors[0]}")
    return pixels


def _generated() -> list[NDArray[np.uint8]]:
    from facever.data.synthesize import synthesize

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "faces"
        synthesize(place, _PEOPLE, _EACH)
        manifest = Manifest.from_folder(place)
        return read_images(manifest.locate(row) for row in range(len(manifest)))[0]
