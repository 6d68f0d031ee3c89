"""The cache folder: files that facever can create or download again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $FACEVER_CACHE, or ~/.cache/facever."""
    chosen = os.environ.get("FACEVER_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "facever"
