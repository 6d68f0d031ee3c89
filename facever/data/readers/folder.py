"""A folder of images per identity, `root/<identity>/.../image.jpg`; or images without identity."""

from pathlib import Path

from facever.data.acquisition import OnError
from facever.data.manifest import Manifest


def detect(root: Path) -> bool:
    """Return whether `root` is a folder; this layout is tried last."""
    return root.is_dir()


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return the images below `root` by `facever.data.identity_folders.rows_of_folder`.

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    return Manifest.from_folder(root, on_error)
