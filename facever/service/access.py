"""Access: whose a request is, and whether a browser may have been tricked into sending it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from facever.service.address import is_loopback
from facever.service.callers import LOCAL, Caller
from facever.service.problems import Problem
from facever.service.tokens import Tokens

_BEARER = "bearer "


class Access:
    """Who may ask.

    Args:
        tokens: The tokens; None for a service that only this machine reaches.
        open_paths: Paths that need no token.
    """

    def __init__(self, tokens: Tokens | None = None, open_paths: tuple[str, ...] = ()) -> None:
        self._tokens, self._open = tokens, open_paths

    def caller(self, path: str, headers: Mapping[str, str], address: str) -> Caller:
        """Return the caller of a request.

        Args:
            path: The request's path.
            headers: Its headers, names in lower case.
            address: Where it comes from.

        Raises:
            Problem: The token is missing or unknown (401), or the request is one that another
                site's page made (403).
        """
        _refuse_other_sites(headers)
        if self._tokens is None:
            _refuse_other_names(headers)
            return LOCAL
        if path in self._open:
            return Caller(address, "search")
        said = headers.get("authorization", "")
        if said[: len(_BEARER)].lower() != _BEARER:
            raise Problem(
                401,
                "a token is needed: Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        return self._tokens.caller(said[len(_BEARER) :].strip())


def _refuse_other_sites(headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends for a page of another origin: CORS is off."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise Problem(403, "requests of pages of other origins are refused")


def _refuse_other_names(headers: Mapping[str, str]) -> None:
    """Refuse another name of this machine: a page could have rebound its own name to it."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise Problem(421, "without tokens, the host must be localhost, 127.0.0.1 or [::1]")
