"""idx files, MNIST's format: `t10k-images-idx3-ubyte.gz` with `t10k-labels-idx1-ubyte.gz`.

Reference:
    LeCun, Cortes, Burges: The MNIST database of handwritten digits, 1998.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from facever.data.acquisition import OnError
from facever.data.arrays import open_array
from facever.data.manifest import Manifest
from facever.data.walking import left_by_system
from facever.errors import DataError

_NAME = re.compile(r"(.+)([-.])images([-.]idx)3([-.]ubyte)(\.gz)?")
_SUBSETS = {"t10k": "test"}


def detect(root: Path) -> bool:
    """Return whether `root` is a folder with a file of images in idx format."""
    return root.is_dir() and bool(_image_files(root))


def read(root: Path, on_error: OnError = "skip") -> Manifest:  # noqa: ARG001
    """Return every image of every pair of files; each label is an identity.

    The subset is the name before "-images-idx3-ubyte" ("train"; "t10k" becomes "test"). Images are
    addressed inside their files, plain or gzipped: "t10k-images-idx3-ubyte.gz#7".

    Raises:
        DataError: There are no such files, labels are missing, counts differ, or a file is damaged.
    """
    files = _image_files(root)
    if not files:
        raise DataError(f"no files like train-images-idx3-ubyte(.gz) in {root}")
    return Manifest(pd.concat([_read_pair(*pair) for pair in files]), root, root.absolute().name)


def _image_files(root: Path) -> list[tuple[Path, re.Match[str]]]:
    """Return the image files in order; without gzipped files that also exist uncompressed."""
    there = sorted(path for path in root.iterdir() if left_by_system(path.name) is None)
    files = {path: _NAME.fullmatch(path.name) for path in there}
    return [
        (path, name)
        for path, name in files.items()
        if name and not (name[5] and path.with_suffix("") in files)
    ]


def _read_pair(file: Path, name: re.Match[str]) -> pd.DataFrame:
    prefix, dash, idx, ubyte, _ = name.groups()
    plain = file.with_name(f"{prefix}{dash}labels{idx}1{ubyte}")
    labels_file = plain if plain.is_file() else plain.with_name(plain.name + ".gz")
    images, labels = _open(file), _open(labels_file)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(f"{file} {images.shape} and {labels_file.name} {labels.shape} do not match")
    return pd.DataFrame(
        {
            "path": [f"{file.name}#{index}" for index in range(len(images))],
            "identity": labels.astype(str),
            "subset": _SUBSETS.get(prefix, prefix),
        }
    )


def _open(file: Path) -> np.ndarray:
    try:
        return open_array(str(file))
    except FileNotFoundError:
        raise DataError(
            f"no labels {file.name.removesuffix('.gz')}(.gz) in {file.parent}"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error
