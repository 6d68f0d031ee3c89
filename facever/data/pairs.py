"""Pair lists: pairs of images to compare, and whether they show the same person."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.core.text import canonical_column
from facever.data.pair_texts import read_text_pairs
from facever.data.readers import agedb, cfp, verification_bin
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

    One of:

    - a .csv or .parquet table with columns a, b, same and, where there are folds, fold;
    - one of LFW's lists (XQLFW has its form), View 1 ("500", then 500 genuine and 500 impostor
      pairs) or View 2 ("10 300", ten times 300 and 300), with tabs between the fields or else
      spaces;
    - a list of CALFW or CPLFW: two lines "Ada_0001.jpg 3" for each pair, with the fold or 1 if it
      is genuine and 0 if not;
    - lines of two images and a label (1; 0 or -1), as AgeDB-30's lists;
    - a protocol of AgeDB, `04_FINAL_protocol_30_years.mat`;
    - a folder of CFP's folds, `Protocol/Split/FP` or `FF`;
    - a verification set of insightface (`lfw.bin`);
    - IJB's list of template pairs (`ijbc_template_pair_label.txt`, recognised by its first line).

    Images and templates are named as in the manifests of the readers of these sets, or images by
    their file names.

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
    if path.suffix == ".mat":
        return PairList(agedb.read_protocol(path), str(path), repeats=True)
    if is_template_pairs(path):
        return PairList.of_templates(read_template_pairs(path), str(path))
    frame, repeats = read_text_pairs(path)
    return PairList(frame, str(path), repeats=repeats)
