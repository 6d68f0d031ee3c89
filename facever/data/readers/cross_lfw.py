"""Cross-Age and Cross-Pose LFW: images `Ada_Lovelace_0001.jpg` in one folder, and a pair list.

Reference:
    Zheng, Deng, Hu: Cross-Age LFW, arXiv:1708.08197, 2017. Zheng, Deng: Cross-Pose LFW, Beijing
    University of Posts and Telecommunications 18-01, 2018.
"""

import re
from pathlib import Path

import pandas as pd

from facever.core.console import warn
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.named_images import first_image
from facever.data.tables import shortened
from facever.data.walking import images_below
from facever.errors import DataError

_NAME = re.compile(r"(?P<identity>.+)_(?P<number>[0-9]+)\.[A-Za-z]+$")


def person_of(image: str) -> str | None:
    """Return the person in an image by its name; None if it is not <Name>_<number>.<suffix>."""
    found = _NAME.match(image.replace("\\", "/").rpartition("/")[2])
    return found["identity"] if found else None


class CrossLfw:
    """The reader of one of the two data sets.

    Args:
        name: Name of the data set.
        pairs: File name of its pair list.
    """

    def __init__(self, name: str, pairs: str) -> None:
        self.name, self.pairs = name, pairs

    def detect(self, root: Path) -> bool:
        """Return whether the pair list is in `root`, or beside `root`, a folder of images."""
        if not root.is_dir():
            return False
        beside = (root.absolute().parent / self.pairs).is_file() and first_image(root) is not None
        return (root / self.pairs).is_file() or beside

    def read(self, root: Path, on_error: OnError = "skip") -> Manifest:
        """Return the images, with columns identity ("Ada_Lovelace") and number ("1").

        Images that are not named <Name>_<number> are skipped with a warning.

        Raises:
            DataError: There are no such images, or images in several folders, of which one must
                be chosen.
        """
        images = images_below(root, on_error=on_error)
        found = {image: _NAME.match(image.rpartition("/")[2]) for image in images}
        rows = [
            (image, one["identity"], str(int(one["number"]))) for image, one in found.items() if one
        ]
        if not rows:
            raise DataError(f"{self.name}: no images like Ada_Lovelace_0001.jpg in {root}")
        folders = sorted({image.rpartition("/")[0] for image, _, _ in rows})
        if len(folders) > 1:
            raise DataError(
                f"{self.name}: {root} has images in several folders ({shortened(folders, 4)}), "
                f"such as aligned and original ones: give one of them, {root / folders[0]}"
            )
        other = [image for image, one in found.items() if not one]
        if other:
            warn(
                f"{self.name}: {len(other):,} images in {root} are not named <Name>_<number> and "
                f"are skipped, first {other[0]}"
            )
        frame = pd.DataFrame(rows, columns=["path", "identity", "number"])
        return Manifest(frame, root, self.name.lower())


calfw = CrossLfw("CALFW", "pairs_CALFW.txt")
cplfw = CrossLfw("CPLFW", "pairs_CPLFW.txt")
