"""Requests to a service over HTTP, with the standard library only."""

import http.client
import json
import math
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from facever.core.json_files import parse_json
from facever.errors import (
    ConfigError,
    DataError,
    FaceverError,
    NotEnrolledError,
    TakenError,
    UnavailableError,
)

_AGAIN = (429, 503)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds
_ERRORS: dict[int, Callable[[str], FaceverError]] = {
    401: ConfigError,
    403: ConfigError,
    404: NotEnrolledError,
    409: TakenError,
    421: ConfigError,
}


class _Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    content: bytes


class Connection:
    """Sends requests to one service; threads may share it, each has its own connection.

    Args:
        url: Address of the service, such as https://host:8000.
        token: Token, or None for a service without tokens.
        timeout: Seconds to wait for an answer.
        retries: How often a request that changes nothing is sent again.
        certificates: Certificates (PEM) to trust; by default those of the system.

    Raises:
        ConfigError: The URL or the token cannot be used.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 3,
        certificates: str | Path | None = None,
    ) -> None:
        parts = urlsplit(url)
        try:
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"url is '{url}': {error}") from error
        if parts.scheme not in ("http", "https") or not self._host or parts.query:
            raise ConfigError(f"url is '{url}': give an address such as https://host:8000")
        if token is not None and (not token.isascii() or not token.isprintable()):
            raise ConfigError("the token has characters that cannot be sent")
        self._root, self.url = parts.path.rstrip("/"), url
        self._token, self._timeout, self._retries = token, timeout, retries
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._context = ssl.create_default_context(
                    cafile=None if certificates is None else str(certificates)
                )
            except OSError as error:
                raise ConfigError(f"certificates {certificates}: {error}") from error
        elif certificates is not None:
            raise ConfigError("certificates apply to an https:// address")
        self._of_thread = threading.local()

    def json(
        self, method: str, path: str, body: object = None, *, changes: bool = False
    ) -> dict[str, Any]:
        """Return the answer to a request.

        Args:
            method: HTTP method.
            path: Path with its query, percent-encoded.
            body: JSON values, or None.
            changes: Whether the request changes the gallery; it is then sent only once.

        Raises:
            FaceverError: The service refuses, with the same line as the command: NotEnrolledError
                (404), TakenError (409), UnavailableError (429, 5xx, or no answer), ConfigError
                (401, 403) or DataError.
        """
        value = parse_json(self.content(method, path, body, changes=changes))
        if not isinstance(value, dict):
            raise DataError(f"{self.url} does not answer as a facever service")
        return value

    def content(
        self, method: str, path: str, body: object = None, *, changes: bool = False
    ) -> bytes:
        """Return the answer's bytes; see `json`."""
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        pause, left = _FIRST_PAUSE, 0 if changes else self._retries
        while True:
            reply: _Reply | None = None
            try:
                reply = self._sent(method, path, data, fresh=changes)
            except (OSError, http.client.HTTPException) as error:
                if not left or isinstance(error, ssl.SSLCertVerificationError):
                    said = str(error) or type(error).__name__
                    raise UnavailableError(f"{self.url} does not answer: {said}") from error
            if reply is not None and (reply.status not in _AGAIN or not left):
                return self._checked(reply)
            time.sleep(pause if reply is None else _pause_of(reply, pause))
            pause, left = 2 * pause, left - 1

    def close(self) -> None:
        """Close this thread's connection."""
        kept = getattr(self._of_thread, "kept", None)
        self._of_thread.kept = None
        if kept is not None:
            kept.close()

    def _sent(self, method: str, path: str, data: bytes | None, fresh: bool) -> _Reply:
        """Send a request once; `fresh`: not on a kept connection, which may have been closed."""
        if fresh:
            self.close()
        connection = getattr(self._of_thread, "kept", None)
        if connection is None:
            connection = self._of_thread.kept = self._opened()
        headers = {"Accept": "application/json", "User-Agent": "facever"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._root + path, data, headers)
            answer = connection.getresponse()
            return _Reply(answer.status, answer.headers, answer.read())
        except BaseException:
            self.close()
            raise

    def _opened(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._context
        )

    def _checked(self, reply: _Reply) -> bytes:
        if "Facever-Version" not in reply.headers:
            raise DataError(f"{self.url} does not answer as a facever service ({reply.status})")
        if reply.status < 300:
            return reply.content
        try:
            line = str(parse_json(reply.content)["detail"])
        except (ValueError, TypeError, KeyError):
            line = f"{self.url} refuses with status {reply.status}"
        if reply.status in _AGAIN or reply.status >= 500:
            raise UnavailableError(line)
        raise _ERRORS.get(reply.status, DataError)(line)


def _pause_of(reply: _Reply, pause: float) -> float:
    """Return how many seconds to wait: what the service says, else `pause`."""
    try:
        said = float(reply.headers.get("Retry-After", ""))
    except ValueError:
        return pause
    return min(said, _LONGEST_PAUSE) if math.isfinite(said) and said > 0 else pause
