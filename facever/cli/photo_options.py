"""Options shared by commands that take images: photos or crops, and face selection."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from facever.data.manifest import Manifest
    from facever.faces.cropping import FaceCropper
    from facever.faces.detection import YuNet
    from facever.models.photos import Photos as PhotosOrCrops
    from facever.models.protocol import Model

Photos = Annotated[
    bool | None,
    typer.Option(
        "--photos/--crops",
        help="Detect and align the face in each image (photos), or use each image unchanged "
        "(crops). [default: what the model needs; output of facever data align is used unchanged]",
        show_default=False,
    ),
]
Face = Annotated[
    str | None,
    typer.Option(
        help="For photos: face to use: largest, central, all, or only (refuse photos with "
        "several). [default: largest]",
        show_default=False,
    ),
]
MinQuality = Annotated[
    float | None,
    typer.Option(
        help="For photos: refuse faces of lower quality, 0 to 100. [default: 5]",
        show_default=False,
    ),
]
Rotations = Annotated[
    bool,
    typer.Option(
        "--rotations",
        help="For photos: also detect faces in the photo rotated by 90, 180 and 270 degrees.",
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="For photos: face detector, a YuNet ONNX file or a public model's name. "
        "[default: yunet]",
        show_default=False,
    ),
]


def asked_of_photos(how: tuple[object, ...]) -> bool:
    """Return whether any option of photos is given; options in the order of `photos_of`."""
    return how[0] is not None or any(given not in (None, False) for given in how[1:])


def photos_of(
    model: "Model",
    photos: bool | None,
    face: str | None = None,
    min_quality: float | None = None,
    rotations: bool = False,
    detector: str | None = None,
    data: "Manifest | None" = None,
) -> "PhotosOrCrops":
    """Return the options of photos as a value for `photos=` in Python.

    Args:
        model: The model that embeds the images.
        photos: --photos, --crops, or neither.
        face: --face; None if not given, like the following (False for a flag).
        min_quality: --min-quality, 0 to 100.
        rotations: --rotations.
        detector: --detector.
        data: The data set of the images, if there is one.

    Raises:
        ConfigError: Options of photos with --crops, or for data that are crops.
        ModelError: The model has no alignment for photos, or there is no such detector.
    """
    given = {
        "--face": face is not None,
        "--min-quality": min_quality is not None,
        "--rotations": rotations,
        "--detector": detector is not None,
    }
    named = ", ".join(name for name, there in given.items() if there)
    if not named:
        return photos
    from facever.errors import ConfigError
    from facever.models.photos import NONE, default_cropper

    if photos is False:
        raise ConfigError(f"{named}: for photos only: omit it, or omit --crops")
    if photos is None and data is not None and data.alignment != NONE:
        raise ConfigError(
            f"{named}: for photos only, and {data.dataset} contains aligned crops: omit it, or "
            "give --photos to detect faces in them again"
        )
    return default_cropper(
        model,
        detector=None if detector is None else _yunet(detector),
        rotations=rotations,
        **{
            name: value
            for name, value in (("which", face), ("min_quality", min_quality))
            if value is not None
        },
    )


def cropper_of(
    face: str | None = None,
    min_quality: float | None = None,
    rotations: bool = False,
    detector: str | None = None,
    **options: Any,
) -> "FaceCropper":
    """Return a cropper for the options of photos; see `FaceCropper` for `options`.

    Raises:
        ConfigError: An option is invalid.
        ModelError: There is no such detector.
    """
    from facever.faces.cropping import FaceCropper

    given = {"which": face, "min_quality": min_quality}
    return FaceCropper(
        None if detector is None else _yunet(detector),
        rotations=rotations,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        **options,
    )


def _yunet(named: str) -> "YuNet":
    """Return the detector in a file, or of a public model."""
    from facever.faces.detection import YuNet

    return YuNet(yunet_file(named))


def yunet_file(named: str) -> Path:
    """Return a detector's file: given, or a public model's. A file of that name has priority."""
    from facever.catalogue import is_name, path_of

    taken = is_name(named) and not Path(named).exists()
    return path_of(named) if taken else Path(named)
