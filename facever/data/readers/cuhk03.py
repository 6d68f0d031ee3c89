"""CUHK03 with the new protocol: its .mat split files, or folders like Market-1501's.

`1_001_1_01.png` is an image of camera pair 1, person 1 of that pair, camera 1, image 1. In
the folders, `0001_c1_1.png` is identity 1, camera 1.

Reference:
    Li, Zhao, Xiao, Wang: DeepReID, CVPR 2014. Zhong, Zheng, Cao, Li: Re-ranking Person
    Re-identification with k-reciprocal Encoding, CVPR 2017 (the new protocol: 767 and 700 people).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.market_folders import has_folders, read_folders
from facever.data.mat_files import read_mat
from facever.data.named_images import Names, check_listed
from facever.data.walking import images_below
from facever.errors import DataError

_KINDS = ("labeled", "detected")
_FILE = "cuhk03_new_protocol_config_{}.mat"
_INDICES = {"train": "train_idx", "query": "query_idx", "gallery": "gallery_idx"}
_WHAT = "a split file of CUHK03's new protocol"
_NAMES = Names(
    layout="CUHK03",
    example="0001_c1_1.png",
    pattern=re.compile(r"(?P<identity>[0-9]+)_c(?P<camera>[0-9]+)_(?P<number>[0-9]+)\."),
    numbers=("camera", "number"),
)


def detect(root: Path) -> bool:
    """Return whether `root` is a split file, or a folder with one or with folders of such names."""
    if root.is_file():
        return root.name in _files()
    below = any(has_folders(root / kind, _NAMES) for kind in _KINDS)
    return below or has_folders(root, _NAMES) or any((root / name).is_file() for name in _files())


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return the images with columns identity, camera and subset ("train", "query", "gallery").

    Args:
        root: A split file `cuhk03_new_protocol_config_labeled.mat` or `..._detected.mat`; a folder
            with one of them; or a folder with bounding_box_train, query and bounding_box_test. The
            images of a split file are in its folder, or there in `images_labeled` or
            `images_detected`, `labeled` or `detected`, or `images`.
        on_error: For folders that cannot be read.

    Raises:
        DataError: No such files or images, both kinds of images in one folder, a damaged split
            file or one without its variables, numbers that fit no image, or missing images.
    """
    if root.is_file():
        return _read_split(root, on_error)
    if has_folders(root, _NAMES):
        return Manifest(read_folders(root, _NAMES, on_error), root, "cuhk03")
    files = [root / name for name in _files() if (root / name).is_file()]
    places = files or [root / kind for kind in _KINDS if has_folders(root / kind, _NAMES)]
    if len(places) > 1:
        raise DataError(
            f"CUHK03: {root} has labeled and detected images, two data sets: give {places[0]} or "
            f"{places[1]}"
        )
    if not places:
        raise DataError(
            f"CUHK03: no {' or '.join(_files())}, and no folders bounding_box_train, query and "
            f"bounding_box_test in {root}"
        )
    return read(places[0], on_error)


def _files() -> list[str]:
    return [_FILE.format(kind) for kind in _KINDS]


def _read_split(path: Path, on_error: OnError) -> Manifest:
    names = ["filelist", "labels", "camId", *_INDICES.values()]
    held = {name: np.atleast_1d(value) for name, value in read_mat(path, _WHAT, names).items()}
    images = [str(name).strip() for name in held["filelist"]]
    labels, cameras = (_whole(held[name], path, name) for name in ("labels", "camId"))
    if not len(images) == len(labels) == len(cameras):
        raise DataError(
            f"{path} has {len(images):,} images in filelist, {len(labels):,} labels and "
            f"{len(cameras):,} camId: it is damaged"
        )
    rows, subsets = [], []
    for subset, name in _INDICES.items():
        numbers = _whole(held[name], path, name)
        if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= len(images):
            raise DataError(
                f"{path}: {name} has numbers outside of filelist, which has {len(images):,} images "
                "(numbers begin at 1)"
            )
        rows += (numbers - 1).tolist()
        subsets += [subset] * len(numbers)
    if not rows:
        raise DataError(f"{path}: its {', '.join(_INDICES.values())} are empty")
    folder = _folder(path, images[rows[0]])
    listed = [f"{folder}{images[row]}" for row in rows]
    there = images_below(path.parent, [folder.rstrip("/")], on_error)
    check_listed(path.parent, there, listed, path.name, "CUHK03")
    table = {
        "path": listed,
        "identity": [f"{label:04d}" for label in labels[rows]],
        "camera": cameras[rows].astype(str),
        "subset": subsets,
    }
    return Manifest(pd.DataFrame(table), path.parent, "cuhk03")


def _folder(path: Path, image: str) -> str:
    """Return the folder of the images, beside a split file: "images_labeled/" or ""."""
    folders = list(_folders(path))
    for folder in folders:
        if (path.parent / folder / image).is_file():
            return folder
    raise DataError(
        f"CUHK03: {image}, which {path.name} names, is neither in {path.parent} nor there in "
        f"{', '.join(folder for folder in folders if folder)}"
    )


def _folders(path: Path) -> Iterator[str]:
    kind = next((kind for kind in _KINDS if kind in path.name), _KINDS[0])
    yield from (f"images_{kind}/", f"{kind}/", "images/", "")


def _whole(values: np.ndarray, path: Path, name: str) -> np.ndarray:
    """Return whole numbers, int64 [N]."""
    if values.ndim != 1 or values.dtype.kind not in "iuf" or (values != np.floor(values)).any():
        raise DataError(f"{path}: {name} must hold whole numbers")
    return values.astype(np.int64)
