"""The folders of Market-1501 and of data sets with the same folders: one for each subset."""

from pathlib import Path

import pandas as pd

from facever.data.acquisition import OnError
from facever.data.named_images import Names, first_image
from facever.data.walking import images_below
from facever.errors import DataError

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
JUNK = "-1"


def has_folders(root: Path, names: Names) -> bool:
    """Return whether `root` has these folders, with images of such names."""
    if not (root / "bounding_box_train").is_dir():
        return False
    firsts = (first_image(root / folder) for folder in FOLDERS)
    return names.fit(next((name for name in firsts if name is not None), None))


def read_folders(root: Path, names: Names, on_error: OnError) -> pd.DataFrame:
    """Return the images with the columns path, those of their names, and subset.

    Distractors (identity "0000": in the gallery, never correct) are kept; junk (identity "-1":
    ignored by definition) is not.

    Raises:
        DataError: There are no images, or a name does not fit.
    """
    images = images_below(root, FOLDERS, on_error)
    frame = pd.DataFrame({"path": images, **names.columns(root, images)})
    frame["subset"] = [FOLDERS[image.partition("/")[0]] for image in images]
    frame = frame[frame["identity"] != JUNK].reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{names.layout}: no images in {root} (looked for {', '.join(FOLDERS)})")
    return frame
