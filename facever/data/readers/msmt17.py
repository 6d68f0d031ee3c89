"""MSMT17: lists of `0000/0000_000_01_0303morning_0008_0.jpg 0`, which is identity 0, camera 1.

Reference:
    Wei, Zhang, Gao, Tian: Person Transfer GAN to Bridge Domain Gap for Person Re-Identification,
    CVPR 2018. The second version (MSMT17_V2) has other folder names and blurred faces.
"""

import re
from pathlib import Path

import pandas as pd

from facever.core.console import warn
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.named_images import Names, check_listed, read_lines
from facever.data.walking import images_below
from facever.errors import DataError

_FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
_LISTS = {"train": 0, "val": 0, "query": 1, "gallery": 1}  # the place of the folder
_NAMES = Names(
    layout="MSMT17",
    example="0000_000_01_0303morning_0008_0.jpg",
    pattern=re.compile(
        r"(?P<name>[0-9]+)_[0-9]+_(?P<camera>[0-9]+)_(?P<session>[0-9]{4}[a-z]+)_(?P<frame>[0-9]+)_"
    ),
    numbers=("camera", "frame"),
)


def detect(root: Path) -> bool:
    """Return whether `root`, or a version in it, has a folder and a list of the data set."""
    return any(map(_has_lists, _places(root)))


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return the listed images with columns identity, subset, camera ("1"), session and frame.

    The subsets are "train", "val" (images of the training people), "query" and "gallery". Numbers
    of people begin at 0 in both folders, so identities are "train_0000" and "test_0000".

    Args:
        root: The folder of a version, with the lists, or a folder with one of them.
        on_error: For folders that cannot be read.

    Raises:
        DataError: There are no such folders or lists, or two versions, a line or a name does not
            fit, or a list names an image twice or one that is missing.
    """
    found = [place for place in _places(root) if _has_lists(place)]
    if len(found) > 1:
        raise DataError(f"MSMT17: {root} has two versions: give {found[0]} or {found[1]}")
    return _read(found[0] if found else root, on_error)


def _places(root: Path) -> tuple[Path, ...]:
    return root, root / "MSMT17_V1", root / "MSMT17_V2"


def _has_lists(root: Path) -> bool:
    folders = any((root / name).is_dir() for pair in _FOLDERS for name in pair)
    return folders and any((root / f"list_{name}.txt").is_file() for name in _LISTS)


def _read(root: Path, on_error: OnError) -> Manifest:
    folders = next(
        (pair for pair in _FOLDERS if any((root / name).is_dir() for name in pair)), None
    )
    lists = {name: root / f"list_{name}.txt" for name in _LISTS}
    lists = {name: path for name, path in lists.items() if path.is_file()}
    if folders is None or not lists:
        raise DataError(
            f"MSMT17: {root} needs the folders train and test, or mask_train_v2 and mask_test_v2, "
            "and list_train.txt, list_val.txt, list_query.txt and list_gallery.txt"
        )
    rows = [
        (f"{folders[_LISTS[subset]]}/{image}", person, subset)
        for subset, path in lists.items()
        for image, person in _entries(path)
    ]
    frame = pd.DataFrame(rows, columns=["path", "person", "subset"])
    if frame.empty:
        raise DataError(f"MSMT17: the lists of {root} are empty")
    images = frame["path"].tolist()
    used = [folders[place] for place in sorted({_LISTS[subset] for subset in lists})]
    source = ", ".join(path.name for path in lists.values())
    check_listed(root, images_below(root, used, on_error), images, source, "MSMT17")
    columns = _NAMES.columns(root, images)
    _compare(root, images, frame["person"], columns.pop("name"))
    part = frame["subset"].map({name: ("train", "test")[place] for name, place in _LISTS.items()})
    identity = part + "_" + frame["person"].map("{:04d}".format)
    table = {"path": images, "identity": identity, "subset": frame["subset"], **columns}
    return Manifest(pd.DataFrame(table), root, "msmt17")


def _entries(path: Path) -> list[tuple[str, int]]:
    entries = []
    for line in read_lines(path, "MSMT17"):
        words = line.rsplit(None, 1)
        if len(words) != 2 or not _is_number(words[1]):
            raise DataError(f"{path}: expected '<image> <person>', found '{line}'")
        entries.append((words[0], int(words[1])))
    return entries


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _compare(root: Path, images: list[str], people: "pd.Series[int]", names: list[str]) -> None:
    """Warn where a list gives an image to another person than its name."""
    other = [
        image for image, one, name in zip(images, people, names, strict=True) if one != int(name)
    ]
    if other:
        warn(
            f"MSMT17: the lists of {root} give {len(other):,} images to other people than their "
            f"names, first {other[0]}: the lists are used"
        )
