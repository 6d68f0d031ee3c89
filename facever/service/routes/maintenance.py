"""Maintenance of the gallery: purge, and the log of uses."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from facever.render.values import json_value
from facever.service.inputs import Asked, Given, takes
from facever.service.problems import Problem
from facever.service.replies import CountReply
from facever.service.routes.shared import In, needs, refusals

router = APIRouter(prefix="/v1", tags=["service"], dependencies=needs("admin"))


class UsesReply(BaseModel):
    """Rows of the log of uses."""

    uses: list[dict[str, Any]] = Field(description="Newest first.")
    kept: bool = Field(description="Whether this service keeps a log.")


@router.post(
    "/purge",
    openapi_extra=takes(Asked),
    responses=refusals(400, 413, 415, 422),
    summary="Rewrite the gallery's files so that no byte of removed data remains in them.",
)
def purge(body: Given, service: In) -> CountReply:
    """Copies and backups are not changed. The reply has the number of images that are left."""
    body.read(Asked)
    with service.gallery() as gallery:
        gallery.purge()
        if service.uses is not None:
            service.uses.purge()
        return CountReply(images=gallery.info().images)


@router.get("/uses", responses=refusals(422), summary="Show the log of uses.")
def uses(
    service: In,
    person: Annotated[str | None, Query(description="Only rows of this person.")] = None,
    last: Annotated[int, Query(ge=1, description="Only so many, the newest ones.")] = 100,
) -> UsesReply:
    """Who asked what kind of question when, and the answer; no image and no vector."""
    if last > service.limits.page:
        raise Problem(422, f"last: {last} is above the limit of {service.limits.page}")
    rows = [] if service.uses is None else service.uses.rows(person, last=last)
    return UsesReply(
        uses=[json_value(one) for one in reversed(rows)], kept=service.uses is not None
    )
