"""Search (1:N): an image, a batch, or a track."""

from dataclasses import replace

from fastapi import APIRouter, Response
from pydantic import Field

from facever.gallery.answers import SearchResult
from facever.gallery.decisions import joined_notes
from facever.models.images import embed_given
from facever.recognizer import Recognizer
from facever.service.inputs import AskedImages, Given, ImageRoute, Values, takes
from facever.service.problems import Problem
from facever.service.recording import record_search
from facever.service.replies import SearchReply, search_reply
from facever.service.routes.shared import OF_IMAGES, AskingNow, In, as_json, needs
from facever.service.tracks import note_of, template_of

router = APIRouter(
    prefix="/v1", tags=["recognition"], dependencies=needs("search"), route_class=ImageRoute
)


class AskedSearch(AskedImages):
    """A search for each image."""

    k: int = Field(5, ge=1, description="Largest number of candidates for each probe.")
    where: Values | None = Field(
        None, description='Filter by metadata of people, such as {"site": ["A", "B"]}.'
    )
    where_images: Values | None = Field(
        None,
        description='Compare with these enrolled images only: {"camera": ["c1", "c2"], "taken": '
        '{"from": TIME, "to": TIME}}, times in ISO 8601 with an offset from UTC.',
    )
    operating_point: str | None = Field(
        None, description="Name of an operating point of the gallery; see /v1/thresholds."
    )
    calibration: str | None = Field(
        None, description="Name of a calibration of the gallery, for probabilities."
    )
    track: bool = Field(
        False, description="The images are of one person, such as a track: one probe, their mean."
    )


@router.post(
    "/search",
    response_model=SearchReply,
    openapi_extra=takes(AskedSearch),
    responses=OF_IMAGES,
    summary="Find the most similar people for each image (1:N).",
)
def search(body: Given, service: In, asking: AskingNow) -> Response:
    """`unknown` is an answer. An operating point that the gallery has outgrown does not decide: the
    answer has scores, and `note` says why.
    """
    asked = body.read(AskedSearch)
    asked.checked(service.limits)
    if asked.k > service.limits.candidates:
        raise Problem(422, f"k: {asked.k} is above the limit of {service.limits.candidates}")
    if asked.track and (asked.face == "all" or asked.images is None):
        raise Problem(422, "track: it takes images, and one face of each photo")
    with service.recognizer(asked.face) as recognizer:
        change = recognizer.gallery.change
        found = _found(recognizer, asked)
        reply = search_reply(found, service.model.fingerprint, change)
        record_search(service, recognizer.gallery, asking, asked.images, reply)
    return as_json(reply)


def _found(recognizer: Recognizer, asked: AskedSearch) -> SearchResult:
    point, calibration = asked.operating_point, asked.calibration
    if asked.images is None:
        return recognizer.gallery.search(
            asked.embeddings or [],
            asked.k,
            fingerprint=asked.fingerprint,
            operating_point=point,
            where=asked.where,
            where_images=asked.where_images,
            calibration=calibration,
        )
    if not asked.track:
        return recognizer.search(
            asked.images,
            asked.k,
            operating_point=point,
            where=asked.where,
            where_images=asked.where_images,
            calibration=calibration,
        )
    faces = embed_given(recognizer.model, asked.images, photos=recognizer.photos)
    found = recognizer.gallery.search(
        template_of(faces),
        asked.k,
        operating_point=point,
        where=asked.where,
        where_images=asked.where_images,
        calibration=calibration,
    )
    return replace(found, note=joined_notes(found.note, note_of(len(faces), faces.failures)))
