"""Market-1501: `0002_c1s1_000451_03.jpg` is identity 2, camera 1, sequence 1, frame 451, box 3.

Reference:
    Zheng, Shen, Tian, Wang, Wang, Tian: Scalable Person Re-identification, ICCV 2015.
"""

import re
from pathlib import Path

import pandas as pd

from facever.core.text import as_text
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.walking import images_below
from facever.errors import DataError

_JUNK = "-1"
_NAME = re.compile(r"(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})")
_NUMBERS = ("camera", "sequence", "frame", "box")
_OFFICIAL = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}


def detect(root: Path) -> bool:
    """Return whether `root` has the official layout, or a split.csv and images with such names."""
    if (root / "bounding_box_train").is_dir():
        return True
    folder = root / "train"
    if not (root / "split.csv").is_file() or not folder.is_dir():
        return False
    return any(_NAME.match(image.name) for image in folder.iterdir())


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return the images with columns identity, camera, sequence, frame, box and subset.

    With a `split.csv` (columns path, identity, camera, subset), its rows are the data set. Without
    one, the official folders are used: bounding_box_train as "train", query as "query" and
    bounding_box_test as "gallery", with its distractors (identity "0000": in the gallery, never
    correct) and without its junk (identity "-1": ignored by definition).

    Raises:
        DataError: Neither layout fits, a file name has no identity, or a row of `split.csv`
            contradicts the name of its file.
    """
    if (root / "split.csv").is_file():
        return _read_split(root)
    rows = [
        {"path": image, **_parse(root / image), "subset": _OFFICIAL[image.split("/")[0]]}
        for image in images_below(root, _OFFICIAL, on_error)
    ]
    frame = pd.DataFrame([row for row in rows if row["identity"] != _JUNK])
    if frame.empty:
        raise DataError(f"Market-1501: no images in {root} (looked for {', '.join(_OFFICIAL)})")
    return Manifest(frame, root, "market1501")


def _read_split(root: Path) -> Manifest:
    frame = Manifest.from_csv(root / "split.csv").frame
    parsed = pd.DataFrame([_parse(root / path) for path in frame["path"]])
    for column in parsed:
        own = as_text(parsed[column])
        if column in frame:
            said = frame[column]
            if column in _NUMBERS:
                said = as_text(pd.to_numeric(said, errors="coerce"))
            if (said != own).any():
                row = int((said != own).to_numpy().argmax())
                raise DataError(
                    f"Market-1501: {root / 'split.csv'} says {column} {frame[column].iloc[row]} "
                    f"of {frame['path'].iloc[row]}"
                )
        frame[column] = own
    return Manifest(frame, root, "market1501")


def _parse(path: Path) -> dict[str, str | int]:
    found = _NAME.match(path.name)
    if found is None:
        raise DataError(f"Market-1501: {path} is not named like 0002_c1s1_000451_03.jpg")
    identity, *numbers = found.groups()
    return {"identity": identity, **dict(zip(_NUMBERS, map(int, numbers), strict=True))}
