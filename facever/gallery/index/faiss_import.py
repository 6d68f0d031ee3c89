"""The only import of FAISS: two wheels provide it, and they break each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from types import ModuleType

from facever.errors import GalleryError

_FEW = 4  # queries: FAISS compares fewer faster one by one than by a matrix product

WHEELS = (
    "faiss-cpu",
    "faiss-gpu",
    "faiss-gpu-cu11",
    "faiss-gpu-cu12",
    "faiss-gpu-cuvs",
    "faiss-gpu-cu12-cuvs",
    "faiss-gpu-cu13-cuvs",
)


def installed_wheels() -> list[str]:
    """Return the FAISS wheels installed in this environment."""
    found = []
    for wheel in WHEELS:
        try:
            metadata.version(wheel)
        except metadata.PackageNotFoundError:
            continue
        found.append(wheel)
    return found


@cache
def import_faiss() -> ModuleType:
    """Import FAISS. The search for its wheels takes a millisecond, so it runs once.

    Raises:
        GalleryError: Two wheels are installed, or none.
    """
    wheels = installed_wheels()
    if len(wheels) > 1:
        raise GalleryError(
            f"{' and '.join(wheels)} are both installed and overwrite each other: "
            f"pip uninstall -y {' '.join(wheels)}, then pip install 'facever[cpu]' or "
            "'facever[gpu]'"
        )
    try:
        import faiss
    except ImportError as error:
        if wheels:
            raise GalleryError(
                f"{wheels[0]} is installed but cannot be imported ({error}): "
                f"pip install --force-reinstall {wheels[0]}"
            ) from error
        raise GalleryError(
            "FAISS is not installed: pip install 'facever[cpu]', or 'facever[gpu]' on Linux x86-64"
        ) from error
    return faiss


_lock = threading.Lock()
_users, _usual = 0, 0  # searches that need products, and the setting before the first of them


@contextmanager
def products_by_blas(faiss: ModuleType, queries: int) -> Iterator[None]:
    """Let FAISS compare several queries by a matrix product, and restore its setting afterwards.

    By default, FAISS uses a product from 250 queries of 512 dimensions; it was measured to be
    faster from four on, and ten times at 64. The setting is one for the whole process: searches of
    other threads see it meanwhile.

    Args:
        faiss: The module.
        queries: Number of queries; fewer than four are compared one by one.
    """
    global _users, _usual
    if queries < _FEW:
        yield
        return
    with _lock:
        if not _users:
            _usual = faiss.cvar.distance_compute_blas_threshold
            faiss.cvar.distance_compute_blas_threshold = 1
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                faiss.cvar.distance_compute_blas_threshold = _usual
