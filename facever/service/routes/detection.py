"""Detection: the faces in photos, without comparing them with anybody."""

from fastapi import APIRouter, Response
from pydantic import Field

from facever.data.acquisition import FailureToAcquire, PhotoCropper
from facever.data.decode import ImageError
from facever.data.given import pixels_of
from facever.faces.selection import Which
from facever.models.photos import crop_size
from facever.service.inputs import Asked, Given, ImageFiles, ImageRoute, check_images, takes
from facever.service.problems import Problem
from facever.service.replies import DetectionReply, FoundFaces, face_of
from facever.service.routes.shared import OF_IMAGES, In, as_json, needs

router = APIRouter(
    prefix="/v1", tags=["recognition"], dependencies=needs("search"), route_class=ImageRoute
)

_NONE = "no face found"


class AskedDetect(Asked):
    """Photos in which faces are detected."""

    images: ImageFiles = Field(description="Image files: JPEG, PNG, WebP or AVIF.")
    face: Which = Field("all", description="Faces of a photo that are listed.")


@router.post(
    "/detect",
    response_model=DetectionReply,
    openapi_extra=takes(AskedDetect),
    responses=OF_IMAGES,
    summary="Find the faces in photos: boxes, landmarks, quality.",
)
def detect(body: Given, service: In) -> Response:
    """A photo without a face has an empty list. Faces below the service's minimum quality are not
    listed: `error` says so where there is no other one.
    """
    asked = body.read(AskedDetect)
    check_images(asked.images, service.limits)
    cropper = service.croppers.of(asked.face)
    if isinstance(cropper, bool):
        raise Problem(422, "the model of this gallery takes crops, without detection")
    size = crop_size(service.model)
    photos = [_faces(cropper, image, size, row) for row, image in enumerate(asked.images)]
    return as_json(DetectionReply(photos=photos))


def _faces(cropper: PhotoCropper, image: bytes, size: tuple[int, int], row: int) -> FoundFaces:
    try:
        photo = pixels_of(image, reduce=True)
        every = getattr(cropper, "which", None) == "all"
        found = cropper.crops(photo, size) if every else [cropper.crop(photo, size)]
    except FailureToAcquire as error:
        return FoundFaces(image=row, faces=[], error=None if error.reason == _NONE else str(error))
    except ImageError as error:
        return FoundFaces(image=row, faces=[], error=error.reason)
    faces = [face for one in found if (face := face_of(one.columns)) is not None]
    return FoundFaces(image=row, faces=faces, error=None)
