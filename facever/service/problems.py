"""Errors as problem documents: the same line as the command's, with a status.

Reference:
    RFC 9457, Problem Details for HTTP APIs.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from facever.core.console import warn
from facever.errors import (
    FaceverError,
    ModelError,
    NotEnrolledError,
    TakenError,
    UnavailableError,
    unknown,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
"""Seconds after which a caller may try again, for what ends by itself."""


class Problem(HTTPException):
    """A refused request: its status, and one line of what is wrong and what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        line = str(FaceverError(detail))  # one line, and printable
        super().__init__(status, line, dict(headers) if headers else None)


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What is wrong and what to do, in one line.")
    request: str = Field("", description="The request's id, as in the header X-Request-ID.")


class _ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def busy(detail: str, seconds: int = RETRY_SECONDS, status: int = 503) -> Problem:
    """Return the refusal of a request that may be sent again after some seconds."""
    return Problem(status, detail, {"Retry-After": str(seconds)})


def response_of(problem: HTTPException, request: str = "") -> Response:
    """Return the response of a problem; `request` is the request's id."""
    document = ProblemDocument(
        title=HTTPStatus(problem.status_code).phrase,
        status=problem.status_code,
        detail=str(problem.detail),
        request=request,
    )
    return _ProblemResponse(
        document.model_dump(), problem.status_code, headers=dict(problem.headers or {})
    )


def problem_of(error: FaceverError) -> Problem:
    """Return the problem of an error of the package."""
    match error:
        case NotEnrolledError():
            return Problem(404, str(error))
        case TakenError():
            return Problem(409, str(error))
        case UnavailableError():
            return busy(str(error))
        case ModelError():
            return Problem(500, str(error))
    return Problem(422, str(error))


def first_error(error: ValidationError | RequestValidationError, allowed: Mapping[str, Any]) -> str:
    """Return one line about the first invalid field."""
    found = error.errors()[0]
    place = [str(part) for part in found["loc"] if part not in ("body", "query", "path", "header")]
    if found["type"] == "extra_forbidden":
        return unknown("field", place[-1], allowed)
    message = found["msg"].removeprefix("Value error, ")
    return f"{'.'.join(place)}: {message}" if place else message


def handle_problems(app: FastAPI, methods_at: Callable[[str], list[str]]) -> None:
    """Answer every error of an app with a problem document.

    Args:
        app: The app.
        methods_at: Returns the methods that a path has.
    """

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = ", ".join(methods_at(request.scope["path"]))
            detail = f"{request.method} is not allowed here (allowed: {allowed})"
            error = Problem(405, detail, {"Allow": allowed})
        return response_of(error, _id_of(request))

    async def of_package(request: Request, error: Exception) -> Response:
        assert isinstance(error, FaceverError)
        return response_of(problem_of(error), _id_of(request))

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return response_of(Problem(422, first_error(error, {})), _id_of(request))

    async def of_disconnect(request: Request, _: Exception) -> Response:
        problem = Problem(400, "the connection was closed before the body was complete")
        return response_of(problem, _id_of(request))

    async def of_system(request: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        return response_of(busy(f"{error.strerror or error}"), _id_of(request))

    async def of_defect(request: Request, error: Exception) -> Response:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        warn(f"request {_id_of(request)} failed: {said}")
        line = "an error of the service: its log names this request"
        return response_of(Problem(500, line), _id_of(request))

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(FaceverError, of_package)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(ClientDisconnect, of_disconnect)
    app.add_exception_handler(OSError, of_system)
    app.add_exception_handler(Exception, of_defect)


def _id_of(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))
