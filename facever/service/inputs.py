"""Requests' bodies: multipart forms and JSON, checked before an image is decoded."""

import base64
import binascii
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from facever.core.json_files import parse_json
from facever.data.headers import read_header
from facever.faces.selection import Which
from facever.service.limits import Limits
from facever.service.problems import Problem, busy, first_error

JSON, FORM = "application/json", "multipart/form-data"
FORMATS = "JPEG, PNG, WebP or AVIF"
_IMAGES_OF_MOST_PIXELS = 4  # in one request: a model of crops gets them whole
_FIELDS = 32  # of a form, without its files
_FIELD_BYTES = 4 * 2**20  # of a form's field: embeddings as JSON

B = TypeVar("B", bound="Asked")
Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]


def _file_bytes(value: object) -> object:
    """Return the bytes of base64 text; bytes of a form unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64 (RFC 4648, without line breaks)") from None


def _listed(value: object) -> object:
    return value if value is None or isinstance(value, list) else [value]


def _json(value: object) -> object:
    """Return the value of a form's field in JSON; other values unchanged."""
    return parse_json(value) if isinstance(value, str) else value


ImageFile = Annotated[
    bytes,
    BeforeValidator(_file_bytes),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "description": FORMATS}),
]
ImageFiles = Annotated[list[ImageFile], BeforeValidator(_listed)]
Vectors = Annotated[list[list[float]], BeforeValidator(_json)]
Values = Annotated[dict[str, Any], BeforeValidator(_json)]


class Asked(BaseModel):
    """The fields of a body. Others are refused."""

    model_config = ConfigDict(extra="forbid")


class AskedImages(Asked):
    """Images, or in their place embeddings of the gallery's model."""

    images: ImageFiles | None = Field(None, description=f"Image files: {FORMATS}.")
    embeddings: Vectors | None = Field(
        None, description="Unit vectors [N, D] of the caller's own model, instead of images."
    )
    fingerprint: str | None = Field(
        None, description="Fingerprint of the model that made the embeddings; required with them."
    )
    face: Which | None = Field(
        None, description="Face of a photo that is used; by default the largest."
    )

    def checked(self, limits: Limits) -> int:
        """Refuse what is over the limits, and return the number of images or embeddings.

        Raises:
            Problem: Too many or too large (413), of another format (415), or images as well as
                embeddings, neither, or embeddings without a fingerprint (422).
        """
        if (self.images is None) == (self.embeddings is None):
            raise Problem(422, "give either images or embeddings")
        if self.embeddings is None:
            assert self.images is not None
            if self.fingerprint is not None:
                raise Problem(422, "fingerprint: it applies to embeddings, not to images")
            check_images(self.images, limits)
            return len(self.images)
        if self.fingerprint is None:
            raise Problem(
                422, "fingerprint: embeddings need the fingerprint of the model that made them"
            )
        if self.face is not None:
            raise Problem(422, "face: it applies to images, not to embeddings")
        _check_count(len(self.embeddings), limits)
        return len(self.embeddings)


def check_images(images: Sequence[bytes], limits: Limits) -> None:
    """Refuse images that are too many, too large or of another format.

    Raises:
        Problem: 413 or 415; 422 without an image.
    """
    _check_count(len(images), limits)
    total = sum(_checked_image(one, f"image {row}", limits) for row, one in enumerate(images))
    if total > _IMAGES_OF_MOST_PIXELS * limits.pixels:
        raise Problem(
            413,
            f"{total:,} pixels of all images, and at most "
            f"{_IMAGES_OF_MOST_PIXELS * limits.pixels:,}: send them in several requests",
        )


def _check_count(count: int, limits: Limits) -> None:
    if not count:
        raise Problem(422, "give at least one image or embedding")
    if count > limits.images:
        raise Problem(413, f"{count} images: a request takes at most {limits.images}")


def _checked_image(data: bytes, name: str, limits: Limits) -> int:
    """Return the pixels of an image; refuse a large one, and formats that are not decoded.

    A damaged image has none: where it is decoded, the answer is the reason.

    Raises:
        Problem: 413 or 415.
    """
    if len(data) > limits.image_bytes:
        raise Problem(413, f"{name}: {len(data):,} bytes, and an image has {limits.image_bytes:,}")
    if not _is_known(data):
        raise Problem(415, f"{name}: not {FORMATS}", {"Accept": f"{FORM}, {JSON}"})
    try:
        header = read_header(data)
    except ValueError:
        return 0
    if header.width * header.height > limits.pixels:
        raise Problem(
            413, f"{name}: {header.width} x {header.height} pixels, and at most {limits.pixels:,}"
        )
    return header.width * header.height


