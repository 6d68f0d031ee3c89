"""The service itself: info, health, metrics."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from facever._version import __version__
from facever.errors import FaceverError
from facever.service.metrics import CONTENT_TYPE_LATEST
from facever.service.problems import ProblemDocument, busy
from facever.service.replies import InfoReply
from facever.service.routes.shared import In, needs, refusals

router = APIRouter(tags=["service"])


class HealthReply(BaseModel):
    """The state of the service."""

    status: str


@router.get(
    "/v1/info",
    dependencies=needs("search"),
    responses=refusals(),
    summary="Show model and gallery.",
)
def info(service: In) -> InfoReply:
    """Return the versions, the gallery's settings and counts, and the limits of requests."""
    with service.gallery() as gallery:
        said = gallery.info().to_dict()
    del said["path"]
    return InfoReply(
        version=__version__,
        gallery=said,
        photos=service.croppers.detects,
        limits=service.limits.model_dump(),
        log_days=service.log_days,
    )


@router.get("/v1/health/live", summary="Whether the process answers.")
async def live() -> HealthReply:
    """No token is needed. It waits for no thread: others may hold them all."""
    return HealthReply(status="live")


@router.get(
    "/v1/health/ready",
    responses={503: {"model": ProblemDocument}},
    summary="Whether questions can be answered now.",
)
def ready(service: In) -> HealthReply:
    """503 while the gallery cannot be read. No token is needed."""
    try:
        with service.gallery() as gallery:
            gallery.change  # noqa: B018 - reads the store
    except FaceverError:
        raise busy("the gallery cannot be read: the service's log has the reason") from None
    return HealthReply(status="ready")


@router.get(
    "/metrics",
    dependencies=needs("search"),
    response_class=Response,
    responses={
        **refusals(),
        200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."},
    },
    summary="Metrics for Prometheus.",
)
def metrics(service: In) -> Response:
    """They hold no id of a person."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
