"""All pairs of one or two embedding sets: trials, and the cost of failures to acquire."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from facever.core.console import warn
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.failures import Failures
from facever.evaluation.inputs import check_column, vectors_for
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.pairwise import AllPairs, count_trials, exclusion_codes
from facever.evaluation.scoring.similarity import Floats, Ints, make_scorer


def all_pairs(
    sides: Sequence[EmbeddingSet],
    similarity: str,
    exclude: Sequence[str] = (),
    cohort: Cohort | None = None,
) -> tuple[AllPairs, Failures]:
    """Return all pairs of acquired rows, and the cost of failures to acquire.

    Args:
        sides: One or two sets. With two, each row of the first is compared with each row of the
            second only.
        similarity: "cosine", "euclidean" or "dot".
        exclude: Columns of the rows; pairs with equal values in any of them are not trials.
        cohort: Other people for score normalisation; for one set only.

    Raises:
        EvaluationError: The cohort shares people with the rows or is combined with a second set, or
            a column to exclude by is missing or removes every trial of a class.
    """
    where = [np.flatnonzero(side.acquired) for side in sides]
    held = [
        vectors if len(rows) == len(vectors) else vectors[rows]
        for rows, vectors in zip(where, _vectors(sides, similarity), strict=True)
    ]
    second = len(sides) > 1
    scorer = make_scorer(held[0], similarity, others=held[1] if second else None)
    if cohort is not None:
        if second:
            raise EvaluationError(
                "score normalisation supports one set only: omit the cohort or the second set"
            )
        cohort.check(sides[0].identities)
        scorer = cohort.normalise(scorer, held[0], similarity)
    codes, excluded = _codes(sides, exclude)
    kept = [code[rows] for code, rows in zip(codes, where, strict=True)]
    left_out = [code[rows] for code, rows in zip(excluded, where, strict=True)]
    pairs = AllPairs(
        scorer,
        kept[0],
        kept[1] if second else None,
        excluded=left_out[0],
        other_excluded=left_out[1] if second else None,
        numbers=where[0],
        other_numbers=where[1] if second else None,
    )
    _check_left(pairs, kept, exclude)
    _doubt_columns(sides, exclude)
    genuine, impostor = _count(codes, excluded)
    images = sum(map(len, sides))
    return pairs, Failures(
        images=images,
        failed=images - sum(map(len, where)),
        genuine=genuine - pairs.genuine,
        impostor=impostor - pairs.impostor,
    )


def share_with(
    people: Iterable[str], sides: Sequence[EmbeddingSet], exclude: Sequence[str] = ()
) -> float:
    """Return the share of the trials of all pairs with at least one of these people."""
    codes, excluded = _codes(sides, exclude)
    named = people_column(list(people)).tolist()
    clean = [side.acquired & ~np.isin(side.identities, named) for side in sides]
    every, untouched = (
        sum(
            _count(
                [code[rows] for code, rows in zip(codes, chosen, strict=True)],
                [code[rows] for code, rows in zip(excluded, chosen, strict=True)],
            )
        )
        for chosen in ([side.acquired for side in sides], clean)
    )
    return 1 - untouched / every


def _vectors(sides: Sequence[EmbeddingSet], similarity: str) -> Iterator[Floats]:
    """Yield the vectors of each set in the form for comparison."""
    for side in sides:
        yield np.asarray(vectors_for(side, similarity), np.float32)


def _codes(sides: Sequence[EmbeddingSet], exclude: Sequence[str]) -> tuple[list[Ints], list[Ints]]:
    """Return the codes of people and of columns to exclude by, common to both sides."""
    for side in sides:
        for name in exclude:
            check_column(side, name)
    ends = np.cumsum([len(side) for side in sides])[:-1]
    people = np.concatenate([side.identities for side in sides])
    columns = [
        pd.concat([comparable_column(side.rows[name]) for side in sides], ignore_index=True)
        for name in exclude
    ]
    codes = pd.factorize(people)[0].astype(np.int64)
    return np.split(codes, ends), np.split(exclusion_codes(columns, len(people)), ends)


def _doubt_columns(sides: Sequence[EmbeddingSet], exclude: Sequence[str]) -> None:
    """Warn of columns to exclude by that have no common value in two sets, such as 01 and 1."""
    for name in exclude if len(sides) > 1 else ():
        one, two = (sorted(set(comparable_column(side.rows[name]).dropna())) for side in sides)
        if one and two and not set(one) & set(two):
            warn(
                f"excluding by {name} removes no trial: the two sets have no value of it in "
                f"common ({one[0]}, ... and {two[0]}, ...); use the same values in both"
            )


def _check_left(pairs: AllPairs, codes: list[Ints], columns: Sequence[str]) -> None:
    """Raise if the columns to exclude by remove every trial of a class."""
    without = [np.empty((len(code), 0), np.int64) for code in codes]
    for kind, left, before in zip(
        ("genuine", "impostor"),
        (pairs.genuine, pairs.impostor),
        _count(codes, without),
        strict=True,
    ):
        if before and not left:
            raise EvaluationError(
                f"no {kind} trials: all {before:,} agree in a column to exclude by "
                f"({', '.join(columns)}) and were removed: exclude by fewer columns"
            )


def _count(codes: list[Ints], excluded: list[Ints]) -> tuple[int, int]:
    others = (codes[1], excluded[1]) if len(codes) > 1 else ()
    return count_trials(codes[0], excluded[0], *others)
