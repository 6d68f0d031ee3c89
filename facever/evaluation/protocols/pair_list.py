"""Pair lists: trials looked up in an embedding set and scored."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.columns import people_column
from facever.evaluation.failures import Failures
from facever.evaluation.inputs import find_rows
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints, make_scorer
from facever.evaluation.scoring.trials import ListedTrials

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ScoredPairs:
    """The trials of a pair list whose images could all be embedded.

    Attributes:
        scores: float32 [T].
        same: Bool [T].
        a, b: int32 [T], rows of the embedding set.
        folds: int64 [T]; None if the list has no folds.
        codes: int32 [T] each, the two people of each trial by number; None if an image in the list
            has no identity.
        people: Everyone in the list with a known identity, scored or not.
        failures: Failures to acquire, in images and trials.
        repeated: Number of repeated pairs, in either order.
    """

    scores: Floats
    same: Bools
    a: Codes
    b: Codes
    folds: Ints | None
    codes: tuple[Codes, Codes] | None
    people: npt.NDArray[np.str_]
    failures: Failures
    repeated: int = 0

    @property
    def trials(self) -> ListedTrials:
        """The pairs as trials."""
        return ListedTrials(self.scores, self.same, (self.a, self.b), self.codes)


def score_pairs(
    embeddings: EmbeddingSet, pairs: PairList, similarity: str, cohort: Cohort | None = None
) -> ScoredPairs:
    """Score the pairs of a list, of images or of templates; see `find_rows`.

    Args:
        embeddings: The rows.
        pairs: The pair list.
        similarity: "cosine", "euclidean" or "dot".
        cohort: Other people for score normalisation.

    Raises:
        EvaluationError: An image has no row, a pair compares an image with itself, is repeated (in
            either order, unless the official list has repetitions) or contradicts the identities,
            or the cohort shares people with the list.
    """
    names, *sides = pairs.coded()
    found = find_rows(embeddings, names, pairs.name).astype(np.int32)
    a, b = (found[side] for side in sides)
    same = pairs.same
    people, everyone = pd.factorize(people_column(embeddings.rows["identity"]), sort=True)
    repeated = _check_pairs(pairs, people.astype(np.int32), a, b)
    held = embeddings.acquired[a] & embeddings.acquired[b]
    failures = Failures(
        images=len(np.unique(found)),
        failed=int((~embeddings.acquired[np.unique(found)]).sum()),
        genuine=int((same & ~held).sum()),
        impostor=int((~same & ~held).sum()),
    )
    folds = pairs.frame["fold"].to_numpy(np.int64) if "fold" in pairs.frame else None
    if not held.all():
        a, b, same = a[held], b[held], same[held]
        folds = None if folds is None else folds[held]
    used, at = _places(len(embeddings), a, b)
    norms = embeddings.rows["norm"].to_numpy(np.float32)
    scorer = make_scorer(embeddings.vectors[used], similarity, norms[used])
    known = people[np.unique(found)]
    names_of = np.asarray(everyone, str)[np.unique(known[known >= 0])]
    if cohort is not None:
        cohort.check(names_of)
        scorer = cohort.normalise(scorer, embeddings.vectors[used], similarity, norms[used])
    whom = None
    if (known >= 0).all():
        numbers = np.unique(people[used], return_inverse=True)[1].astype(np.int32)
        whom = (numbers[at[a]], numbers[at[b]])
    return ScoredPairs(
        scores=scorer.pairs(at[a], at[b]),
        same=same,
        a=a,
        b=b,
        folds=folds,
        codes=whom,
        people=names_of,
        failures=failures,
        repeated=repeated,
    )


def _places(size: int, a: Codes, b: Codes) -> tuple[Ints, Codes]:
    """Return the rows that occur, ascending, and the position of each row among them [size]."""
    present = np.zeros(size, bool)
    present[a] = present[b] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1).astype(np.int32)


def _check_pairs(pairs: PairList, people: Codes, a: Codes, b: Codes) -> int:
    """Return the number of repeated pairs; raise if a pair is not a trial.

    Args:
        pairs: The list.
        people: int32 [N], the person of each row, -1 if unknown.
        a, b: int32 [M], the rows of the pairs.
    """
    repeated = _repeated(a, b)
    known = (people[a] >= 0) & (people[b] >= 0)
    one = people[a] == people[b]
    problems = (
        (repeated & (not pairs.repeats), "is in the list twice"),
        (a == b, "compares an image with itself"),
        (known & pairs.same & ~one, "is labelled as one person but has two identities"),
        (known & ~pairs.same & one, "is labelled as two people but has one identity"),
    )
    for wrong, text in problems:
        if wrong.any():
            row = pairs.frame.iloc[int(wrong.argmax())]
            what = text.replace("an image", "a template") if pairs.templates else text
            raise EvaluationError(
                f"{pairs.name}: the pair {row['a']}, {row['b']} {what} "
                f"({int(wrong.sum())} such pairs)"
            )
    return int(repeated.sum())


def _repeated(a: Codes, b: Codes) -> Bools:
    """Return which pairs repeat an earlier pair, in either order, bool [T]."""
    keys = np.minimum(a, b).astype(np.int64) << 32 | np.maximum(a, b)
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.zeros(len(a), bool)
    return pd.Series(keys).duplicated().to_numpy(bool)
