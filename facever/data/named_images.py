"""Images whose file names hold identity, camera and more, and lists that name images."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facever.core.console import say
from facever.core.files import read_regular
from facever.data.suffixes import READABLE
from facever.data.walking import left_by_system, suffix_of
from facever.errors import DataError


@dataclass(frozen=True)
class Names:
    """How a data set names its image files.

    Attributes:
        layout: Name of the data set for errors.
        example: A file name for errors.
        pattern: Matches the beginning of a file name; its named groups are columns.
        numbers: Groups that are whole numbers: leading zeros are removed.
    """

    layout: str
    example: str
    pattern: re.Pattern[str]
    numbers: Collection[str] = ()

    def fit(self, name: str | None) -> bool:
        """Return whether a file name is like the example."""
        return name is not None and self.pattern.match(name) is not None

    def columns(self, root: Path, images: Sequence[str]) -> dict[str, list[str]]:
        """Return the columns of images, given by their paths in `root`.

        Raises:
            DataError: A name does not fit.
        """
        found = []
        for image in images:
            match = self.pattern.match(image.rpartition("/")[2])
            if match is None:
                raise DataError(
                    f"{self.layout}: {root / image} is not named like {self.example}: for other "
                    "names give --layout 'pattern:REGEX' (docs/formats.md)"
                )
            found.append(match)
        table = {group: [match[group] for match in found] for group in self.pattern.groupindex}
        return table | {name: [str(int(value)) for value in table[name]] for name in self.numbers}


def first_image(folder: Path) -> str | None:
    """Return the alphabetically first name of an image in a folder, without its subfolders."""
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        images = (name for name in names if suffix_of(name) in READABLE)
        return min((name for name in images if left_by_system(name) is None), default=None)


def read_lines(path: Path, layout: str) -> list[str]:
    """Return the lines of a text file that are not empty.

    Raises:
        DataError: There is no such file.
    """
    if not path.is_file():
        raise DataError(f"{layout}: no list {path}")
    text = read_regular(path).decode("utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def check_listed(
    root: Path, there: Iterable[str], listed: Sequence[str], source: str, layout: str
) -> None:
    """Check lists of images against the images of their folders.

    Images that no list names are counted in a message.

    Args:
        root: The data set's folder.
        there: Paths of the images in the folders, relative to `root`.
        listed: Paths that the lists name, relative to `root`.
        source: Names of the lists, for errors.
        layout: Name of the data set for errors.

    Raises:
        DataError: A list names an image twice, or one that is missing.
    """
    existing, named = set(there), set(listed)
    missing = [image for image in listed if image not in existing]
    if missing:
        count = "1 image" if len(missing) == 1 else f"{len(missing):,} images"
        raise DataError(
            f"{layout}: {source} of {root} name {count} that are missing, first {missing[0]}: "
            "unpack the images again, or remove these lines"
        )
    if len(named) < len(listed):
        twice = Counter(listed).most_common(1)[0][0]
        raise DataError(f"{layout}: {source} of {root} name {twice} twice: remove one of the lines")
    unlisted = sorted(existing - named)
    if unlisted:
        say(
            f"{len(unlisted):,} images in {root} are in none of {source} and are not read, first "
            f"{unlisted[0]}"
        )
