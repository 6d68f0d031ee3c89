"""People: list, create, rename, metadata, merge, split, delete, export."""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from facever.gallery.export import PersonExport
from facever.gallery.uses import Use
from facever.render.values import json_value
from facever.service.inputs import Asked, Given, takes
from facever.service.problems import Problem
from facever.service.replies import CountReply, PeoplePage, PersonReply, PersonRow
from facever.service.routes.shared import In, PersonInPath, needs, refusals, where_in

router = APIRouter(prefix="/v1/people", tags=["people"])

_READ = needs("enrol")
_ADMIN = needs("admin")
_README = """All that this gallery keeps of one person.

person.json  id, metadata, the model's fingerprint, and a record of each image (source, SHA-256,
             time of enrolment, length of the embedding, quality, camera and time that were given,
             landmarks of the face, number of the image)
uses.json    rows of the log of uses whose answer was this person
vectors.npy  float32 [N, D], NumPy's format: the embedding of each image, in the same order
crops/N.png  the crop of image N that the model saw, where the gallery keeps crops

No photo is kept.
"""


class AskedPerson(Asked):
    """A new person, without images."""

    person: str = Field(description="A free id.")
    metadata: dict[str, Any] = Field(default_factory=dict)


class AskedChange(Asked):
    """Changes of a person."""

    person: str | None = Field(None, description="A new id; it must be free.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Keys and values to add or replace."
    )
    remove: list[str] = Field(default_factory=list, description="Keys of metadata to remove.")


class AskedMerge(Asked):
    """The person who keeps the images."""

    into: str


class AskedSplit(Asked):
    """Images that show another person."""

    images: list[int] = Field(description="Numbers of images.", min_length=1)
    person: str = Field(description="A free id for the person whom they show.")


@router.get(
    "", dependencies=_READ, responses=refusals(422), summary="List people, a page at a time."
)
def people(
    request: Request,
    response: Response,
    service: In,
    limit: Annotated[int, Query(ge=1, description="People on the page.")] = 100,
    after: Annotated[int, Query(ge=0, description="`next` of the page before.")] = 0,
    where: Annotated[str | None, Query(description="Filter by metadata: a JSON object.")] = None,
) -> PeoplePage:
    """People are in the order of their first enrolment. The header `Link` has the next page."""
    if limit > service.limits.page:
        raise Problem(422, f"limit: {limit} is above the limit of {service.limits.page}")
    with service.gallery() as gallery:
        found, last = gallery.people_page(limit, after, where_in(where))
    if last is not None:
        following = request.url.include_query_params(after=last)
        path = f"{request.url.path}?{following.query}"
        response.headers["Link"] = f'<{path}>; rel="next"'
    rows = [PersonRow(person=one.person, images=one.images) for one in found]
    return PeoplePage(people=rows, next=last)


@router.post(
    "",
    status_code=201,
    dependencies=_READ,
    openapi_extra=takes(AskedPerson),
    responses=refusals(400, 409, 413, 415, 422),
    summary="Add a person without images.",
)
def create(body: Given, service: In) -> PersonReply:
    """Images are added at /v1/people/{person}/images, which adds the person too."""
    asked = body.read(AskedPerson)
    with service.gallery() as gallery:
        gallery.add_person(asked.person, asked.metadata)
    return PersonReply(person=asked.person, images=0, metadata=asked.metadata)


@router.get(
    "/{person}", dependencies=_READ, responses=refusals(404), summary="Show a person's metadata."
)
def person(person: PersonInPath, service: In) -> PersonReply:
    """Return the person's metadata and number of images."""
    with service.gallery() as gallery:
        return PersonReply(
            person=person,
            images=len(gallery.images(person)),
            metadata=gallery.metadata(person),
        )


@router.patch(
    "/{person}",
    dependencies=_ADMIN,
    openapi_extra=takes(AskedChange),
    responses=refusals(400, 404, 409, 413, 415, 422),
    summary="Change a person's id or metadata.",
)
def change(person: PersonInPath, body: Given, service: In) -> PersonReply:
    """Everything is changed, or nothing."""
    asked = body.read(AskedChange)
    with service.gallery() as gallery:
        gallery.update(person, asked.metadata, asked.remove, asked.person)
        now = person if asked.person is None else asked.person
        return PersonReply(
            person=now, images=len(gallery.images(now)), metadata=gallery.metadata(now)
        )


@router.delete(
    "/{person}", dependencies=_ADMIN, responses=refusals(404), summary="Remove a person."
)
def remove(person: PersonInPath, service: In) -> CountReply:
    """No answer contains them from then on. `facever gallery purge` erases the remaining bytes."""
    with service.gallery() as gallery:
        return CountReply(images=gallery.remove(person))


@router.post(
    "/{person}/merge",
    dependencies=_ADMIN,
    openapi_extra=takes(AskedMerge),
    responses=refusals(400, 404, 413, 415, 422),
    summary="Move all images of a person to another one: two ids are one person.",
)
def merge(person: PersonInPath, body: Given, service: In) -> CountReply:
    """The id in the path is free afterwards."""
    asked = body.read(AskedMerge)
    with service.gallery() as gallery:
        return CountReply(images=gallery.merge(person, asked.into))


@router.post(
    "/{person}/split",
    status_code=201,
    dependencies=_ADMIN,
    openapi_extra=takes(AskedSplit),
    responses=refusals(400, 404, 409, 413, 415, 422),
    summary="Move images of a person to a new person: one id was two people.",
)
def split(person: PersonInPath, body: Given, service: In) -> CountReply:
    """The images get new numbers."""
    asked = body.read(AskedSplit)
    with service.gallery() as gallery:
        return CountReply(images=gallery.split(person, asked.images, asked.person))


@router.get(
    "/{person}/export",
    dependencies=_ADMIN,
    response_class=Response,
    responses={
        **refusals(404),
        200: {"content": {"application/zip": {}}, "description": "A zip archive."},
    },
    summary="Export all that is kept of one person (the right of access).",
)
def export(person: PersonInPath, service: In) -> Response:
    """A zip of person.json, vectors.npy, uses.json, the kept crops and a README."""
    with service.gallery() as gallery:
        uses = [] if service.uses is None else service.uses.rows(person)
        archive = archive_of(gallery.person_export(person), uses)
    return Response(
        archive,
        media_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="person.zip"'},
    )


def archive_of(export: PersonExport, uses: Sequence[Use]) -> bytes:
    """Return the zip of a person's export and of their rows in the log of uses."""
    vectors = io.BytesIO()
    np.save(vectors, export.vectors, allow_pickle=False)
    said = {
        "person": export.person,
        "fingerprint": export.fingerprint,
        "metadata": export.metadata,
        "images": [
            {name: value for name, value in row._asdict().items() if name not in _OF_THE_PERSON}
            for row in export.images
        ],
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README)
        archive.writestr("person.json", json.dumps(json_value(said), indent=2, allow_nan=False))
        archive.writestr("uses.json", json.dumps([json_value(one) for one in uses], indent=2))
        archive.writestr("vectors.npy", vectors.getvalue())
        for image, png in export.crops.items():
            archive.writestr(f"crops/{image}.png", png, zipfile.ZIP_STORED)
    return made.getvalue()


_OF_THE_PERSON = ("person", "metadata")
