"""The front of the service: what happens to every request before and after its route."""

import asyncio
import re
import secrets
import time
from collections import Counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facever._version import __version__
from facever.service.access import Access
from facever.service.callers import Caller
from facever.service.limits import Limits
from facever.service.metrics import Metrics
from facever.service.problems import Problem, busy, response_of

_PEOPLE = "/v1/people/"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "Facever-Version": __version__,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Front:
    """ASGI middleware: request id, caller, limits, headers and metrics.

    Args:
        app: The routes.
        access: Who may ask.
        limits: Limits of requests.
        metrics: What is counted.
    """

    def __init__(self, app: ASGIApp, access: Access, limits: Limits, metrics: Metrics) -> None:
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self._in_progress: Counter[Caller] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                held = MutableHeaders(scope=message)
                held["X-Request-ID"] = request
                for name, value in _HEADERS.items():
                    held.setdefault(name, value)
            await send(message)

        try:
            await self._admit(scope, headers, receive, answer)
        except Problem as problem:  # refused before there was a route
            await response_of(problem, request)(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - began
            self._metrics.seconds.labels(route).observe(seconds)
            self._metrics.requests.labels(_method(scope), route, str(status)).inc()

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Run the app for a request that is permitted and has room."""
        address = scope["client"][0] if scope.get("client") else "unknown"
        caller = self._access.caller(scope["path"], headers, address)
        scope["state"]["caller"] = caller
        if self._in_progress.total() >= self._limits.requests:
            raise busy(f"{self._limits.requests} requests are in progress: try again later")
        if self._in_progress[caller] >= self._limits.requests_each:
            raise busy(
                f"{self._limits.requests_each} requests of this caller are in progress: wait for "
                "their answers",
                status=429,
            )
        if scope["path"].startswith(_PEOPLE):  # a person's id may contain "/"
            scope["path"] = scope["raw_path"].decode("ascii")
        body = LimitedBody(receive, self._limits)
        body.check_length(headers.get("content-length"))
        self._in_progress[caller] += 1
        try:
            await self._app(scope, body, send)
        finally:
            self._in_progress[caller] -= 1
            if not self._in_progress[caller]:
                del self._in_progress[caller]


class LimitedBody:
    """What receives a body, up to a number of bytes and within a time."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._most, self._seconds = receive, limits.body_bytes, limits.seconds
        self._until: float | None = None
        self._got, self._complete = 0, False

    def check_length(self, said: str | None) -> None:
        """Refuse a body whose header says that it is too large.

        Raises:
            Problem: It is (413).
        """
        if said is not None and said.isdecimal() and int(said[:20]) > self._most:
            raise self._too_large()

    async def __call__(self) -> Message:
        """Return the next part.

        Raises:
            Problem: The body is too large (413) or too slow (408).
        """
        if self._complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + self._seconds
        try:
            message = await asyncio.wait_for(self._receive(), max(self._until - now, 0))
        except TimeoutError:
            raise Problem(
                408, f"the body did not arrive in {self._seconds:g} s", {"Connection": "close"}
            ) from None
        self._got += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._got > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> Problem:
        return Problem(413, f"the body has more than {self._most:,} bytes", {"Connection": "close"})


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
