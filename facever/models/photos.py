"""Photos or crops: the choice for a model, and its cropper.

A model says of itself what it needs: `alignment` "arcface-112" means photos, whose faces are found
and aligned, "none" means crops. Data that `facever data align` wrote are crops of that alignment
already. The caller can override both; the size of an image has no influence.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from facever.data.acquisition import Acquire, FaceStep, PhotoCropper
from facever.data.crops import CropKeeper
from facever.data.preprocessing import Preprocessing
from facever.errors import ConfigError, DataError, ModelError

if TYPE_CHECKING:
    from facever.data.manifest import Manifest
    from facever.models.protocol import Model

Photos: TypeAlias = bool | PhotoCropper | None
"""True: the images are photos, cut by the default `FaceCropper`; a cropper: photos, cut by it;
False: they are crops; None: what the model and the data say of themselves."""

NONE = "none"
_TEMPLATE_SIZE = 112  # of a model that does not say the size of its input
_CROPS = {"images": "crops"}
_INTERPOLATIONS = ("area", "bilinear", "bicubic")  # a model of one's own may have others


def alignment_of(model: "Model") -> str:
    """Return the template that a model's crops are aligned by: "arcface-112", or "none"."""
    return str(getattr(model, "alignment", NONE))


def face_step(model: "Model", photos: Photos, data: "Manifest | None" = None) -> FaceStep | None:
    """Return how images become the crops of a model, or None where they are crops already.

    Args:
        model: Any model.
        photos: See `Photos`.
        data: The data set that the images are of; None for images given one by one.

    Raises:
        ModelError: Photos for a model without alignment.
        DataError: Crops, or a cropper, of another alignment than the model's.
        ConfigError: `photos` is something else.
    """
    wanted = alignment_of(model)
    given = NONE if data is None else data.alignment
    cropper = photos if isinstance(photos, PhotoCropper) else None
    if cropper is None and photos not in (True, False, None):
        raise ConfigError(f"photos is {photos!r} (allowed: True, False, None or a FaceCropper)")
    if photos is None and (wanted == NONE or given != NONE):
        photos = False
    if photos is False:
        if NONE not in (wanted, given) and wanted != given:
            raise DataError(
                f"{'these crops' if data is None else data.dataset} are aligned by {given} and the "
                f"model needs {wanted}: align the photos again (facever data align), or take "
                "another model"
            )
        return None
    if cropper is None:
        cropper = default_cropper(model)
    template = cropper.provenance.get("template", wanted)
    if NONE not in (wanted, template) and template != wanted:
        raise DataError(
            f"the cropper aligns by {template} and the model needs {wanted}: use a FaceCropper "
            f"with alignment='{wanted}'"
        )
    landmarks = None
    if data is not None and given == NONE and "landmarks" in data.frame:
        landmarks = data.frame["landmarks"].tolist()
    return FaceStep(cropper, crop_size(model), landmarks)


def default_cropper(model: "Model", **options: Any) -> PhotoCropper:
    """Return the default cropper of a model.

    Args:
        model: What the crops are for.
        options: Of `facever.faces.cropping.FaceCropper`, but the alignment, which is the model's.

    Raises:
        ModelError: A model without alignment, or the detector's file is not there.
        ConfigError: An option that cannot be.
    """
    alignment = alignment_of(model)
    if alignment == NONE:
        raise ModelError(
            "the model takes crops: it has no alignment, so photos cannot be cropped for it; "
            "give crops (--crops, photos=False), train on what 'facever "
            "data align' writes, or use an aligned model such as sface"
        )
    from facever.faces.cropping import FaceCropper  # OpenCV, for those who need it

    return FaceCropper(alignment=alignment, **options)


def one_face_each(photos: Photos, what: str) -> None:
    """Refuse a cropper of every face where each photo must give one vector.

    Args:
        photos: See `Photos`.
        what: What needs that: "an enrolment".

    Raises:
        ConfigError: It is one.
    """
    if isinstance(photos, PhotoCropper) and getattr(photos, "which", None) == "all":
        raise ConfigError(
            f"{what} takes one face of a photo, not all: use largest, central or only (--face)"
        )


def crop_size(model: "Model") -> tuple[int, int]:
    """Return the size of the crops that a model's preprocessing takes: (height, width), pixels."""
    said = getattr(model, "preprocessing", {})
    known = {name: said[name] for name in ("size", "crop") if name in said}
    return Preprocessing(**{"size": _TEMPLATE_SIZE, **known}).uncropped_size


def crop_keeper(model: "Model", faces: FaceStep | None, acquire: Acquire | None) -> CropKeeper:
    """Return the step of loaders that also keeps the crops of a model.

    Args:
        model: What the crops are for.
        faces: How photos become crops; None where the images are crops.
        acquire: The step that does so for the rows of the loader; None for crops.
    """
    alignment = alignment_of(model)
    if faces is not None:
        alignment = str(faces.cropper.provenance.get("template", alignment))
    said = getattr(model, "preprocessing", {}).get("interpolation")
    how = {"interpolation": said} if said in _INTERPOLATIONS else {}
    whole = Preprocessing(size=crop_size(model), **how)
    return CropKeeper(acquire, alignment, whole.resize)


def acquisition(faces: FaceStep | None) -> dict[str, Any]:
    """Return the value of `EmbeddingMeta.acquisition` for vectors of such images."""
    if faces is None:
        return dict(_CROPS)
    given = {"landmarks": "of the data, where it has some"} if faces.landmarks_given else {}
    return {"images": "photos", **faces.cropper.provenance, **given}
