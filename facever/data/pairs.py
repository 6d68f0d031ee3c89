"""Pair lists: pairs of images to compare, and whether they show the same person."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.core.files import read_regular
from facever.core.text import canonical_column
from facever.data.readers import cfp, verification_bin
from facever.data.readers.lfw import image_path
from facever.data.tables import check_table, is_table, read_table, typed, write_table
from facever.data.template_pairs import TemplatePairs, is_template_pairs, read_template_pairs
from facever.errors import DataError

_OPTIONAL = ("fold", "identity_a", "identity_b")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


class PairList:
    """Trials of a 1:1 comparison.

    Args:
        frame: One row per pair: `a` and `b` (paths as in the manifest), `same` (bool or 0/1), and
            optionally `fold` (an integer from 0), `identity_a` and `identity_b`.
        name: Name of the list for errors.
        repeats: Whether a pair may occur twice, as in some official lists.

    Attributes:
        templates: Whether `a` and `b` are names of templates, not of images.

    Raises:
        DataError: A column is missing, there are no rows, or a value is empty or not allowed.
    """

    def __init__(self, frame: pd.DataFrame, name: str = "pairs", *, repeats: bool = False) -> None:
        optional = [column for column in _OPTIONAL if column in frame]
        folds = "fold" in optional
        frame = typed(check_table(frame, ["a", "b", "same", *optional], name), name)
        for people in {"identity_a", "identity_b"} & set(optional):
            frame[people] = canonical_column(frame[people])
        truth = frame["same"].str.lower().map(_TRUTH)
        if truth.isna().any():
            wrong = frame["same"][truth.isna()].iloc[0]
            raise DataError(f"{name}: 'same' is {wrong!r} (allowed: 1, 0, true, false)")
        frame["same"] = truth.astype(bool)
        fold = frame["fold"] if folds else pd.Series([0])
        if not pd.api.types.is_integer_dtype(fold) or fold.min() < 0:
            raise DataError(f"{name}: 'fold' must hold whole numbers from 0")
        self.frame, self.name, self.repeats, self.templates = frame, name, repeats, False

    @classmethod
    def of_templates(cls, pairs: TemplatePairs, name: str = "pairs") -> "PairList":
        """Return the pairs of IJB's list; its columns `a` and `b` are categories of names."""
        made = cls.__new__(cls)
        sides = {
            column: pd.Categorical.from_codes(codes, pd.Index(pairs.names))
            for column, codes in (("a", pairs.a), ("b", pairs.b))
        }
        made.frame = pd.DataFrame({**sides, "same": pairs.same})
        made.name, made.repeats, made.templates = name, True, True
        return made

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def same(self) -> np.ndarray:
        """Whether each pair is genuine, bool [M]."""
        return self.frame["same"].to_numpy(bool)

    def coded(self) -> tuple[list[str], npt.NDArray[np.integer], npt.NDArray[np.integer]]:
        """Return the distinct names, and the positions of each pair's two among them, [M] each."""
        first, second = self.frame["a"], self.frame["b"]
        if isinstance(first.dtype, pd.CategoricalDtype):
            names = first.cat.categories.tolist()
            return names, first.cat.codes.to_numpy(), second.cat.codes.to_numpy()
        both, found = pd.factorize(pd.concat([first, second]))
        return found.tolist(), both[: len(first)], both[len(first) :]

    def save(self, path: str | Path) -> None:
        """Write the pairs to a .csv or .parquet file, atomically."""
        write_table(self.frame, path)


def read_pairs(path: str | Path) -> PairList:
    """Read a pair list.

    One of: a .csv or .parquet table with columns a, b, same and, where there are folds, fold; one
    of LFW's lists, View 1 ("500", then 500 genuine and 500 impostor pairs) or View 2 ("10 300",
    ten times 300 and 300), with tabs between the fields or else spaces; a folder of CFP's folds,
    `Protocol/Split/FP` or `FF`; a verification set of insightface (`lfw.bin`); IJB's list of
    template pairs (`ijbc_template_pair_label.txt`, recognised by its first line). Images and
    templates are named as in the manifests of the readers of these sets.

    Raises:
        DataError: There is no such file, or it is not complete in one of these formats.
    """
    path = Path(path)
    if is_table(path):
        return PairList(read_table(path), str(path))
    if path.is_dir():
        return PairList(cfp.read_folds(path), str(path), repeats=True)
    if path.is_file() and path.suffix == verification_bin.SUFFIX:
        return PairList(verification_bin.read_bin_pairs(path), str(path), repeats=True)
    if not path.is_file():
        raise DataError(f"no pair list at {path}")
    if is_template_pairs(path):
        return PairList.of_templates(read_template_pairs(path), str(path))
    return PairList(_read_lfw(path), str(path))


def _read_lfw(path: Path) -> pd.DataFrame:
    first, *lines = read_regular(path).decode(errors="replace").splitlines() or [""]
    header = first.split()
    if len(header) not in (1, 2) or not all(word.isdigit() for word in header):
        raise DataError(
            f"{path} is neither a .csv or .parquet table nor a pair list of LFW (first line '500' "
            "or '10 300') or of IJB (first line '1 11065 1': two templates, and 1 or 0)"
        )
    folds, each = int(header[0]) if len(header) == 2 else 1, int(header[-1])
    rows = [_fields(line) for line in lines if line.strip()]
    if len(rows) != 2 * folds * each:
        raise DataError(f"{path} declares {2 * folds * each} pairs but contains {len(rows)}")
    pairs = [_lfw_pair(row, index // each % 2 == 0, path) for index, row in enumerate(rows)]
    frame = pd.DataFrame(pairs, columns=["a", "b", "same", "identity_a", "identity_b"])
    if len(header) == 2:
        frame["fold"] = np.arange(len(frame)) // (2 * each)
    return frame


def _fields(line: str) -> list[str]:
    """Return the fields of a line; if separated by tabs, names may contain spaces."""
    return [field.strip() for field in line.strip().split("\t")] if "\t" in line else line.split()


def _lfw_pair(row: list[str], same: bool, path: Path) -> tuple[str, str, bool, str, str]:
    """Read "Name 1 4" for a genuine pair, "Name 1 Other 2" for an impostor pair."""
    numbers = (row[1:2] + row[-1:]) if len(row) == (3 if same else 4) else []
    if not numbers or not all(number.isdigit() for number in numbers):
        wanted = "<Name> <number> <number>" if same else "<Name> <number> <Name> <number>"
        raise DataError(f"{path}: expected '{wanted}', found '{' '.join(row)}'")
    first, second = row[0], row[0] if same else row[2]
    i, j = map(int, numbers)
    return image_path(first, i), image_path(second, j), same, first, second
