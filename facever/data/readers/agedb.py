"""AgeDB: `0_MariaCallas_35_f.jpg` is image 0, a woman of 35 years; and the protocols in .mat files.

Images of the protocols are named `12_MariaCallas_3_A_35.jpg`: person 12, image 3, 35 years.

Reference:
    Moschoglou, Papaioannou, Sagonas, Deng, Kotsia, Zafeiriou: AgeDB: the first manually collected,
    in-the-wild age database, CVPR Workshops 2017.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.mat_files import read_mat
from facever.data.named_images import Names, first_image
from facever.data.walking import images_below
from facever.errors import DataError

_IMAGES = Names(
    layout="AgeDB",
    example="0_MariaCallas_35_f.jpg",
    pattern=re.compile(
        r"[0-9]+_(?P<identity>.+)_(?P<age>[0-9]+)_(?P<gender>[mfMF])(?:\.[A-Za-z]+)?$"
    ),
    numbers=("age",),
)
_PROTOCOL = Names(
    layout="AgeDB",
    example="12_MariaCallas_3_A_35.jpg",
    pattern=re.compile(r"[0-9]+_(?P<identity>.+)_[0-9]+_[A-Z]_(?P<age>[0-9]+)(?:\.[A-Za-z]+)?$"),
    numbers=("age",),
)
_FOLDER = "03_Protocol_Images"
_WHAT = "a protocol of AgeDB"


def detect(root: Path) -> bool:
    """Return whether the images in `root` are named like AgeDB's."""
    return _names(root) is not None


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return all images, with columns identity ("MariaCallas"), age ("35") and, if named, gender.

    Raises:
        DataError: There are no images, or a name does not fit.
    """
    images = images_below(root, on_error=on_error)
    if not images:
        raise DataError(f"AgeDB: no images in {root}, such as {_IMAGES.example}")
    columns = (_names(root) or _IMAGES).columns(root, images)
    return Manifest(pd.DataFrame({"path": images, **columns}), root, "agedb")


def person_of(image: str) -> str | None:
    """Return the person in an image of AgeDB by its name; None if it is not one."""
    name = image.replace("\\", "/").rpartition("/")[2]
    found = _IMAGES.pattern.match(name) or _PROTOCOL.pattern.match(name)
    return found["identity"] if found else None


def read_protocol(path: Path) -> pd.DataFrame:
    """Return the pairs of `04_FINAL_protocol_30_years.mat`: a, b, same, fold and the people.

    The file holds a cell array `splits`, one structure for each fold, with the fields `pairs`
    (2 x N structures with the fields name and age) and `annot` (N numbers, 1 for one person).

    Raises:
        DataError: It is not such a file.
    """
    splits = np.atleast_1d(read_mat(path, _WHAT, ["splits"])["splits"])
    rows = []
    for fold, split in enumerate(splits.ravel()):
        names, same = _split(split, path, fold)
        for a, b, label in zip(*names, same, strict=True):
            rows.append((a, b, label > 0, fold, person_of(a), person_of(b)))
    frame = pd.DataFrame(rows, columns=["a", "b", "same", "fold", "identity_a", "identity_b"])
    unknown = frame[["identity_a", "identity_b"]].isna().any(axis=1)
    if unknown.any():
        row = frame[unknown].iloc[0]
        raise DataError(
            f"{path}: {row['a']} or {row['b']} is not named like {_PROTOCOL.example} (without .jpg)"
        )
    return frame


def _names(root: Path) -> Names | None:
    """Return which kind of names the images have."""
    found = first_image(root) or first_image(root / _FOLDER)
    return next((names for names in (_IMAGES, _PROTOCOL) if names.fit(found)), None)


def _split(split: Any, path: Path, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the names [2, N] and labels [N] of a fold."""
    pairs, labels = getattr(split, "pairs", None), getattr(split, "annot", None)
    if pairs is None or labels is None:
        raise DataError(f"{path} is not {_WHAT}: split {fold + 1} has no fields pairs and annot")
    labels = np.atleast_1d(labels)
    grid = np.atleast_1d(pairs)
    if labels.ndim != 1 or labels.dtype.kind not in "iufb" or grid.size != 2 * len(labels):
        raise DataError(
            f"{path}: split {fold + 1} has {grid.size:,} images and {labels.size:,} labels: a pair "
            "is two images and one label"
        )
    names = [str(getattr(one, "name", "")) for one in grid.reshape(2, -1).ravel()]
    return np.array(names, dtype=object).reshape(2, -1), labels
