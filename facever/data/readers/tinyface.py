"""TinyFace: probes, a gallery with distractors, and lists of their people in .mat files.

Reference:
    Cheng, Zhu, Gong: Low-Resolution Face Recognition, ACCV 2018.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.mat_files import read_mat
from facever.data.named_images import check_listed
from facever.data.walking import images_below
from facever.errors import DataError

_TEST, _TRAIN, _DISTRACTORS = "Testing_Set", "Training_Set", "Gallery_Distractor"
_LISTS = {
    "Probe": ("query", "probe_img_ID_pairs.mat", "probe_set", "probe_ids"),
    "Gallery_Match": ("gallery", "gallery_match_img_ID_pairs.mat", "gallery_set", "gallery_ids"),
}
_COLUMNS = ["path", "identity", "subset", "part"]
_WHAT = "a list of TinyFace"


def detect(root: Path) -> bool:
    """Return whether `root` has TinyFace's probes and gallery, itself or in Testing_Set."""
    return any(all((base / folder).is_dir() for folder in _LISTS) for base in (root / _TEST, root))


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return all images, with columns identity, subset and part (the folder).

    Subsets are "query" (Probe), "gallery" (Gallery_Match and Gallery_Distractor) and, if there is a
    folder Training_Set, "train". Identities are "test_12" and "train_12". Each distractor has an
    identity of its own ("distractor_" and its name): it is never correct.

    Raises:
        DataError: No such folders, no images, a missing or damaged list, or a list that names an
            image twice, or one that is missing, or has as many images as it has no people.
    """
    base = root / _TEST if (root / _TEST).is_dir() else root
    prefix = f"{_TEST}/" if base != root else ""
    rows: list[tuple[str, str, str, str]] = []
    for folder, (subset, *names) in _LISTS.items():
        pairs = _pairs(base, *names)
        there = images_below(root, [prefix + folder], on_error)
        images = [f"{prefix}{folder}/{image}" for image, _ in pairs]
        check_listed(root, there, images, names[0], "TinyFace")
        people = (f"test_{person}" for _, person in pairs)
        rows += [(*one, subset, folder) for one in zip(images, people, strict=True)]
    start = f"{prefix}{_DISTRACTORS}/"
    for image in images_below(root, [start.rstrip("/")], on_error):
        name = image.removeprefix(start).rpartition(".")[0].replace("/", "_")
        rows.append((image, f"distractor_{name}", "gallery", _DISTRACTORS))
    for image in images_below(root, [_TRAIN], on_error):
        parts = image.split("/")
        if len(parts) < 3:
            raise DataError(f"TinyFace: {root / image} is not in a folder of a person")
        rows.append((image, f"train_{parts[1]}", "train", _TRAIN))
    return Manifest(pd.DataFrame(rows, columns=_COLUMNS), root, "tinyface")


def _pairs(base: Path, file: str, images: str, people: str) -> list[tuple[str, int]]:
    """Return the images of a list with their people."""
    path = base / file
    if not path.is_file():
        raise DataError(f"TinyFace: no list {path}, which has the people of the images")
    held = {
        key: np.atleast_1d(value) for key, value in read_mat(path, _WHAT, [images, people]).items()
    }
    names, numbers = held[images], held[people]
    if names.shape != numbers.shape or names.ndim != 1:
        raise DataError(
            f"{path} has {names.size:,} images in {images} and {numbers.size:,} people in "
            f"{people}: it is damaged"
        )
    if numbers.dtype.kind not in "iuf" or (numbers != np.floor(numbers)).any():
        raise DataError(f"{path}: {people} must hold whole numbers")
    return [(str(name).strip(), int(number)) for name, number in zip(names, numbers, strict=True)]
