"""Suffixes of image files: supported and unsupported ones."""

from collections.abc import Iterable
from importlib.util import find_spec

HEIC = frozenset({".heic", ".heif", ".hif"})
"""Supported if the package pillow-heif is installed."""

RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw"}
    | {".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw"}
    | {".x3f"}
)
"""Raw files of cameras: not supported."""

READABLE = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"}
    | {".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    | (HEIC if find_spec("pillow_heif") else frozenset())
)
"""Supported suffixes of images, in lower case."""

UNREAD = (HEIC | RAW | {".jxl", ".psd"}) - READABLE
"""Unsupported suffixes of images, in lower case."""


def not_read(suffixes: Iterable[str]) -> str:
    """Return the remedy for images with these suffixes, all of them in `UNREAD`."""
    kinds = set(suffixes)
    done = ["convert them to JPEG or PNG"]
    if kinds & HEIC:
        done.append("for HEIC install pillow-heif (pip install 'facever[heif]')")
    return ", or ".join(done)
