"""The page at `/`, and the files that it is made of."""

from pathlib import Path

from fastapi import APIRouter, Response

from facever.service.problems import Problem

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parents[1] / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {one.name: one for one in sorted(_FOLDER.iterdir()) if one.suffix in _TYPES}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

PATHS = ("/", *(f"/page/{name}" for name in _FILES if name != "index.html"))
"""The paths of the page; they need no token, and hold nothing of a gallery."""


@router.get("/")
def index() -> Response:
    """Return the page."""
    return _file("index.html")


@router.get("/page/{name}")
def part(name: str) -> Response:
    """Return a file of the page."""
    if name not in _FILES:
        raise Problem(404, f"the page has no file {name}")
    return _file(name)


def _file(name: str) -> Response:
    path = _FILES[name]
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=_HEADERS)
