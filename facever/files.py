"""Files that are whole or not there: written to a temporary name, flushed and renamed.

And how foreign files are read: regular ones only, and JSON that cannot exhaust anything.
"""

import errno
import hashlib
import io
import json
import math
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

_MOST_JSON_DEPTH = 64
_MOST_JSON_BYTES = 256 * 2**20
_MOST_JSON_INTEGER = 2**63


@contextmanager
def atomic_path(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    On any exception the temporary file is removed and whatever stood at `path` is untouched.
    The temporary name keeps the suffix of `path`, for writers that choose a format by it.

    Args:
        path: Where the file will be.
        private: For its owner only, from the first moment on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}"
    )
    os.close(handle)
    temporary = Path(name)
    try:
        if not private:
            temporary.chmod(0o666 & ~_umask())
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path, private: bool = False, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`.

    Its files are flushed to disk first. A folder that stood at `path` is moved aside and deleted
    once the new one is in place.

    Args:
        path: Where the folder will be.
        private: For its owner only, from the first moment on.
        replace: Whether what stands at `path` may be replaced; an empty folder always may.

    Raises:
        OSError: Something stands there, perhaps since a moment ago, and may not be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        if not private:
            temporary.chmod(0o777 & ~_umask())
        yield temporary
        old = temporary.with_suffix(".old")
        put_into_place(temporary, path, old if replace else None)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_into_place(folder: Path, path: Path, aside: Path | None) -> None:
    """Flush a folder to disk and rename it to `path`.

    Args:
        folder: What is finished.
        path: Where it will be.
        aside: Where a folder that stands at `path` goes first; None where it may not be replaced.

    Raises:
        OSError: What stands at `path` is no empty folder and may not be replaced.
    """
    with ThreadPoolExecutor(8) as pool:  # the disk takes many at once: 15 times faster
        list(pool.map(_sync, [folder, *folder.rglob("*")]))
    if aside is not None and path.exists():
        path.replace(aside)
    folder.replace(path)
    _sync(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError that names no file, as of a write to a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


@contextmanager
def alone(lock: Path, taken: Exception, wait: float = 0.0) -> Iterator[None]:
    """Keep out every other process and thread that does the same; a killed one keeps nobody out.

    Who holds the lock may delete its file.

    Args:
        lock: A file beside what is worked on; it is made where there is none.
        taken: What to raise where another one holds the lock.
        wait: Seconds to wait for that one.

    Raises:
        OSError: The file cannot be made, or this file system has no locks.
    """
    lock.touch(0o600)
    with ExitStack() as stack:
        try:
            before = lock.stat()
            opened = sqlite3.connect(lock, timeout=wait, isolation_level=None)
            held = stack.enter_context(closing(opened))
            held.execute("PRAGMA journal_mode = MEMORY")  # no other file for a kill to leave
            held.execute("BEGIN EXCLUSIVE")
            if not os.path.samestat(before, lock.stat()):
                raise FileNotFoundError  # what is held here was deleted, another file is there
        except FileNotFoundError:
            raise taken from None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise taken from error
            raise OSError(f"{lock} cannot be locked: {error}") from error
        yield


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a file for reading (binary, unbuffered) that is a regular file, or a link to one.

    A FIFO or a device never ends, or waits for a writer: neither is opened, whatever its name.

    Raises:
        OSError: No such file, a folder, not a regular file, or one that cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
        return io.FileIO(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: As `open_regular`.
        ValueError: It has more than `most` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise ValueError(f"{size:,} bytes; at most {most:,} are read")
        return file.read()


def read_json(path: Path, most: int = _MOST_JSON_BYTES) -> Any:
    """Read a JSON file (UTF-8) that may come from anywhere; see `parse_json`.

    Raises:
        OSError: As `open_regular`.
        ValueError: As `parse_json`, or more than `most` bytes.
    """
    return parse_json(read_regular(path, most))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text that may come from anywhere.

    Raises:
        ValueError: Not JSON (UTF-8), nested more than 64 deep, an integer beyond 64 bits, or NaN or
            an infinity.
    """
    if isinstance(text, bytes | bytearray):
        text = text.decode("utf-8-sig")
    try:
        value = _FOREIGN_JSON.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("{") + text.count("[") > _MOST_JSON_DEPTH:
        _check_depth(value)
    return value


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _integer(digits: str) -> int:
    if len(digits) < 21 and -_MOST_JSON_INTEGER <= (value := int(digits)) < _MOST_JSON_INTEGER:
        return value
    raise ValueError(f"the integer {digits[:24]}... is beyond 64 bits")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:24]} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_FOREIGN_JSON = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant
)
_TOO_DEEP = f"JSON nested more than {_MOST_JSON_DEPTH} deep"


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_JSON_DEPTH + 1):
        inside = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for several in inside for one in several if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def _sync(path: Path) -> None:
    """Flush a file or a folder's list of names to disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # some platforms cannot open a folder
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # cannot be flushed on this file system
            raise
    finally:
        os.close(handle)
