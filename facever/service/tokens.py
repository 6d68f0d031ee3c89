"""Tokens: random words that callers send; the file holds only their hashes."""

import hashlib
import hmac
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from facever.config import Config, parse
from facever.core.files import write_text
from facever.core.json_files import read_json, write_json
from facever.errors import ConfigError, unknown
from facever.service.callers import ROLES, Caller, Role
from facever.service.problems import Problem

_BYTES = 32  # of randomness: no salt and no slow hash is needed
_MOST = 2**20  # bytes of a file


class StoredToken(Config):
    """A token in a file: whose it is, what it permits, and its hash."""

    name: str = Field(min_length=1)
    role: Role
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created: str = ""


class _TokenFile(Config):
    tokens: tuple[StoredToken, ...] = ()


def new_token(path: Path, role: str, name: str) -> str:
    """Make a token, add its hash to a file that only the owner can read, and return it.

    Args:
        path: The file; it is created where it is missing.
        role: "search", "enrol" or "admin".
        name: Who will use it; the log of uses has this name.

    Raises:
        ConfigError: There is no such role, the name is taken, or the file is not one of tokens.
    """
    if role not in ROLES:
        raise ConfigError(unknown("role", role, ROLES))
    held = read_tokens(path) if path.exists() else ()
    if not name or any(one.name == name for one in held):
        raise ConfigError(f"--token-name '{name}': give a name that {path} does not have")
    token = f"facever_{secrets.token_urlsafe(_BYTES)}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = StoredToken(name=name, role=role, sha256=_hash(token), created=now)
    if not path.exists():
        write_text(path, "{}\n")
        path.chmod(0o600)
    write_json(path, {"tokens": [one.model_dump() for one in (*held, made)]})
    path.chmod(0o600)
    return token


def read_tokens(path: Path) -> tuple[StoredToken, ...]:
    """Return the tokens of a file.

    Raises:
        ConfigError: It cannot be read, is not a file of tokens, or others can read it.
    """
    try:
        mode = path.stat().st_mode
        values: Any = read_json(path, _MOST)
    except OSError as error:
        raise ConfigError(f"--tokens {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"--tokens {path}: not JSON: {error}") from error
    if mode & 0o077:
        raise ConfigError(f"--tokens {path}: others can read it; run: chmod 600 {path}")
    if not isinstance(values, dict):
        raise ConfigError(f"--tokens {path}: not a JSON object")
    return parse(_TokenFile, values, where=f"--tokens {path}").tokens


class Tokens:
    """The tokens of a file, read again when it changes: a removed token is refused at once.

    Args:
        path: The file.

    Raises:
        ConfigError: As `read_tokens`, or the file has no token.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._held = read_tokens(path)
        self._seen = self._stamp()
        if not self._held:
            raise ConfigError(
                f"--tokens {path}: it has no token; make one with 'facever serve --tokens {path} "
                "--new-token ROLE --token-name NAME'"
            )

    def caller(self, token: str) -> Caller:
        """Return whose a token is; the time does not depend on how much of it is right.

        Raises:
            Problem: It is unknown (401), or the file cannot be read any more (503).
        """
        hashed, found = _hash(token), None
        for one in self._current():
            if hmac.compare_digest(one.sha256, hashed):
                found = one
        if found is None:
            raise Problem(401, "the token is unknown", {"WWW-Authenticate": "Bearer"})
        return Caller(found.name, found.role)

    def _current(self) -> tuple[StoredToken, ...]:
        with self._lock:
            if (stamp := self._stamp()) != self._seen:
                try:
                    self._held = read_tokens(self._path)
                except ConfigError:
                    self._held = ()
                    raise Problem(503, "the file of tokens cannot be read") from None
                self._seen = stamp
            return self._held

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
