"""Celebrities in Frontal-Profile: `Data/Images/001/frontal/01.jpg` and the folds in `Protocol/`.

Reference:
    Sengupta, Chen, Castillo, Patel, Chellappa, Jacobs: Frontal to profile face verification in the
    wild, WACV 2016.
"""

import posixpath
from pathlib import Path

import pandas as pd

from facever.core.files import read_regular
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.walking import images_below, left_by_system
from facever.errors import DataError

_VIEWS = {"F": "frontal", "P": "profile"}
EXPERIMENTS = ("FF", "FP")  # frontal against frontal, frontal against profile


def detect(root: Path) -> bool:
    """Return whether `root` contains the images and lists of the unpacked archive."""
    return (root / "Data" / "Images").is_dir() and (root / "Protocol").is_dir()


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return all images, with columns identity ("001"), view ("frontal", "profile") and number.

    Raises:
        DataError: There are no images, or a file is not named <person>/<view>/<number>.
    """
    images = images_below(root, ["Data/Images"], on_error)
    if not images:
        raise DataError(f"CFP: no images in {root / 'Data' / 'Images'}")
    rows = [_row(root, image) for image in images]
    return Manifest(pd.DataFrame(rows, columns=["path", "identity", "view", "number"]), root, "cfp")


def read_folds(folder: Path) -> pd.DataFrame:
    """Return the pairs of an experiment, with columns a, b, same, identity_a, identity_b and fold.

    Args:
        folder: `Protocol/Split/FF` or `Protocol/Split/FP`, with a folder per fold of the lists
            `same.txt` and `diff.txt`. Their lines "12,7" are two numbers in
            `Protocol/Pair_list_F.txt` and, on the right of FP, in `Protocol/Pair_list_P.txt`.

    Raises:
        DataError: A list is missing or invalid.
    """
    if folder.name not in EXPERIMENTS:
        raise DataError(f"{folder} is not a CFP experiment: give Protocol/Split/FF or /FP")
    first, second = (_images(folder.parent.parent / f"Pair_list_{v}.txt") for v in folder.name)
    below = (path for path in folder.iterdir() if left_by_system(path.name) is None)
    folds = sorted(path for path in below if path.is_dir())
    if not folds:
        raise DataError(f"CFP: no folds in {folder}; 01/same.txt and 01/diff.txt are expected")
    rows = []
    for number, fold in enumerate(folds):
        for name, same in (("same.txt", True), ("diff.txt", False)):
            for left, right in _numbers(fold / name):
                a, b = (_image(*side, fold / name) for side in ((first, left), (second, right)))
                rows.append((a, b, same, _person(a), _person(b), number))
    return pd.DataFrame(rows, columns=["a", "b", "same", "identity_a", "identity_b", "fold"])


def _row(root: Path, image: str) -> tuple[str, str, str, int]:
    parts = image.removeprefix("Data/Images/").split("/")
    number = parts[-1].rpartition(".")[0]
    if len(parts) != 3 or parts[1] not in _VIEWS.values() or not number.isdigit():
        raise DataError(f"CFP: {root / image} is not named <person>/frontal|profile/<number>")
    return image, parts[0], parts[1], int(number)


def _images(path: Path) -> dict[int, str]:
    """Read lines "12 ../Data/Images/002/frontal/02.jpg" as paths in the manifest, by number."""
    images = {}
    for line in _lines(path):
        number, _, image = line.partition(" ")
        if not number.isdigit() or "/" not in image:
            raise DataError(f"{path}: expected '<number> <path>', found '{line}'")
        images[int(number)] = posixpath.normpath(posixpath.join("Protocol", image.strip()))
    return images


def _numbers(path: Path) -> list[tuple[int, int]]:
    pairs = []
    for line in _lines(path):
        words = [word.strip() for word in line.split(",")]
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise DataError(f"{path}: expected '<number>,<number>', found '{line}'")
        pairs.append((int(words[0]), int(words[1])))
    return pairs


def _image(images: dict[int, str], number: int, path: Path) -> str:
    if number not in images:
        raise DataError(
            f"{path} refers to image {number}, but the list of images has {len(images)}"
        )
    return images[number]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"CFP: no list {path}")
    text = read_regular(path).decode(errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _person(image: str) -> str:
    return image.split("/")[-3] if image.count("/") > 1 else ""
