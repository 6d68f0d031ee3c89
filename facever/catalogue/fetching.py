"""Download of a model of the catalogue from its authors' address; only on request."""

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from facever._version import __version__
from facever.catalogue.finding import found_at, introduce, models_folder
from facever.catalogue.listing import Entry
from facever.core.console import progress, say
from facever.core.files import atomic_path
from facever.errors import ModelError

_CHUNK = 1 << 16  # bytes
_PATIENCE = 30.0  # seconds without an answer


def fetch(one: Entry) -> Path:
    """Return the file of a model, from this machine or from its authors' address.

    Prints the licence first. The file is stored in the user's cache only after its size and SHA-256
    match the catalogue.

    Raises:
        ModelError: No address can be reached, or every address returns another file.
    """
    introduce(one)
    here = found_at(one)
    if here is not None:
        return here
    reasons = []
    for url in one.urls:
        try:
            return _fetched(one, url)
        except (OSError, urllib.error.URLError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            reasons.append(f"{urlsplit(url).netloc}: {reason}")
            say(f"download failed: {reasons[-1]}")
    raise ModelError(
        f"model '{one.name}' cannot be downloaded ({'; '.join(reasons)}): download {one.file} "
        "manually and set FACEVER_MODELS to its folder"
    )


def _fetched(one: Entry, url: str) -> Path:
    path = models_folder() / one.file
    request = urllib.request.Request(url, headers={"User-Agent": f"facever/{__version__}"})
    opener = urllib.request.build_opener(_SameScheme)
    digest, size = hashlib.sha256(), 0
    with (
        opener.open(request, timeout=_PATIENCE) as answer,
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        progress(f"fetching {one.name}", one.size, "bytes") as shown,
    ):
        while chunk := answer.read(_CHUNK):
            size += len(chunk)
            if size > one.size:
                raise ValueError(f"more than the {one.size:,} bytes of the catalogue")
            digest.update(chunk)
            file.write(chunk)
            shown.advance(len(chunk))
        if size != one.size:
            raise ValueError(f"{size:,} bytes, not the {one.size:,} of the catalogue")
        if digest.hexdigest() != one.sha256:
            raise ValueError(f"its SHA-256 is {digest.hexdigest()}, not {one.sha256}")
    return path


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same scheme or to https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in {"https", urlsplit(req.full_url).scheme}:
            raise ValueError(f"it redirects to {scheme}: only https is allowed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
