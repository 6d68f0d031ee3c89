"""Maintenance of the gallery: purge."""

from fastapi import APIRouter

from facever.service.inputs import Asked, Given, takes
from facever.service.replies import CountReply
from facever.service.routes.shared import In, needs, refusals

router = APIRouter(prefix="/v1", tags=["service"], dependencies=needs("admin"))


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
        return CountReply(images=gallery.info().images)
