"""The manifest: images and their identities, as a data frame with a checked contract."""

import os
from collections.abc import Collection
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever.core.console import warn
from facever.core.text import as_text, canonical, canonical_column, text_of
from facever.data.acquisition import OnError
from facever.data.identity_folders import rows_of_folder
from facever.data.members import file_of
from facever.data.tables import (
    check_table,
    check_utf8,
    read_table,
    shortened,
    typed,
    write_table,
)
from facever.errors import DataError, nearest, unknown

REQUIRED = ("path",)


class Manifest:
    """Images and their identities, as far as known.

    A manifest is immutable: every method that selects rows returns a new one.

    Args:
        frame: One row per image. `path` (relative to `root`, or absolute; "#7" at the end of an
            array file's name addresses its image 7, "#1536+20480" at the end of a tar file's name
            addresses 20,480 bytes from byte 1,536, optionally followed by their CRC-32,
            "=9ae0c1f2") is required; `identity` is missing (None) if unknown: such images match no
            other image; `camera`, `template`, `subset` and any other column are kept. Columns are
            text (1, 1.0 and "1" are "1"), except those of `facever.core.text.NUMERIC`; identities
            are composed (NFC) and without surrounding spaces.
        root: The folder that relative paths are relative to.
        dataset: A short name of the data set.
        numbers: Further numeric columns.

    Attributes:
        layout: Name of the reader; empty if it was not read by one.

    Raises:
        DataError: A required column is missing, the table is empty, a cell of `path` is empty,
            a numeric column contains another value, `root` is not a folder, or its name is not in
            UTF-8.
    """

    def __init__(
        self, frame: pd.DataFrame, root: str | Path, dataset: str, numbers: Collection[str] = ()
    ) -> None:
        self.root = Path(root).absolute()
        self.dataset = dataset
        self.layout = ""
        self._numbers = numbers
        if not self.root.is_dir():
            raise DataError(f"{dataset}: no folder {self.root}")
        check_utf8([str(self.root), dataset], "the folder of a data set")
        where = f"manifest '{dataset}'"
        checked = typed(check_table(frame, REQUIRED, where), where, numbers)
        checked["identity"] = _known(checked)
        self._written, self._canonical = checked["identity"], True
        names = canonical_column(self._written)
        self._hold(checked if names is self._written else checked.assign(identity=names))
        merged = self._written.nunique() - names.nunique()
        if merged:
            twice = self._written.groupby(names).nunique().idxmax()
            warn(
                f"{dataset}: {merged} names differ from another one only in encoding or "
                f"surrounding spaces, and are treated as the same person (first: {twice})"
            )

    def _hold(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self._root, self._paths = str(self.root), frame["path"].array

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, root: str | Path, dataset: str, numbers: Collection[str] = ()
    ) -> "Manifest":
        """Return a manifest of a copy of `frame`."""
        return cls(frame, root, dataset, numbers)

    @classmethod
    def from_folder(cls, root: str | Path, on_error: OnError = "skip") -> "Manifest":
        """Read a folder with one folder of images per identity.

        Args:
            root: The folder.
            on_error: Whether an unreadable folder is skipped with a warning ("skip"), or raises its
                error ("raise").

        Raises:
            DataError: There is no such folder, no image in it, or images only outside of identity
                folders.
        """
        root = Path(root)
        return cls(rows_of_folder(root, on_error), root, root.absolute().name)

    @classmethod
    def from_csv(
        cls, path: str | Path, root: str | Path | None = None, numbers: Collection[str] = ()
    ) -> "Manifest":
        """Read a CSV table (UTF-8, commas, a header line).

        Columns are read as text ("0002" keeps its zeros), and only an empty cell is a missing value
        (a person may be called "NA").

        Args:
            path: The file.
            root: Folder of relative paths; by default the file's folder.
            numbers: Further numeric columns, in addition to `facever.core.text.NUMERIC`.
        """
        return cls._from_table(Path(path), root, numbers)

    @classmethod
    def from_parquet(
        cls, path: str | Path, root: str | Path | None = None, numbers: Collection[str] = ()
    ) -> "Manifest":
        """Read a Parquet table; `root` and `numbers` as in `from_csv`."""
        return cls._from_table(Path(path), root, numbers)

    @classmethod
    def _from_table(
        cls, path: Path, root: str | Path | None, numbers: Collection[str]
    ) -> "Manifest":
        frame = check_table(read_table(path, numbers), REQUIRED, str(path))
        dataset = path.stem
        if "dataset" in frame and frame["dataset"].nunique(dropna=False) == 1:
            dataset = str(frame["dataset"].iloc[0])
            frame = frame.drop(columns="dataset")
        return cls(frame, path.parent if root is None else root, dataset, numbers)

    def save(self, path: str | Path) -> None:
        """Write a .csv or .parquet file, atomically; reading it returns the same manifest.

        Paths outside of `root` are written as absolute paths. A column `dataset` is added if the
        file's name differs from the data set's.
        """
        frame, path = self.frame, Path(path)
        if path.absolute().parent != self.root:
            frame = frame.assign(path=[self.locate(index) for index in range(len(self))])
        if "dataset" not in frame and path.stem != self.dataset:
            frame = frame.assign(dataset=self.dataset)
        write_table(frame, path)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"Manifest('{self.dataset}', {len(self)} images, {len(self.identities)} identities)"

    @cached_property
    def identities(self) -> list[str]:
        """The distinct known identities, sorted."""
        return sorted(self.frame["identity"].dropna().unique())

    @property
    def alignment(self) -> str:
        """The alignment template of the images, such as "arcface-112", or "none".

        It is the column `alignment`, written by `facever data align`.

        Raises:
            DataError: Rows have different alignments.
        """
        if "alignment" not in self.frame:
            return "none"
        found = self.frame["alignment"].fillna("none").unique().tolist()
        if len(found) > 1:
            raise DataError(
                f"{self.dataset} has images of several alignments "
                f"({', '.join(map(str, found))}): align all photos by one template (facever "
                "data align)"
            )
        return str(found[0])

    def labels(self) -> np.ndarray:
        """Return the position of each image's identity in `identities`, int64 [N]; -1 if
        unknown.
        """
        codes, _ = pd.factorize(self.frame["identity"], sort=True)
        return codes.astype(np.int64)

    def where(self, **columns: Any) -> "Manifest":
        """Return the images whose columns have the given value, or one of a list of values.

        Values are compared as text: 1, 1.0 and "1" are equal.

        Raises:
            DataError: There is no such column, or no image is left.
        """
        frame = self.frame
        for name, value in columns.items():
            if name not in frame:
                raise DataError(f"{self.dataset}: {unknown('column', name, map(str, frame))}")
            wanted = value if isinstance(value, list | tuple | set) else [value]
            texts = [text_of(one) for one in wanted]
            if name == "identity" and self._canonical:
                texts = [canonical(text) for text in texts]
            column = as_text(frame[name]) if _is_number(frame[name]) else frame[name]
            rows = frame[column.isin(texts) | (column.isna() & (None in wanted))]
            if rows.empty:
                shown = ", ".join(str(one) for one in wanted)
                there = shortened(sorted(map(str, frame[name].unique())))
                raise DataError(f"{self.dataset}: no image has {name} {shown} (there are: {there})")
            frame = rows
        return self._like(frame)

    def assign(self, **columns: Any) -> "Manifest":
        """Return the same images with added or replaced columns."""
        where = f"manifest '{self.dataset}'"
        frame = typed(self.frame.assign(**columns), where, self._numbers)
        return self._like(frame)

    def as_written(self) -> "Manifest":
        """Return the images with identities as spelled in the data, not canonical.

        A run trained on such names keeps them, and so the order of its classes.
        """
        made = self._like(self.frame.assign(identity=self._written))
        made._canonical = False
        return made

    def at_most(self, per_identity: int) -> "Manifest":
        """Return the first `per_identity` images of every identity, in order.

        Raises:
            DataError: An image has no identity, or no image is left.
        """
        self.require_identities(1)
        if per_identity < 1:
            raise DataError(f"at most {per_identity} images per identity leaves none")
        return self._like(self.frame.groupby("identity", sort=False).head(per_identity))

    def select(self, rows: np.ndarray) -> "Manifest":
        """Return the images at the given positions (int [K]) or of a mask (bool [N])."""
        return self._like(self.frame.iloc[rows])

    def locate(self, index: int) -> str:
        """Return the absolute path of an image; it can address an image inside a file."""
        return os.path.join(self._root, self._paths[index])  # noqa: PTH118  (3 us, Path takes 10)

    def require_identities(self, least: int = 2) -> "Manifest":
        """Return this manifest; raise DataError if it has too few identities or an image has
        none.
        """
        unknown_rows = self.frame["identity"].isna().to_numpy(bool)
        if unknown_rows.any():
            first = int(unknown_rows.argmax())
            raise DataError(
                f"{self.dataset}: {int(unknown_rows.sum()):,} of {len(self):,} images have no "
                f"identity, first in row {first + 1} ({self.frame['path'].iloc[first]}): add "
                "them in a column 'identity', or use a folder per identity (to enroll images of "
                "one person: --person ID, people=ID)"
                + nearest("identity", [str(name) for name in self.frame if name != "identity"])
            )
        names = self.identities
        if len(names) < least:
            people = "1 identity" if len(names) == 1 else f"{len(names)} identities"
            raise DataError(
                f"{self.dataset} has {people} ({shortened(names)}); at least {least} are needed"
            )
        return self

    def check_files(self) -> "Manifest":
        """Return this manifest; raise DataError if image files are missing."""
        located = (self.locate(index) for index in range(len(self)))
        files = dict.fromkeys(file_of(path) for path in located)
        missing = [file for file in files if not Path(file).is_file()]
        if missing:
            count = "1 image file is" if len(missing) == 1 else f"{len(missing)} image files are"
            raise DataError(f"{self.dataset}: {count} missing: {shortened(missing, most=3)}")
        return self

    def _like(self, frame: pd.DataFrame) -> "Manifest":
        """Return a manifest of rows of this one, checked only for being non-empty."""
        made = copy(self)
        made.__dict__.pop("identities", None)
        made._written = self._written.loc[frame.index].reset_index(drop=True)
        made._hold(check_table(frame, (), f"manifest '{self.dataset}'"))
        return made


def _known(frame: pd.DataFrame) -> "pd.Series[str]":
    """Return the column of identities, None if unknown (also for an empty cell)."""
    if "identity" not in frame:
        return pd.Series([None] * len(frame), index=frame.index, dtype=object)
    column = frame["identity"]
    empty = column.isna() | (column.str.strip() == "")
    return column.mask(empty.astype(bool), None) if empty.any() else column


def _is_number(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column)
