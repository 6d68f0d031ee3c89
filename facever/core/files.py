"""Atomic writes: files are written to a temporary name, flushed and renamed.

Also safe reading of files from other sources: regular files only.
"""

import errno
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from facever.errors import FaceverError

try:
    import fcntl
except ModuleNotFoundError as error:  # locks of folders are what keeps galleries and runs whole
    raise FaceverError(
        "facever needs the file locks of Linux or macOS: on Windows use WSL or a container"
    ) from error

_HIDDEN = re.compile(r"\.(?P<name>.+)\.facever-[0-9]+-[a-z0-9_]{8}\.tmp")
_LOCK_STEP = 0.02  # seconds between two tries
_FORMER_AGE = 86_400  # seconds


@contextmanager
def atomic_path(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path; on success flush the file there to disk and rename it to `path`.

    On an exception, the temporary file is removed and `path` is unchanged. The temporary file has
    the name of `path`, in a hidden folder next to it, because writers choose a format by the
    suffix.

    Args:
        path: Final path of the file.
        private: Whether it is accessible to its owner only, from its creation.
    """
    with naming(path), _hidden_folder(path) as hidden:
        temporary = hidden / path.name
        temporary.touch(0o600 if private else 0o666, exist_ok=False)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def atomic_folder(path: Path, private: bool = False, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary folder; on success it is renamed to `path`.

    Its files are flushed to disk first. An existing folder at `path` is moved aside, and deleted
    after the rename.

    Args:
        path: Final path of the folder.
        private: Whether it is accessible to its owner only, from its creation.
        replace: Whether an existing `path` may be replaced; an empty folder always may.

    Raises:
        OSError: `path` exists, possibly since a moment ago, and may not be replaced.
    """
    with naming(path), _hidden_folder(path) as hidden:
        temporary = hidden / path.name
        temporary.mkdir(0o700 if private else 0o777)
        yield temporary
        put_into_place(temporary, path, _aside(hidden, path.name) if replace else None)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes from `atomic_path` or `atomic_folder`.

    Both call it for their folder. Temporary files of running processes are kept: these hold a lock
    on their hidden folder, which is more reliable than a process id, which can be reused and occur
    in several containers. The id in the name is for users. A folder that a killed process had moved
    aside without replacing it is moved back. Without file locks (NFS), nothing is removed.
    """
    for hidden in _entries(folder):
        said = _HIDDEN.fullmatch(hidden.name)
        handle = _locked(hidden) if said else None
        if said and handle is not None:
            try:
                _remove_hidden(hidden, folder / said["name"])
            finally:
                _let_go(handle)


def put_into_place(folder: Path, path: Path, aside: Path | None) -> None:
    """Flush a folder to disk and rename it to `path`.

    Args:
        folder: The finished folder.
        path: The final path.
        aside: Path to which an existing folder at `path` is moved first; None if it may not be
            replaced.

    Raises:
        OSError: `path` exists, is not an empty folder, and may not be replaced.
    """
    with ThreadPoolExecutor(8) as pool:  # parallel flushes are 15 times faster
        list(pool.map(_sync, [folder, *folder.rglob("*")]))
    if aside is not None and path.exists():
        path.replace(aside)
    folder.replace(path)
    _sync(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add this file's name to an OSError without one, for example of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise


@contextmanager
def alone(lock: Path, taken: Exception, wait: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock among processes and threads; it is released if the process is killed.

    The holder of the lock may delete the file. The contents of the file are not used.

    Args:
        lock: The lock file; it is created if missing.
        taken: Error to raise if another process holds the lock.
        wait: Seconds to wait for the lock.

    Raises:
        OSError: The file cannot be made, it is not a regular one, or this file system has no locks.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)
    handle = _held_open(lock, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file: delete it", os.fspath(lock))
        until = time.monotonic() + wait
        while not _lock(handle):
            if time.monotonic() >= until:
                raise taken
            time.sleep(_LOCK_STEP)
        if not _is_at(handle, lock):
            raise taken  # the locked file was deleted, and may have been replaced
        yield
    finally:
        _let_go(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a file for reading (binary, unbuffered) that is a regular file, or a link to one.

    FIFOs and devices are not opened: reading them may never end.

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


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder next to `path`, accessible to its owner only; this process holds a lock on
    it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    _remove_former(path)
    prefix, handle = f".{path.name}.facever-{os.getpid()}-", None
    while True:
        hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix, suffix=".tmp"))
        handle = _locked(hidden, wait=True)
        if handle is not None or hidden.exists():  # otherwise it was removed before it was locked
            break
    try:
        yield hidden
    finally:
        try:
            _remove_hidden(hidden, path)
        finally:
            if handle is not None:
                _let_go(handle)


def _remove_hidden(hidden: Path, path: Path) -> None:
    """Remove a hidden folder; move a folder inside it back if it was not replaced."""
    aside = _aside(hidden, path.name)
    if aside.exists() and not os.path.lexists(path):
        aside.replace(path)
    shutil.rmtree(hidden, ignore_errors=True)


def _aside(hidden: Path, name: str) -> Path:
    return hidden / f"{name}.old"


def _remove_former(path: Path) -> None:
    """Remove temporary files of killed processes of earlier versions, which held no locks.

    Only files that such a process can have created are removed: owned by this user, unchanged for a
    day, and with eight random characters in the name.
    """
    folder, file = (
        re.compile(
            rf"\.{re.escape(name)}\.(?=[a-z0-9_]*[0-9_])[a-z0-9_]{{8}}\.tmp{re.escape(suffix)}"
        )
        for name, suffix in ((path.name, ""), (path.stem, path.suffix))
    )
    for entry in _entries(path.parent):
        with suppress(OSError):
            found = entry.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _FORMER_AGE:
                continue
            if folder.fullmatch(entry.name) and stat.S_ISDIR(found.st_mode):
                shutil.rmtree(entry)
            elif file.fullmatch(entry.name) and stat.S_ISREG(found.st_mode):
                entry.unlink()


def _entries(folder: Path) -> list[Path]:
    """Return the entries of a folder with the name of a temporary file."""
    try:
        with os.scandir(folder) as found:
            return [Path(one) for one in found if one.name[0] == "." and ".tmp" in one.name]
    except OSError:
        return []


def _locked(folder: Path, wait: bool = False) -> int | None:
    """Lock a folder and return its handle; None if another process holds the lock."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        handle = _held_open(folder, flags)
    except OSError:
        return None
    with suppress(OSError):
        if _lock(handle, wait) and _is_at(handle, folder):
            return handle
    _let_go(handle)
    return None


def _lock(handle: int, wait: bool = False) -> bool:
    """Lock an open file, and return whether it could be.

    Raises:
        OSError: This file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(error.errno, f"this file system has no locks ({error.strerror})") from error
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Return whether an open file or folder is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


_held: set[int] = set()
"""Open files that this process holds locks of; a forked child must not hold them as well."""


def _held_open(path: Path, flags: int, mode: int = 0o777) -> int:
    handle = os.open(path, flags, mode)
    _held.add(handle)
    return handle


def _let_go(handle: int) -> None:
    if handle in _held:  # a forked child has closed it
        _held.remove(handle)
        os.close(handle)


def _close_held() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)


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
