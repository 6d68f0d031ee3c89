"""A folder tree of images without identities: `--layout images`."""

from pathlib import Path

import pandas as pd

from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.walking import images_below
from facever.errors import DataError


def detect(root: Path) -> bool:  # noqa: ARG001
    """Return False: folder names cannot show that there are no identities, so the layout must be
    given.
    """
    return False


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return all images below `root`, without identities.

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise DataError(f"no folder {root}")
    paths = images_below(root, on_error=on_error)
    if not paths:
        raise DataError(f"no images in {root}")
    return Manifest(pd.DataFrame({"path": paths}), root, root.absolute().name)
