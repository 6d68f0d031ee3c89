"""Figures in drawn populations, against explicit sums over pairs."""

import numpy as np
import pytest

from facever.evaluation.inputs import as_set
from facever.evaluation.one_to_one.populations import (
    accuracy_over_people,
    balanced_accuracy,
    tar_over_people,
)
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.statistics.intervals import dyadic_rate, weighted_sums, weights

PEOPLE, IMAGES, THRESHOLD = 12, 3, 0.25


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    who = np.repeat(np.arange(PEOPLE), IMAGES)
    vectors = random.normal(size=(PEOPLE, 6))[who] + random.normal(size=(len(who), 6))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), who


@pytest.fixture(scope="module")
def trials(data: tuple[np.ndarray, np.ndarray]) -> StreamedTrials:
    pairs, _ = all_pairs([as_set(*data)], "cosine")
    return StreamedTrials(pairs, 100)


def rates(vectors: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return accepts [I, I] of impostor pairs and of genuine pairs [I], counted one by one."""
    impostor, genuine = np.zeros((PEOPLE, PEOPLE)), np.zeros(PEOPLE)
    for i in range(len(who)):
        for j in range(i):
            accepted = float(vectors[i] @ vectors[j] > THRESHOLD)
            if who[i] == who[j]:
                genuine[who[i]] += accepted
            else:
                impostor[who[i], who[j]] += accepted
                impostor[who[j], who[i]] += accepted
    return impostor, genuine


def test_balanced_accuracy(trials: StreamedTrials, data: tuple[np.ndarray, np.ndarray]) -> None:
    impostor, genuine = rates(*data)
    far = impostor.sum() / 2 / trials.impostor
    expected = (genuine.sum() / trials.genuine + 1 - far) / 2
    assert balanced_accuracy(trials, THRESHOLD) == pytest.approx(expected)


def test_accuracy_over_people(trials: StreamedTrials, data: tuple[np.ndarray, np.ndarray]) -> None:
    impostor, genuine = rates(*data)
    drawn = weights(PEOPLE, 500, 7)
    tar = drawn @ genuine / (drawn @ np.full(PEOPLE, IMAGES * (IMAGES - 1) / 2))
    far = impostor.sum() / 2 / trials.impostor
    of_each = (impostor - far * IMAGES**2 * (1 - np.eye(PEOPLE))).sum(1)
    found = dyadic_rate(trials.error_sums(THRESHOLD), trials.dyads)
    of_each *= np.sqrt(found.variance) / np.linalg.norm(of_each)
    expected = (tar + 1 - (far + (drawn - 1) @ of_each)) / 2
    draws = accuracy_over_people(trials, THRESHOLD, draws=500, seed=7)
    assert draws == pytest.approx(expected)
    middle = balanced_accuracy(trials, THRESHOLD)
    assert draws.mean() == pytest.approx(middle, abs=4 * draws.std() / np.sqrt(500))


def test_draws_of_two_models_are_of_the_same_people(
    trials: StreamedTrials, data: tuple[np.ndarray, np.ndarray]
) -> None:
    again, _ = all_pairs([as_set(*data)], "euclidean")  # the same order of scores
    other = StreamedTrials(again, 100)
    assert tar_over_people(trials, 0.1) == pytest.approx(tar_over_people(other, 0.1))
    assert not np.allclose(tar_over_people(trials, 0.1), tar_over_people(trials, 0.1, seed=1))


def test_weighted_sums_are_what_the_draw_changes() -> None:
    values = np.arange(5.0)
    drawn = weights(5, 20, 3)
    assert weighted_sums(values, draws=20, seed=3) == pytest.approx(drawn @ values - values.sum())
