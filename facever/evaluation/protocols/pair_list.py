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


@dataclass(frozen=True)
class ScoredPairs:
    """The trials of a pair list whose images could all be embedded.

    Attributes:
        scores: float32 [T].
        same: Bool [T].
        a, b: int64 [T], rows of the embedding set.
        folds: int64 [T]; None if the list has no folds.
        codes: int64 [T] each, the two people of each trial by number.
        people: Everyone in the list, scored or not.
        failures: Failures to acquire, in images and trials.
        repeated: Number of repeated pairs, in either order.
    """

    scores: Floats
    same: Bools
    a: Ints
    b: Ints
    folds: Ints | None
    codes: tuple[Ints, Ints]
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
    people = people_column(embeddings.identities).to_numpy().astype(str)
    if cohort is not None:
        cohort.check(people[named])
        scorer = cohort.normalise(scorer, embeddings.vectors[used], similarity, norms[used])
    whom = np.unique(people[np.concatenate([a[index], b[index]])], return_inverse=True)[1]
    return ScoredPairs(
        scores=scorer.pairs(at[: len(index)], at[len(index) :]),
        same=same[index],
        a=a[index],
        b=b[index],
        folds=frame["fold"].to_numpy(np.int64)[index] if "fold" in frame else None,
        codes=(whom[: len(index)], whom[len(index) :]),
        people=np.unique(people[named]),
        failures=Failures(
            images=len(named),
            failed=int((~embeddings.acquired[named]).sum()),
            genuine=int((same & ~held).sum()),
            impostor=int((~same & ~held).sum()),
        ),
        repeated=int(_repeated(a, b).sum()),
    )


def _check_pairs(embeddings: EmbeddingSet, pairs: PairList, a: Ints, b: Ints, same: Bools) -> None:
    people = people_column(embeddings.identities).to_numpy()
    problems = (
        (_repeated(a, b) & (not pairs.repeats), "is in the list twice"),
        (a == b, "compares an image with itself"),
        (same & (people[a] != people[b]), "is labelled as one person but has two identities"),
        (~same & (people[a] == people[b]), "is labelled as two people but has one identity"),
    )
    for wrong, text in problems:
        if wrong.any():
            row = pairs.frame.iloc[int(wrong.argmax())]
            raise EvaluationError(
                f"{pairs.name}: the pair {row['a']}, {row['b']} {text} "
                f"({int(wrong.sum())} such pairs)"
            )


def _repeated(a: Ints, b: Ints) -> Bools:
    """Return which pairs repeat an earlier pair, in either order, bool [T]."""
    ordered = pd.DataFrame({"low": np.minimum(a, b), "high": np.maximum(a, b)})
    return ordered.duplicated().to_numpy(bool)
