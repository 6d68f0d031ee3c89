"""Verification (1:1): two images, or an image and a person."""

from fastapi import APIRouter, Response
from pydantic import Field

from facever.service.inputs import AskedImages, Given, ImageRoute, takes
from facever.service.pairs import compared, point_for_pairs
from facever.service.problems import Problem
from facever.service.recording import Asking, record_pair, record_person
from facever.service.replies import (
    PairVerificationReply,
    PersonVerificationReply,
    pair_verification_reply,
    person_verification_reply,
)
from facever.service.routes.shared import OF_IMAGES, AskingNow, In, as_json, needs, refusals
from facever.service.service import Service

router = APIRouter(
    prefix="/v1", tags=["recognition"], dependencies=needs("search"), route_class=ImageRoute
)


class AskedVerify(AskedImages):
    """Two images, or images and a person's id."""

    person: str | None = Field(None, description="Claimed person; omit it to compare two images.")
    operating_point: str | None = Field(
        None, description="Name of an operating point of the gallery; see /v1/thresholds."
    )
    calibration: str | None = Field(
        None, description="Name of a calibration of the gallery; only with a person."
    )


@router.post(
    "/verify",
    response_model=PairVerificationReply | PersonVerificationReply,
    openapi_extra=takes(AskedVerify),
    responses={**OF_IMAGES, **refusals(404)},
    summary="Decide whether two images show one person, or an image a given person (1:1).",
)
def verify(body: Given, service: In, asking: AskingNow) -> Response:
    """Give two images or embeddings; or `person` and one or several.

    A photo without a face is an error, not a "no". Without an operating point there are scores and
    no decision.
    """
    asked = body.read(AskedVerify)
    count = asked.checked(service.limits)
    if asked.person is not None:
        return as_json(_person(service, asking, asked, asked.person))
    if count != 2:
        raise Problem(422, f"images: {count} given; give two, or an image and a person")
    if asked.calibration is not None:
        raise Problem(422, "calibration: it applies to a comparison with a person")
    if asked.face == "all":
        raise Problem(422, "face: a comparison takes one face of each photo, not all")
    with service.recognizer(asked.face) as recognizer:
        gallery = recognizer.gallery
        point = point_for_pairs(gallery, asked.operating_point, service.model)
        if asked.images is not None:
            result = recognizer.verify(asked.images[0], asked.images[1], point)
        else:
            result = compared(gallery, asked.embeddings, asked.fingerprint, point)
        reply = pair_verification_reply(result)
        record_pair(service, gallery, asking, asked.images, reply)
    return as_json(reply)


def _person(
    service: Service, asking: Asking, asked: AskedVerify, person: str
) -> PersonVerificationReply:
    point, calibration = asked.operating_point, asked.calibration
    with service.recognizer(asked.face) as recognizer:
        if asked.images is not None:
            result = recognizer.verify_person(
                asked.images, person, operating_point=point, calibration=calibration
            )
        else:
            result = recognizer.gallery.verify(
                asked.embeddings or [],
                person,
                fingerprint=asked.fingerprint,
                operating_point=point,
                calibration=calibration,
            )
        reply = person_verification_reply(result, service.model.fingerprint)
        record_person(service, recognizer.gallery, asking, asked.images, reply)
    return reply
