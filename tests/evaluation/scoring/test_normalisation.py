"""S-norm and adaptive S-norm against a slow loop over pairs."""

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import Cohort, verification
from facever.evaluation.inputs import as_set
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import Float32Blocks
from facever.evaluation.scoring.similarity import make_scorer
from tests.evaluation.oracles import half_way_above

ROWS, COHORT = 40, 30


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(ROWS + COHORT, people=14, seed=3)
    others = np.char.add("other-", names[ROWS:])
    return vectors[:ROWS], names[:ROWS], vectors[ROWS:], others


def score(a, b, similarity):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return -np.sum((a - b) ** 2) if similarity == "euclidean" else float(a @ b)


def slow(rows, cohort, similarity, top=None):
    """The definition, one pair at a time."""
    statistics = []
    for row in rows:
        scores = sorted(score(row, other, similarity) for other in cohort)[-(top or len(cohort)) :]
        mean = sum(scores) / len(scores)
        statistics.append((mean, np.sqrt(sum((s - mean) ** 2 for s in scores) / len(scores))))
    matrix = np.zeros((len(rows), len(rows)))
    for i, (mean_i, sd_i) in enumerate(statistics):
        for j, (mean_j, sd_j) in enumerate(statistics):
            s = score(rows[i], rows[j], similarity)
            matrix[i, j] = ((s - mean_i) / sd_i + (s - mean_j) / sd_j) / 2
    return matrix


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("top", [None, 7])
def test_pairs_and_blocks_are_those_of_the_loop(faces, similarity, top):
    rows, _, others, names = faces
    norms = other_norms = None
    scaled, scaled_others = rows, others
    if similarity != "cosine":
        norms = np.linspace(0.5, 3, ROWS, dtype=np.float32)
        other_norms = np.linspace(4, 1, COHORT, dtype=np.float32)
        scaled, scaled_others = rows * norms[:, None], others * other_norms[:, None]
    cohort = Cohort.of(others, names, norms=other_norms, top=top)
    scorer = cohort.normalise(make_scorer(rows, similarity, norms), rows, similarity, norms)
    expected = slow(scaled, scaled_others, similarity, top)
    i, j = (index.ravel() for index in np.indices((ROWS, ROWS)))
    assert scorer.pairs(i, j) == pytest.approx(expected.ravel(), rel=1e-4, abs=1e-4)
    whole = slice(0, ROWS)
    block = Float32Blocks(AllPairs(scorer, np.arange(ROWS))).product(whole, whole).ravel()
    exact = (scorer.left.astype(np.float64) @ scorer.right.astype(np.float64).T).ravel()
    assert np.abs(block - exact).max() <= scorer.error
    assert scorer.low <= exact.min() <= exact.max() <= scorer.high


def test_all_pairs_are_measured_on_normalised_scores(faces):
    rows, people, others, names = faces
    result = verification(rows, people, far=[0.05], cohort=Cohort.of(others, names, top=7))
    i, j = np.triu_indices(ROWS, 1)
    scores = slow(rows, others, "cosine", 7)[i, j]
    same = people[i] == people[j]
    assert (result.trials.genuine, result.trials.impostor) == (same.sum(), (~same).sum())
    threshold = np.sort(scores[~same])[::-1][int(0.05 * (~same).sum())]
    between = half_way_above(scores[~same], scores[same], int(0.05 * (~same).sum()))
    assert result.at(0.05).threshold == pytest.approx(between, rel=1e-5)
    assert result.at(0.05).tar == (scores[same] > threshold).mean()
    assert result.normalisation == (
        f"adaptive S-norm over the top 7 of 30 images of {len(np.unique(names))} other people"
    )
    assert result.to_dict()["normalisation"] == result.normalisation
    assert result.normalisation in result.to_text()


def test_normalised_scores_make_no_operating_point(faces):
    rows, people, others, names = faces
    result = verification(rows, people, far=[0.05], cohort=Cohort.of(others, names))
    assert result.normalisation.startswith("S-norm over 30 images")
    with pytest.raises(EvaluationError, match=r"^normalised scores give no operating point: "):
        result.operating_point(0.05)
    assert verification(rows, people, far=[0.05]).operating_point(0.05).kind == "1:1-image"


def test_a_failed_row_meets_no_cohort(faces):
    rows, people, others, names = faces
    broken = np.vstack([np.zeros((1, 8), np.float32), rows])
    held = np.arange(ROWS + 1) > 0
    sides = {"vectors": broken, "identity": ["x", *people], "acquired": held}, (rows, people)
    cohort = Cohort.of(others, names)
    with_failure, alone = (
        all_pairs([as_set(side)], "cosine", cohort=cohort)[0].scorer for side in sides
    )
    assert np.array_equal(with_failure.left, alone.left)


def test_a_cohort_of_the_same_people_is_refused(faces):
    rows, people, others, names = faces
    cohort = Cohort.of(others, [*names[:-2], people[0], people[0]])
    with pytest.raises(
        EvaluationError,
        match=rf"^the cohort shares 1 people with the trials, first {people[0]}: "
        "use a cohort of other people$",
    ):
        verification(rows, people, cohort=cohort)


@pytest.mark.parametrize("top", [1, 31])
def test_a_top_that_the_cohort_has_not_is_refused(faces, top):
    with pytest.raises(EvaluationError, match=f"^top {top} of a cohort of 30: give 2 to 30"):
        Cohort.of(faces[2], faces[3], top=top)


def test_bad_cohorts_are_one_line(faces):
    rows, people, others, names = faces
    with pytest.raises(
        EvaluationError, match=r"^a cohort must be a matrix \[K, D\] with K > 1, not of "
    ):
        Cohort.of(others[:1], names[:1])
    with pytest.raises(
        EvaluationError, match=r"^a cohort needs an identity \(and a norm\) for each"
    ):
        Cohort.of(others, names[:-1])
    with pytest.raises(EvaluationError, match=r"^the cohort contains NaN or infinity$"):
        Cohort.of(np.where(np.arange(8) == 3, np.nan, others), names)
    with pytest.raises(EvaluationError, match="vectors of width 8 and 7"):
        verification(rows, people, cohort=Cohort.of(np.eye(7), list("abcdefg")))
    with pytest.raises(EvaluationError, match=r"^vector 2 has length 2, not 1"):
        tripled = others * np.where(np.arange(COHORT) == 2, 2, 1)[:, None]
        verification(rows, people, cohort=Cohort.of(tripled, names))
    with pytest.raises(EvaluationError, match=r"^row 0 has the same score with the whole cohort"):
        verification(rows, people, cohort=Cohort.of(others[[0, 0, 0]], names[:3]))
