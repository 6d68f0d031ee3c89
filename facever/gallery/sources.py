"""The sources of enrolled images: where their files are, and how they become crops again.

A kept crop can stand in for a missing file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from facever.data.acquisition import FaceStep, landmarks_of
from facever.data.crops import KeptCrop
from facever.data.decode import ImageError
from facever.data.given import hash_of
from facever.data.headers import read_header
from facever.data.members import file_of
from facever.errors import DataError, GalleryError
from facever.gallery.records import PendingImage
from facever.models.photos import NONE, Photos, alignment_of, crop_size, face_step
from facever.models.protocol import Model


def cropping(model: Model, photos: Photos, landmarks: Sequence[str | None]) -> FaceStep | None:
    """Return the cropping of images that are all photos or all crops; None for crops.

    Args:
        model: The model that the crops are for.
        photos: See `Photos`; None for what the images were enrolled as.
        landmarks: Stored landmarks of each image: None for all crops, empty if unknown.

    Raises:
        GalleryError: The images are photos, and the model takes crops.
    """
    if landmarks[0] is None or photos is False:
        return face_step(model, photos)
    if photos is None and alignment_of(model) == NONE:
        raise GalleryError(
            "images of the gallery were enrolled as photos, but the new model takes crops: "
            "choose a model with an alignment, or give --crops (photos=False) to embed the "
            "photos whole"
        )
    step = face_step(model, True if photos is None else photos)
    known = [text if text and _are_landmarks(text) else None for text in landmarks]
    return None if step is None else FaceStep(step.cropper, step.size, known)


def _are_landmarks(text: str) -> bool:
    """Return whether a text contains landmarks; if not, it is damaged."""
    try:
        landmarks_of(text)
    except DataError:
        return False
    return True


def misfit_of(crop: KeptCrop, model: Model) -> str:
    """Return why a kept crop is not the crop that a model takes; empty if it is."""
    header, (height, width) = read_header(crop.png), crop_size(model)
    size, alignment = (header.height, header.width), alignment_of(model)
    if (size, crop.alignment) == ((height, width), alignment):
        return ""
    return (
        f"its kept crop has {size[0]} x {size[1]} pixels and alignment {crop.alignment}, and the "
        f"new model takes {height} x {width} and {alignment}"
    )


def located(image: PendingImage, root: Path | None) -> str:
    """Return the path of the file with the enrolled bytes.

    Raises:
        ImageError: There is no such file, with the reason.
    """
    if image.source is None:
        given = "a vector" if image.hash is None else "bytes, over HTTP or in Python"
        raise ImageError(f"image {image.image}", f"it was enrolled as {given}, without a source")
    there = [place for place in _places(image, root) if _is_there(place)]
    for place in there:
        if image.hash is None or hash_of(place) == image.hash:
            return place
    raise ImageError(
        image.source, "the file has changed since enrolment" if there else "no such file"
    )


def _places(image: PendingImage, root: Path | None) -> Iterator[str]:
    """Yield possible paths of an image, the most likely first."""
    assert image.source is not None
    source = Path(image.source)
    if source.is_absolute():
        yield str(source)
    if root is None:
        return
    parts = source.parts[1:] if source.is_absolute() else source.parts
    tails = (
        range(len(parts)) if image.hash is not None else range(1)
    )  # the hash identifies the right file
    yield from (str(root.joinpath(*parts[start:])) for start in tails)


def _is_there(place: str) -> bool:
    return Path(file_of(place)).is_file()
