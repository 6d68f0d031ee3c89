"""What routes share: the service, roles, and the person of a path.

Dependencies are `async`: FastAPI calls others in a thread each, which costs more than they do.
"""

from typing import Annotated, Any, TypeAlias, cast
from urllib.parse import unquote

from fastapi import Depends, Path, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from facever.core.json_files import parse_json
from facever.service.callers import LOCAL, Caller, Role, includes
from facever.service.problems import Problem, ProblemDocument
from facever.service.recording import Asking, now
from facever.service.service import Service

_BEARER = HTTPBearer(auto_error=False, description="A token of `facever serve --new-token`.")

Refusals: TypeAlias = dict[int | str, dict[str, Any]]


async def _service_of(request: Request) -> Service:
    return cast("Service", request.app.state.service)


async def _caller_of(request: Request) -> Caller:
    return cast("Caller", getattr(request.state, "caller", LOCAL))


By: TypeAlias = Annotated[Caller, Depends(_caller_of)]


async def _asking(request: Request, caller: By) -> Asking:
    return Asking(caller.name, str(request.state.request_id), now())


AskingNow: TypeAlias = Annotated[Asking, Depends(_asking)]
In: TypeAlias = Annotated[Service, Depends(_service_of)]


def needs(role: Role) -> list[Any]:
    """Return the dependencies of a route that needs a role; checked before the body is read."""

    async def check(caller: By, _: Annotated[object, Security(_BEARER)]) -> None:
        if not includes(caller.role, role):
            raise Problem(403, f"the token has role {caller.role}: this needs {role}")

    return [Depends(check)]


async def _person_in(
    person: Annotated[str, Path(description="A person's id, percent-encoded.")],
) -> str:
    """Return the id in a path: the only place where it is decoded, so that "a/b" is an id."""
    try:
        return unquote(person, errors="strict")
    except UnicodeDecodeError:
        raise Problem(422, "the person's id in the path is not UTF-8") from None


PersonInPath: TypeAlias = Annotated[str, Depends(_person_in)]


def as_json(reply: BaseModel, status: int = 200) -> Response:
    """Return a reply, written by the thread that made it.

    FastAPI would have another thread check a reply that it is given, before it writes it.
    """
    return Response(reply.model_dump_json(), status, media_type="application/json")


def where_in(text: str | None) -> dict[str, Any] | None:
    """Return the filter of a query parameter, a JSON object.

    Raises:
        Problem: It is not one.
    """
    if text is None:
        return None
    try:
        value = parse_json(text)
    except ValueError as error:
        raise Problem(422, f"where: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Problem(422, 'where: give a JSON object, such as {"site": "A"}')
    return value


def refusals(*statuses: int) -> Refusals:
    """Return the OpenAPI description of the problems of a route."""
    every = sorted({*statuses, 401, 403, 429, 503})
    return {status: {"model": ProblemDocument} for status in every}


OF_IMAGES = refusals(400, 408, 413, 415, 422)
