"""The only import of FAISS: two wheels provide it, and they break each other."""

from functools import cache
from importlib import metadata
from types import ModuleType

from facever.errors import GalleryError

# Number of queries x dimension from which FAISS uses a matrix product. Its default is 250 queries
# of 512 dimensions; the product was measured to be faster from 3 queries, and 10 times at 64.
_BY_PRODUCT = 2048

WHEELS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")


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
    faiss.cvar.distance_compute_blas_threshold = _BY_PRODUCT
    return faiss
