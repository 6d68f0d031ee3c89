"""The images below a folder, with messages about ignored files.

Thumbnails and other files of systems and network drives (`@eaDir`, `._*`, `Thumbs.db`, ...) are
ignored.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from facever.core.console import say, warn
from facever.data.acquisition import OnError
from facever.data.suffixes import READABLE, UNREAD, not_read
from facever.data.tables import check_utf8, shortened
from facever.errors import DataError

_LEFT_BY_SYSTEMS = frozenset(
    {"@eadir", "@recently-snapshot", "@recycle", "#recycle", "#snapshot", "$recycle.bin"}
    | {"__macosx", "desktop.ini", "ehthumbs.db", "lost+found", "network trash folder", "recycler"}
    | {"system volume information", "temporary items", "thumbs.db"}
)
_BEGINNINGS = ("synofile_thumb_", "synophoto_thumb_")
_NAMED = 3


@dataclass
class Found:
    """The images below a folder; paths are relative to it, with "/".

    Attributes:
        root: The folder.
        images: Images with a supported suffix, sorted within each given folder.
        unread: Images with an unsupported suffix.
        skipped: Number of ignored files and folders of each kind.
        refused: Folders that cannot be read, with the reason.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)

    def tell(self, whose: Callable[[str], str] = lambda path: path.rpartition("/")[0]) -> None:
        """Print messages about ignored files and folders.

        Args:
            whose: Returns the identity of a path, if the layout has one; by default its folder.
        """
        if self.skipped:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.skipped.most_common())
            say(f"skipped in {self.root}: {kinds}")
        if self.refused:
            warn(
                f"{len(self.refused)} folders cannot be read and are skipped: "
                f"{shortened(self.refused, most=_NAMED)}"
            )
        if self.unread:
            people = {whose(path) for path in self.unread} - {whose(path) for path in self.images}
            lost = f" {len(people)} people or folders have no other images: " if people else ""
            warn(
                f"{len(self.unread):,} images in {self.root} are not read: "
                f"{by_suffix(self.unread)}.{lost}{shortened(sorted(people), most=_NAMED)}"
            )


def by_suffix(unread: Iterable[str]) -> str:
    """Return the counts of unsupported images by suffix, with the remedy."""
    counts = Counter(suffix_of(path) for path in unread)
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common())
    return f"{kinds} ({not_read(counts)})"


def walk(root: Path, folders: Iterable[str] = ("",), on_error: OnError = "skip") -> Found:
    """Find images in a folder, or in some of its subfolders.

    Links are followed; a folder with several links to it is read once.

    Args:
        root: The folder; without such a folder there are no images.
        folders: Subfolders to read; by default all.
        on_error: For folders that cannot be read: "skip" keeps the name for `Found.tell`, "raise"
            raises the error.

    Raises:
        DataError: `root`, or with "raise" a folder, cannot be read, or a name is not in UTF-8.
    """
    found = Found(root)

    def refuse(error: OSError) -> None:
        reason = f"{error.filename} cannot be read: {str(error.strerror).lower()}"
        if on_error == "raise" or Path(error.filename) in (root, *(root / f for f in folders)):
            raise DataError(reason)
        found.refused.append(reason)

    for begin in folders:
        if not (root / begin).is_dir():
            continue
        seen: set[tuple[int, int]] = set()
        images: list[str] = []
        for folder, inside, files in os.walk(root / begin, onerror=refuse, followlinks=True):
            status = os.stat(folder)  # noqa: PTH116
            known = (status.st_dev, status.st_ino) in seen
            seen.add((status.st_dev, status.st_ino))
            if known:
                inside[:] = []
                continue
            inside[:] = sorted(name for name in inside if not _skips(name, found.skipped))
            way = Path(folder).relative_to(root).as_posix()
            prefix = "" if way == "." else f"{way}/"
            for name in files:
                suffix = suffix_of(name)
                if not _skips(name, found.skipped):
                    if suffix in READABLE:
                        images.append(prefix + name)
                    elif suffix in UNREAD:
                        found.unread.append(prefix + name)
        check_utf8(images, str(root))
        found.images += sorted(images)
    return found


def images_below(
    root: Path, folders: Iterable[str] = ("",), on_error: OnError = "skip"
) -> list[str]:
    """Return the images that `walk` finds; print messages about ignored files."""
    found = walk(root, folders, on_error)
    found.tell()
    return found.images


def left_by_system(name: str) -> str | None:
    """Return the kind of an ignored file or folder by its name, or None.

    Args:
        name: The last part of a path.
    """
    lower = name.lower()
    if lower in _LEFT_BY_SYSTEMS:
        return name
    if lower.startswith("._"):
        return "._*"
    start = next((start for start in _BEGINNINGS if lower.startswith(start)), None)
    if start is not None:
        return f"{name[: len(start)]}*"
    return "hidden" if name.startswith(".") else None


def suffix_of(path: str) -> str:
    """Return the suffix of a name in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122  (8 times as fast)


def _skips(name: str, counts: Counter[str]) -> bool:
    kind = left_by_system(name)
    if kind is not None:
        counts[kind] += 1
    return kind is not None
