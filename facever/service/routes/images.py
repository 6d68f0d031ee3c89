"""Images of a person: add, list, remove."""

from fastapi import APIRouter, Response
from pydantic import Field

from facever.gallery.checks import Conflicts
from facever.gallery.records import Duplicates
from facever.recognizer import EnrollmentRules
from facever.render.values import json_value
from facever.service.inputs import AskedImages, Given, ImageRoute, Values, takes
from facever.service.problems import Problem
from facever.service.replies import CountReply, EnrollmentReply, ImageRow, ImagesReply
from facever.service.routes.shared import OF_IMAGES, In, PersonInPath, needs, refusals
from facever.service.tracks import enroll_track

router = APIRouter(prefix="/v1/people/{person}/images", tags=["people"], route_class=ImageRoute)


class AskedEnrollment(AskedImages):
    """Images of the person in the path."""

    metadata: Values | None = Field(None, description="Keys and values to add to the person's.")
    camera: str | None = Field(None, description="Camera that took the images.")
    taken: str | None = Field(
        None,
        description="Time when the images were taken: ISO 8601 with an offset from UTC.",
    )
    track: bool = Field(
        False,
        description="The images are of one passage, such as a track: their mean is enrolled, "
        "as one image.",
    )
    duplicates: Duplicates = Field(
        "skip", description="An image that is enrolled already: skip, keep or refuse."
    )
    conflicts: Conflicts = Field(
        "warn", description="An image that matches another person: warn, refuse or ignore."
    )
    conflict_point: str | None = Field(
        None, description="Name of the operating point of the conflicts."
    )


@router.get(
    "", dependencies=needs("enrol"), responses=refusals(404), summary="List a person's images."
)
def images(person: PersonInPath, service: In) -> ImagesReply:
    """Records, without vectors; no photo is kept."""
    with service.gallery() as gallery:
        rows = [ImageRow(**one.to_dict()) for one in gallery.images(person)]
    return ImagesReply(person=person, images=rows)


@router.post(
    "",
    status_code=201,
    dependencies=needs("enrol"),
    openapi_extra=takes(AskedEnrollment),
    responses={**OF_IMAGES, **refusals(409), 200: {"model": EnrollmentReply}},
    summary="Enrol images of a person; a new person is added.",
)
def enroll(person: PersonInPath, body: Given, service: In, response: Response) -> EnrollmentReply:
    """All images are added in one change, or none on an error. An image without a face is skipped
    and listed in `failed`. The status is 200 where nothing was added.
    """
    asked = body.read(AskedEnrollment)
    asked.checked(service.limits)
    if asked.face == "all":
        raise Problem(422, "face: an enrolment takes one face of each photo, not all")
    if asked.track and asked.images is None:
        raise Problem(422, "track: it takes images")
    rules: EnrollmentRules = {
        "metadata": None if asked.metadata is None else {person: asked.metadata},
        "cameras": asked.camera,
        "taken": asked.taken,
        "duplicates": asked.duplicates,
        "conflicts": asked.conflicts,
        "conflict_point": asked.conflict_point,
    }
    with service.recognizer(asked.face) as recognizer:
        if asked.images is None:
            done = recognizer.gallery.enroll(
                asked.embeddings or [], person, fingerprint=asked.fingerprint, **rules
            )
        elif asked.track:
            done = enroll_track(recognizer, asked.images, person, rules)
        else:
            done = recognizer.enroll(asked.images, person, **rules)
    if not done.images:
        response.status_code = 200
    said = json_value(done)
    return EnrollmentReply(**{name: said[name] for name in EnrollmentReply.model_fields})


@router.get(
    "/{image}/crop",
    dependencies=needs("enrol"),
    response_class=Response,
    responses={
        **refusals(404, 422),
        200: {"content": {"image/png": {}}, "description": "The crop, without metadata."},
    },
    summary="Show what the model saw of an image, if the gallery keeps crops.",
)
def crop(person: PersonInPath, image: int, service: In) -> Response:
    """The status is 404 where no crop is kept: the gallery keeps none, or kept none when the image
    was enrolled, or it was enrolled as an embedding or a track; and where the crop is damaged.
    """
    with service.gallery() as gallery:
        return Response(gallery.crop(person, image), media_type="image/png")


@router.delete(
    "/{image}",
    dependencies=needs("admin"),
    responses=refusals(404, 422),
    summary="Remove an image of a person.",
)
def remove(person: PersonInPath, image: int, service: In) -> CountReply:
    """`image` is its number as in the list."""
    with service.gallery() as gallery:
        return CountReply(images=gallery.remove(person, image))
