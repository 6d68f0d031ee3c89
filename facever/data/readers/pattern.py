"""Any folder of images whose names hold the identity: `--layout 'pattern:REGEX'`."""

import re
from pathlib import Path

import pandas as pd

from facever.core.console import say
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.walking import images_below
from facever.errors import DataError

PREFIX = "pattern:"
_EXAMPLE = r"pattern:(?P<identity>\d{5})_c(?P<camera>\d{2})"


class Pattern:
    """The reader of names that a regular expression of the user describes.

    Args:
        text: The regular expression, in Python's syntax. It is searched in an image's path below
            the folder, with "/". The group `identity` is needed; the others become columns, as
            written: `camera` for the cross-camera rule, `subset` for queries and gallery, ...

    Raises:
        DataError: It is no regular expression, or has no group `identity`, or a group `path`.
    """

    def __init__(self, text: str) -> None:
        try:
            self._regex = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise DataError(
                f"layout '{PREFIX}{text}' is not a regular expression ({error}); for example "
                f"'{_EXAMPLE}'"
            ) from error
        self._groups = list(self._regex.groupindex)
        if "identity" not in self._groups or "path" in self._groups:
            wrong = "has a group path" if "path" in self._groups else "has no group identity"
            raise DataError(
                f"layout '{PREFIX}{text}' {wrong}: name the groups identity, camera, subset and "
                f"so on, for example '{_EXAMPLE}'"
            )

    def detect(self, root: Path) -> bool:  # noqa: ARG002
        """Return False: a pattern must be given."""
        return False

    def read(self, root: Path, on_error: OnError = "skip") -> Manifest:
        """Return all images below `root` with a column for each group.

        Raises:
            DataError: There is no such folder, no image in it, or the path of an image does not
                match or has an empty identity.
        """
        if not root.is_dir():
            raise DataError(f"no folder {root}")
        images = images_below(root, on_error=on_error)
        if not images:
            raise DataError(f"no images in {root}")
        found = [self._regex.search(image) for image in images]
        wrong = [
            image
            for image, one in zip(images, found, strict=True)
            if not one or not one["identity"]
        ]
        if wrong:
            raise DataError(
                f"{len(wrong):,} of {len(images):,} images in {root} do not match the pattern "
                f"{self._regex.pattern}, first {wrong[0]}: change the pattern, or give a folder of "
                "matching images"
            )
        matches = [one for one in found if one]
        table = {name: [one[name] for one in matches] for name in self._groups}
        shown = ", ".join(f"{name} {values[0]}" for name, values in table.items())
        say(f"{images[0]}: {shown}")
        return Manifest(pd.DataFrame({"path": images, **table}), root, root.absolute().name)
