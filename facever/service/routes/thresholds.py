"""Operating points of the gallery: list, and add one from a file."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from facever.config import parse
from facever.core.json_files import parse_json
from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint
from facever.service.inputs import Asked, Given, takes
from facever.service.replies import ThresholdsReply
from facever.service.routes.shared import In, needs, refusals

router = APIRouter(prefix="/v1/thresholds", tags=["thresholds"])


def _content(value: object) -> object:
    """Return the JSON in a file of a form; other values unchanged."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        return parse_json(value[0])
    return value


class AskedPoint(Asked):
    """An operating point, as `facever evaluate` writes it to a file."""

    name: str = Field(description="Name to store it under.", min_length=1)
    file: Annotated[dict[str, Any], BeforeValidator(_content)] = Field(
        description="The file; in JSON, its content."
    )


@router.get(
    "", dependencies=needs("search"), responses=refusals(), summary="List operating points."
)
def thresholds(service: In) -> ThresholdsReply:
    """Thresholds with their provenance: target and achieved rate, trials, interval, data set."""
    with service.gallery() as gallery:
        return _listed(gallery)


@router.post(
    "",
    status_code=201,
    dependencies=needs("admin"),
    openapi_extra=takes(AskedPoint),
    responses=refusals(400, 409, 413, 415, 422),
    summary="Add an operating point from a file.",
)
def add(body: Given, service: In) -> ThresholdsReply:
    """It must be measured with the gallery's model. A bare threshold is refused."""
    asked = body.read(AskedPoint)
    point = parse(OperatingPoint, asked.file, where="file")
    with service.gallery() as gallery:
        gallery.add_operating_point(asked.name, point)
        return _listed(gallery)


def _listed(gallery: Gallery) -> ThresholdsReply:
    info = gallery.info()
    return ThresholdsReply(operating_points=info.operating_points, unusable=info.unusable)
