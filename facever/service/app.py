"""The app: routes and what is in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute

from facever._version import __version__
from facever.service.access import Access
from facever.service.front import Front
from facever.service.problems import handle_problems
from facever.service.routes import (
    detection,
    images,
    maintenance,
    page,
    people,
    searching,
    status,
    thresholds,
    verification,
)
from facever.service.service import Service
from facever.service.tokens import Tokens

_ROUTES = [
    route
    for one in (
        verification,
        searching,
        detection,
        images,
        people,
        thresholds,
        maintenance,
        status,
        page,
    )
    for route in one.router.routes
]
"""The routes as their decorators made them: `include_router` would make each of them again, at the
first request."""

OPENAPI = "/v1/openapi.json"
OPEN_PATHS = ("/v1/health/live", "/v1/health/ready", OPENAPI, *page.PATHS)
"""Paths that need no token."""

_DESCRIPTION = (
    "Face verification and re-identification over a gallery. Errors are problem documents "
    "(RFC 9457). A threshold never comes from the caller: name an operating point of the gallery."
)


def create_app(service: Service, tokens: Tokens | None = None) -> FastAPI:
    """Return the app of a service; it closes the service when it stops.

    Args:
        service: The model and the gallery.
        tokens: Who may ask; None for a service that only this machine reaches.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = max(limiter.total_tokens, 2 * service.limits.batch)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(service.close)

    app = _routed(lifespan=lifespan)
    app.state.service = service
    access = Access(tokens, OPEN_PATHS)
    app.add_middleware(Front, access=access, limits=service.limits, metrics=service.metrics)
    handle_problems(app, _methods_at)
    return app


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the service; docs/openapi.json is a copy."""
    return _routed().openapi()


def _routed(**options: Any) -> FastAPI:
    return FastAPI(
        title="facever",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=OPENAPI,
        docs_url=None,  # its pages load scripts from other hosts
        redoc_url=None,
        routes=_ROUTES,
        **options,
    )


def _methods_at(path: str) -> list[str]:
    """Return the methods that a path has."""
    matching = (one for one in _ROUTES if isinstance(one, APIRoute) and one.path_regex.match(path))
    return sorted({method for route in matching for method in route.methods or ()})
