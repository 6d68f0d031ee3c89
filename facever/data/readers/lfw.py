"""Labeled Faces in the Wild: `images/<Name>/<Name>_0001.jpg` and the lists in `protocol/`.

Reference:
    Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild, UMass Amherst 07-49, 2007.
"""

from pathlib import Path

import pandas as pd

from facever.core.console import warn
from facever.core.files import read_regular
from facever.core.text import canonical
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.walking import images_below
from facever.errors import DataError

# A later list has priority: held-out people are removed from train.
_LISTS = {
    "train": "peopleDevTrain.txt",
    "test": "peopleDevTest.txt",
    "held_out": "peopleDevHeldOut.txt",
}


def detect(root: Path) -> bool:
    """Return whether `root` contains the images and at least one of the official lists."""
    lists = [*_LISTS.values(), "pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt"]
    return (root / "images").is_dir() and any(
        (root / "protocol" / name).is_file() for name in lists
    )


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return all images, with columns identity, number (of the image) and subset.

    The subset is that of View 1: "train", "held_out" (`peopleDevHeldOut.txt`, removed from train,
    for thresholds and all other choices), "test", or "none" for people in no list.

    Raises:
        DataError: There are no images, a file is not named <Name>/<Name>_<number>, or a list is
            incomplete.
    """
    images = images_below(root, ["images"], on_error)
    if not images:
        raise DataError(f"LFW: no images in {root / 'images'}: put the people's folders there")
    rows = [_row(root, image) for image in images]
    frame = pd.DataFrame(rows, columns=["path", "identity", "number"])
    people = frame["identity"].map(canonical)
    frame["subset"] = people.map(_subsets(root, set(people))).fillna("none")
    return Manifest(frame, root, "lfw")


def image_path(name: str, number: int) -> str:
    """Return the path in the manifest of a person's image in LFW's lists."""
    return f"images/{name}/{name}_{number:04d}.jpg"


def _row(root: Path, image: str) -> tuple[str, str, int]:
    folder, _, file = image.removeprefix("images/").rpartition("/")
    name, _, number = file.rpartition(".")[0].rpartition("_")
    if name != folder or not number.isdigit():
        raise DataError(f"LFW: {root / image} is not named <Name>/<Name>_<number>")
    return image, name, int(number)


def _subsets(root: Path, identities: set[str]) -> dict[str, str]:
    subsets: dict[str, str] = {}
    for subset, file in _LISTS.items():
        path = root / "protocol" / file
        if path.is_file():
            names = _people(path)
            missing = [name for name in names if name not in identities]
            if missing:
                warn(f"LFW: {len(missing)} people of {file} have no image, first {missing[0]}")
            subsets.update(dict.fromkeys(names, subset))
    return subsets


def _people(path: Path) -> list[str]:
    """Read a line "<count>" and then <count> lines "<Name>\t<images>"."""
    count, *lines = read_regular(path).decode(errors="replace").split("\n")
    names = [canonical(line.split("\t")[0]) for line in lines if line.strip()]
    if not count.strip().isdigit() or int(count) != len(names):
        raise DataError(f"LFW: {path} declares '{count.strip()}' people but lists {len(names)}")
    return names
