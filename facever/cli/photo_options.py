"""What the commands that take images share: photos or crops, and which face of a photo."""

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
        help="Find and align the face in each image, or take each as it is. [default: what the "
        "model needs; crops that facever data align wrote stay as they are]",
        show_default=False,
    ),
]
Face = Annotated[
    str | None,
    typer.Option(
        help="Of photos: which face is meant: largest, central, all, or only (refuse photos with "
        "several). [default: largest]",
        show_default=False,
    ),
]
MinQuality = Annotated[
    float | None,
    typer.Option(
        help="Of photos: refuse faces of a lower quality, 0 to 100. [default: 5]",
        show_default=False,
    ),
]
Rotations = Annotated[
    bool,
    typer.Option(
        "--rotations", help="Of photos: try each one turned by 90, 180 and 270 degrees too."
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="Of photos: another face detector, a YuNet ONNX file or a public model's name. "
        "[default: yunet]",
        show_default=False,
    ),
]


def asked_of_photos(how: tuple[object, ...]) -> bool:
    """Tell whether any option of photos is given, in the order of `photos_of`."""
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
    """Return what the options of photos ask for, as Python's `photos=` takes it.

    Args:
        model: What the images are for.
        photos: --photos, --crops, or neither.
        face: See the options, like the rest; None and False where they are not given.
        min_quality: See the options.
        rotations: See the options.
        detector: See the options.
        data: The data set that the images are of, where there is one.

    Raises:
        ConfigError: Options of photos with --crops, or for data that are crops.
        ModelError: Photos for a model without alignment, or no such detector.
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
            f"{named}: {data.dataset} holds crops that were aligned before; omit it, or give "
            "--photos to look for faces in them again"
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
    """Return the cropper that the options of photos ask for; see `FaceCropper` for `options`.

    Raises:
        ConfigError: An option that cannot be.
        ModelError: No such detector.
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
    """Return the detector of a file, or of a public model; a file of that name goes first."""
    from facever.catalogue import is_name, path_of
    from facever.faces.detection import YuNet

    taken = is_name(named) and not Path(named).exists()
    return YuNet(path_of(named) if taken else Path(named))
