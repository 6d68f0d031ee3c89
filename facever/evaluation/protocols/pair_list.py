"""Pair lists: each trial found in an embedding set and scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.one_to_one.result import Failures
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints, make_scorer
from facever.evaluation.scoring.trials import ListedTrials
from facever.vectors.embedding_set import EmbeddingSet


@dataclass(frozen=True)
class ScoredPairs:
    """The trials of a pair list whose images could all be embedded.

    Attributes:
        scores: float32 [T].
        same: Bool [T].
        a, b: int64 [T], rows of the embedding set.
        folds: int64 [T], or None where the list has none.
        codes: int64 [T] each, the two people of each trial by number.
        people: Everyone in the list, scored or not.
        failures: Images and trials that failed to be acquired.
    """

    scores: Floats
    same: Bools
    a: Ints
    b: Ints
    folds: Ints | None
    codes: tuple[Ints, Ints]
    people: npt.NDArray[np.str_]
    failures: Failures

    @property
    def trials(self) -> ListedTrials:
        """The trials, for counting."""
        return ListedTrials(self.scores, self.same, (self.a, self.b), self.codes)


def score_pairs(embeddings: EmbeddingSet, pairs: PairList, similarity: str) -> ScoredPairs:
    """Score the pairs of a list.

    Images are found by their path as it stands in the rows, or else by its last two parts without
    the suffix ("Ada/Ada_0001"), where these name one row only.

    Raises:
        EvaluationError: An image that is in no row, a pair that stands twice in the list or
            compares an image with itself, or one whose truth contradicts the identities.
    """
    frame = pairs.frame
    rows = find_rows(embeddings, [*frame["a"], *frame["b"]], pairs.name)
    a, b = rows[: len(frame)], rows[len(frame) :]
    same = frame["same"].to_numpy(bool)
    _check_pairs(embeddings, pairs, a, b, same)
    held = embeddings.acquired[a] & embeddings.acquired[b]
    index = np.flatnonzero(held)
    used, at = np.unique(np.concatenate([a[index], b[index]]), return_inverse=True)
    norms = embeddings.rows["norm"].to_numpy(np.float32)
    scorer = make_scorer(embeddings.vectors[used], similarity, norms[used])
    named = np.unique(rows)
    people = embeddings.identities
    codes = np.unique(people, return_inverse=True)[1].astype(np.int64)
    return ScoredPairs(
        scores=scorer.pairs(at[: len(index)], at[len(index) :]),
        same=same[index],
        a=a[index],
        b=b[index],
        folds=frame["fold"].to_numpy(np.int64)[index] if "fold" in frame else None,
        codes=(codes[a[index]], codes[b[index]]),
        people=np.unique(people[named]),
        failures=Failures(
            images=len(named),
            failed=int((~embeddings.acquired[named]).sum()),
            genuine=int((same & ~held).sum()),
            impostor=int((~same & ~held).sum()),
        ),
    )


def find_rows(embeddings: EmbeddingSet, paths: Sequence[str], where: str) -> Ints:
    """Return the row of each path, int64 [P].

    Raises:
        EvaluationError: The embedding set has no paths, or no row, or several rows, for one.
    """
    if "path" not in embeddings.rows:
        raise EvaluationError("the embedding set has no column 'path' to find the pairs' images by")
    known = embeddings.rows["path"].astype(str)
    wanted = pd.Series(list(paths), dtype=str)
    rows = _look_up(known, wanted)
    if (rows == _NONE).any():
        loose = _look_up(known.map(_short), wanted.map(_short))
        rows = np.where(rows == _NONE, loose, rows)
    for problem, text in ((_NONE, "which has no row"), (_SEVERAL, "which has several rows")):
        wrong = wanted[rows == problem].unique()
        if len(wrong):
            more = f" (and {len(wrong) - 1} more such images)" if len(wrong) > 1 else ""
            raise EvaluationError(
                f"{where} names {wrong[0]}, {text} in the embedding set{more}: "
                "embed the whole data set"
            )
    return rows


_NONE, _SEVERAL = -1, -2


def _look_up(known: "pd.Series[str]", wanted: "pd.Series[str]") -> Ints:
    """Return the position of each wanted name, _NONE or _SEVERAL."""
    first = pd.Series(np.arange(len(known)), index=known)
    twice = first.index.duplicated(keep=False)
    single = first[~twice]
    rows = wanted.map(single).fillna(_NONE).to_numpy(np.int64)
    return np.where(wanted.isin(first.index[twice]), _SEVERAL, rows)


def _short(path: str) -> str:
    """Return the last two parts of a path without the suffix."""
    pure = PurePath(path.replace("\\", "/"))
    return f"{pure.parent.name}/{pure.stem}"


def _check_pairs(embeddings: EmbeddingSet, pairs: PairList, a: Ints, b: Ints, same: Bools) -> None:
    ordered = pd.DataFrame({"low": np.minimum(a, b), "high": np.maximum(a, b)})
    people = embeddings.identities
    problems = (
        (ordered.duplicated().to_numpy(), "stands in the list twice"),
        (a == b, "compares an image with itself"),
        (same & (people[a] != people[b]), "is called the same person but shows two identities"),
        (~same & (people[a] == people[b]), "is called different people but shows one identity"),
    )
    for wrong, text in problems:
        if wrong.any():
            row = pairs.frame.iloc[int(wrong.argmax())]
            raise EvaluationError(
                f"{pairs.name}: the pair {row['a']}, {row['b']} {text} "
                f"({int(wrong.sum())} such pairs)"
            )