def _is_known(data: bytes) -> bool:
    return (
        data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or (data[4:8] == b"ftyp" and any(one in data[8:64] for one in (b"avif", b"avis")))
    )


class Body:
    """A request's body as it came; `read` is called by the thread that answers."""

    def __init__(self, data: bytes | Mapping[str, Any]) -> None:
        self._data = data

    def read(self, kind: type[B]) -> B:
        """Return the fields of a body.

        Raises:
            Problem: It is not JSON (400), or a field is missing, unknown or invalid (422).
        """
        try:
            if isinstance(self._data, bytes):
                return kind.model_validate_json(self._data)
            return kind.model_validate(self._data)
        except ValidationError as error:
            status = 400 if error.errors()[0]["type"] == "json_invalid" else 422
            raise Problem(status, first_error(error, kind.model_fields)) from None


class _CompleteForm(MultiPartParser):
    """A parser that knows whether the last boundary has come; without it the last part is lost."""

    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _body_of(request: Request) -> Body:
    """Read a body into memory; an image is never written to a temporary file.

    Raises:
        Problem: It is neither a form nor JSON (415), or is damaged (400).
    """
    kind = _kind_of(request)
    if kind == JSON:
        return Body(await request.body())
    if kind != FORM:
        raise Problem(
            415, f"the body is '{kind}': send {FORM} or {JSON}", {"Accept-Post": f"{FORM}, {JSON}"}
        )
    limits: Limits = request.app.state.service.limits
    parser = _CompleteForm(
        request.headers,
        request.stream(),
        max_files=limits.images + 1,
        max_fields=_FIELDS,
        max_part_size=_FIELD_BYTES,
    )
    parser.spool_max_size = limits.body_bytes + 1  # above it, starlette writes to the disk
    try:
        fields = await _fields_of(await parser.parse())
    except MultiPartException as error:
        large = error.message.startswith(("Too many", "Part exceeded"))
        raise Problem(413 if large else 400, error.message) from None
    if not parser.ended:
        raise Problem(400, "the form is truncated: its last boundary is missing")
    return Body(fields)


def _kind_of(request: Request) -> str:
    """Return the media type of a request's body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _fields_of(form: FormData) -> dict[str, Any]:
    """Return a form's values by name; files are a list, an empty text is not given."""
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            await value.close()
            held = fields.setdefault(name, [])
            if not isinstance(held, list):
                raise Problem(422, f"{name}: given as a file and as text")
            held.append(content)
        elif name in fields:
            raise Problem(422, f"{name}: given twice")
        elif value:
            fields[name] = value
    return fields


Given: TypeAlias = Annotated[Body, Depends(_body_of)]


class ImageRoute(APIRoute):
    """A route that takes images: it refuses them while the queue is full, before all else.

    A form is refused before it is read; the server discards it. JSON is read, and refused before it
    is parsed if it names images: embeddings do not wait.
    """

    def get_route_handler(self) -> Handler:
        """Return what answers a request of the route."""
        answer = super().get_route_handler()

        async def admit(request: Request) -> Response:
            service = request.app.state.service
            if service.full:
                kind = _kind_of(request)
                if kind == FORM or (kind == JSON and b'"images"' in await request.body()):
                    most = service.limits.queue
                    raise busy(f"{service.waiting} images wait, and at most {most} may: try later")
            return await answer(request)

        return admit


def takes(kind: type[Asked]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that is read by `Body.read`."""
    schema = kind.model_json_schema()
    form = json.loads(json.dumps(schema))
    _each(form, _as_file)
    content = {JSON: {"schema": schema}}
    if "images" in kind.model_fields or "file" in kind.model_fields:
        content[FORM] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


def _as_file(node: dict[str, Any]) -> None:
    if node.pop("contentEncoding", None):
        node["format"] = "binary"


def _each(node: Any, change: Callable[[dict[str, Any]], None]) -> None:
    if isinstance(node, dict):
        change(node)
    for inner in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        _each(inner, change)
