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
from facever.data.market_folders import read_folders
from facever.data.named_images import Names
from facever.errors import DataError

_NAMES = Names(
    layout="Market-1501",
    example="0002_c1s1_000451_03.jpg",
    pattern=re.compile(
        r"(?P<identity>-1|\d{4})_c(?P<camera>\d)s(?P<sequence>\d)_(?P<frame>\d{6})_(?P<box>\d{2})",
        re.ASCII,
    ),
    numbers=("camera", "sequence", "frame", "box"),
)


def detect(root: Path) -> bool:
    """Return whether `root` has the official layout, or a split.csv and images with such names.

    Data sets with these folders and other names are asked before this one.
    """
    if (root / "bounding_box_train").is_dir():
        return True
    folder = root / "train"
    if not (root / "split.csv").is_file() or not folder.is_dir():
        return False
    return any(_NAMES.fit(image.name) for image in folder.iterdir())


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
    return Manifest(read_folders(root, _NAMES, on_error), root, "market1501")


def _read_split(root: Path) -> Manifest:
    frame = Manifest.from_csv(root / "split.csv").frame
    for column, values in _NAMES.columns(root, frame["path"].tolist()).items():
        own = as_text(values)
        if column in frame:
            said = frame[column]
            if column in _NAMES.numbers:
                said = as_text(pd.to_numeric(said, errors="coerce"))
            if (said != own).any():
                row = int((said != own).to_numpy().argmax())
                raise DataError(
                    f"Market-1501: {root / 'split.csv'} says {column} {frame[column].iloc[row]} "
                    f"of {frame['path'].iloc[row]}"
                )
        frame[column] = own
    return Manifest(frame, root, "market1501")
