from itertools import combinations

import numpy as np
import pytest

from facever.core.seeding import stream as random_stream
from facever.evaluation.inputs import as_set
from facever.evaluation.one_to_one.suspects import find_suspects
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.scoring import streaming
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import ListedTrials

PEOPLE, SHOTS = 30, 5
MISNAMED, TWIN = 7, (20, 21)  # a row with another's name; one person under two names


@pytest.fixture
def mislabelled() -> tuple[np.ndarray, np.ndarray]:
    random = random_stream(1, "suspects")
    who = np.repeat(np.arange(PEOPLE), SHOTS)
    who[who == TWIN[1]] = TWIN[0]
    centres = random.normal(size=(PEOPLE, 32))
    vectors = centres[who] + 0.5 * random.normal(size=(len(who), 32))
    vectors[MISNAMED] = -centres[who[MISNAMED]]
    names = np.repeat(np.arange(PEOPLE), SHOTS)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), names


def trials_of(vectors: np.ndarray, names: np.ndarray, wanted: int = 10**6) -> object:
    pairs, _ = all_pairs([as_set(vectors, names)], "cosine")
    return stream(pairs, wanted)


def test_names_that_the_scores_contradict(mislabelled: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, names = mislabelled
    found = find_suspects(trials_of(vectors, names))
    assert [row for row, _ in found.strays] == [MISNAMED]
    assert found.stray_count == 1
    scores = vectors @ vectors.T
    pairs = list(combinations(range(len(names)), 2))
    genuine = [scores[a, b] for a, b in pairs if names[a] == names[b]]
    impostor = [scores[a, b] for a, b in pairs if names[a] != names[b]]
    assert found.genuine_median == pytest.approx(np.median(genuine), abs=1e-6)
    assert found.impostor_median == pytest.approx(np.median(impostor), abs=2e-3)
    assert found.alike == sum(score > np.median(genuine) for score in impostor)
    assert [{names[a], names[b]} for a, b, _ in found.alike_pairs] == [set(TWIN)]
    best = max(scores[a, b] for a, b in pairs if (names[a], names[b]) == TWIN)
    assert found.alike_pairs[0][2] == pytest.approx(best, abs=1e-6)
    own = max(scores[MISNAMED, row] for row in range(5, 10) if row != MISNAMED)
    assert found.strays[0][1] == pytest.approx(own, abs=1e-6)


def test_no_suspects_among_clean_names() -> None:
    vectors = np.repeat(np.eye(8, dtype=np.float32), 2, axis=0)
    found = find_suspects(trials_of(vectors, np.repeat(np.arange(8), 2)))
    assert (found.alike, found.alike_pairs, found.stray_count) == (0, [], 0)


def test_counted_by_bins_where_few_scores_are_kept(
    mislabelled: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "WHOLE", 10)
    whole, kept = (find_suspects(trials_of(*mislabelled, wanted)) for wanted in (10**6, 3))
    assert kept.alike == pytest.approx(whole.alike, abs=3)
    assert kept.strays == whole.strays
    assert kept.alike_pairs == whole.alike_pairs[:1]


def test_listed_trials_without_people() -> None:
    scores = np.array([0.9, 0.8, 0.1, 0.95, 0.85, 0.2, 0.3])
    same = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    found = find_suspects(ListedTrials(scores, same))
    assert found.alike == 2
    assert [row for row, _, _ in found.alike_pairs] == [3, 4]
    assert [row for row, _ in found.strays] == [2]


def test_of_two_sets_no_row_strays(mislabelled: tuple[np.ndarray, np.ndarray]) -> None:
    found = find_suspects(trials_of(*mislabelled), one_set=False)
    assert found.stray_count is None
    assert found.to_dict()["strays"] is None
    assert found.to_dict()["alike_pairs"]
