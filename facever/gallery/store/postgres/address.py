"""Addresses of galleries in PostgreSQL: `postgresql://HOST/DATABASE?gallery=NAME`.

An address is a connection URI of libpq with two options more, `gallery` and `cache`. All others,
such as `sslmode` and `sslrootcert`, are passed on. What it omits comes from PGHOST, PGUSER,
PGSERVICE, PGPASSFILE and so on, as in every program of PostgreSQL.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

from facever.errors import GalleryError, nearest

DEFAULT_GALLERY = "gallery"
PAGE = "docs/postgres.md"

_PATTERN = "postgresql://HOST/DATABASE?gallery=NAME"
_REMEDY = f"write {_PATTERN}, and in names and passwords %40 for @, %2F for / and %25 for %"

_SCHEME = re.compile(r"postgres(ql)?://")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SECRETS = ("password", "sslpassword", "oauth_client_secret")
_SHOWN = ("host", "hostaddr", "service")  # of what a network location cannot show


@dataclass(frozen=True)
class GalleryAddress:
    """Where a gallery is.

    Attributes:
        conninfo: What libpq connects with. It may hold a password.
        gallery: Name of the gallery: small letters, digits and underscores.
        cache: Folder for the index that is derived from the gallery; None without one.
        name: The address without the user and without secrets, for messages.
        secrets: Passwords in the address.
    """

    conninfo: str = field(repr=False)
    gallery: str
    cache: Path | None
    name: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def schema(self) -> str:
        """The schema of the gallery's tables; it needs no quotes in SQL."""
        return f"facever_{self.gallery}"

    def redacted(self, text: str) -> str:
        """Return a text of another library without the passwords of the address."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def is_address(gallery: object) -> bool:
    """Return whether this names a gallery in PostgreSQL, and not a folder."""
    return isinstance(gallery, str) and _SCHEME.match(gallery) is not None


def parse_address(text: str) -> GalleryAddress:
    """Return the address in a text.

    Args:
        text: `postgresql://[USER[:PASSWORD]@][HOST[:PORT]][/DATABASE][?OPTION=VALUE&...]`

    Raises:
        GalleryError: It is not such an address, has an unknown option, or the name of the gallery
            is not allowed; or psycopg is not installed. No message contains a password.
    """
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise GalleryError(
            "galleries in PostgreSQL need psycopg, which is not installed: "
            "pip install 'facever[postgres]'"
        ) from error

    if not is_address(text):
        raise GalleryError(f"not the address of a gallery: write {_PATTERN}")
    before, options = _split(text)
    own = {"gallery": DEFAULT_GALLERY, "cache": ""}
    own |= {option: value for option, value in options if option in own}
    options = [(option, value) for option, value in options if option not in own]
    _check_options([option for option, _ in options])
    conninfo = before + (f"?{urlencode(options, quote_via=quote)}" if options else "")
    try:
        known = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value}
    except ProgrammingError:
        raise GalleryError(f"the address of the gallery cannot be read: {_REMEDY}") from None
    if "@" in known.get("host", "") + known.get("dbname", "") or not re.fullmatch(
        "[0-9,]*", known.get("port", "")
    ):
        raise GalleryError(f"the address of the gallery is ambiguous: {_REMEDY}")
    gallery = own["gallery"]
    if not _NAME.fullmatch(gallery):
        raise GalleryError(
            f"gallery={gallery!r}: the name of a gallery in PostgreSQL has 1 to 40 characters of "
            "a-z, 0-9 and _, and begins with a letter"
        )
    secrets = tuple(known[key] for key in _SECRETS if key in known)
    cache = Path(own["cache"]) if own["cache"] else None
    return GalleryAddress(conninfo, gallery, cache, _shown(known, gallery), secrets)


def refuse_folder_of_address(folder: Path) -> None:
    """Refuse a path that was made of an address: it has lost a slash.

    Raises:
        GalleryError: The path begins like an address.
    """
    if folder.parts[:1] in (("postgresql:",), ("postgres:",)):
        raise GalleryError(f"'{folder.parts[0]}//...' is not a folder: give the address as a str")


def _split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what comes before the options of a URI, and its options, as libpq divides them."""
    start = text.index("://") + 3
    marks = [text.find(mark, start) for mark in "@/"]
    end_of_user = marks[0] if marks[0] >= 0 and not 0 <= marks[1] < marks[0] else start
    before, mark, rest = text[end_of_user:].partition("?")
    words = [word.partition("=") for word in rest.split("&") if mark and word]
    return text[:end_of_user] + before, [(unquote(a), unquote(b)) for a, _, b in words]


def _check_options(names: list[str]) -> None:
    """Refuse options that libpq does not know. A part of a password, after a &, may look so."""
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    for name in names:
        if name not in known:
            hidden = any(secret in names for secret in _SECRETS)
            shown = "one" if hidden else f"'{name}'{nearest(name, known)}"
            raise GalleryError(
                f"unknown option in the address of the gallery: {shown} (allowed: gallery, cache "
                f"and PostgreSQL's connection parameters; {PAGE})"
            )


def _shown(known: dict[str, str], gallery: str) -> str:
    """Return an address without the user and without secrets."""
    hosts, ports = known.get("host", "").split(","), known.get("port", "").split(",")
    plain = not any("/" in host or "%" in host for host in hosts)
    where = ""
    if plain:
        ports = ports * len(hosts) if len(ports) == 1 else ports
        where = ",".join(
            (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
            for host, port in zip(hosts, ports, strict=False)
        )
    options = {key: known[key] for key in _SHOWN if key in known and not (plain and key == "host")}
    query = urlencode({**options, "gallery": gallery}, safe="/,:", quote_via=quote)
    return f"postgresql://{where}/{known.get('dbname', '')}?{query}"
