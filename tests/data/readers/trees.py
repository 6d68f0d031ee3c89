"""Small trees of empty files, and of images."""

from pathlib import Path


def tree(root: Path, *names: str) -> Path:
    """Make empty files and their folders; return the root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root
