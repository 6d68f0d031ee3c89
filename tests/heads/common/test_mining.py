"""Miners against loops over all triplets of a batch."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from facever.core.seeding import stream
from facever.heads.common.mining import (
    Miner,
    Triplets,
    all_triplets,
    batch_hard,
    distance_weighted,
    random_negatives,
    semi_hard,
    without_partner,
)

LABELS = [
    [0, 6, 2, 2, 6, 2],
    [1, 1, 1, 0],
    [3, 3],  # nobody else
    [0, 1, 2],  # nobody twice
    [2, 2, 0, 0, 1, 1, 1, 2, 5],
]


def setting(labels: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(len(labels), 3, generator=draw, dtype=torch.float64)
    return torch.cdist(x, x), torch.tensor(labels)


class Always:
    """A generator that draws one number again and again."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self, size: int) -> np.ndarray:
        return np.full(size, self.number)


def as_set(triplets: Triplets) -> set[tuple[int, int, int]]:
    found = list(zip(*(index.tolist() for index in triplets), strict=True))
    assert len(found) == len(set(found))
    return set(found)


def pairs(labels: list[int]) -> list[tuple[int, int]]:
    n = range(len(labels))
    return [(a, p) for a in n for p in n if a != p and labels[a] == labels[p]]


def others(labels: list[int], a: int) -> list[int]:
    return [n for n in range(len(labels)) if labels[n] != labels[a]]


@pytest.mark.parametrize("labels", LABELS)
def test_all(labels):
    wanted = {(a, p, n) for a, p in pairs(labels) for n in others(labels, a)}
    assert as_set(all_triplets(torch.tensor(labels))) == wanted


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("margin", [0.6, math.inf])
def test_semi_hard(labels, margin):
    d, y = setting(labels)
    wanted = set()
    for a, p in pairs(labels):
        band = [n for n in others(labels, a) if d[a, p] < d[a, n] < d[a, p] + margin]
        if band:
            wanted.add((a, p, min(band, key=lambda n: d[a, n])))
    assert as_set(semi_hard(d, y, margin)) == wanted


def test_semi_hard_leaves_out_the_ends_of_its_band():
    d = torch.tensor([[0, 1, 1, 1.5, 1.25], [1, 0, 9, 9, 9], *[[9] * 5] * 3]).float()
    labels = torch.tensor([0, 0, 1, 2, 3])
    assert as_set(semi_hard(d, labels, 0.5)) == {(0, 1, 4)}
    assert as_set(semi_hard(d, labels, 0.25)) == set()


@pytest.mark.parametrize("labels", LABELS)
def test_batch_hard(labels):
    d, y = setting(labels)
    wanted = set()
    for a in range(len(labels)):
        own, wrong = [p for b, p in pairs(labels) if b == a], others(labels, a)
        if own and wrong:
            nearest = min(wrong, key=lambda n: d[a, n])
            wanted.add((a, max(own, key=lambda p: d[a, p]), nearest))
    assert as_set(batch_hard(d, y)) == wanted


@pytest.mark.parametrize("labels", LABELS)
def test_the_dropped_anchors_are_those_without_positive_or_negative(labels):
    positives = {a for a, _ in pairs(labels)}
    usable = [a for a in positives if others(labels, a)]
    assert without_partner(torch.tensor(labels)).item() == len(labels) - len(usable)
    assert set(all_triplets(torch.tensor(labels)).anchor.tolist()) == set(usable)


def test_distance_weighted_draws_by_the_inverse_density():
    n, draws = 6, 1000
    to_negatives = [0.3, 0.5, 0.9, 1.3, 1.45]  # the first weighs as the second, the last nothing
    d = torch.zeros(7, 7)
    d[0, 1:] = torch.tensor([0.7, *to_negatives])
    d = d + d.T
    labels = torch.tensor([0, 0, 1, 2, 3, 4, 5])
    weights = [
        0 if x >= 1.4 else 1 / (x ** (n - 2) * (1 - x * x / 4) ** ((n - 3) / 2))
        for x in (max(0.5, x) for x in to_negatives)
    ]
    counts = Counter(
        negative
        for i in range(draws)
        for a, _, negative in as_set(distance_weighted(d, labels, n, Always((i + 0.5) / draws)))
        if a == 0
    )
    for i, weight in enumerate(weights):
        assert counts[i + 2] / draws == pytest.approx(weight / sum(weights), abs=1.5 / draws)
    assert counts[6] == 0


def test_a_draw_of_0_is_a_negative_too():
    d, labels = setting([0, 0, 1, 2, 1])
    for a, p, n in as_set(distance_weighted(d / d.max(), labels, 3, Always(0.0))):
        assert labels[a] == labels[p] != labels[n]


def test_an_anchor_with_far_negatives_only_draws_from_all_alike():
    d = torch.full((4, 4), 1.5).fill_diagonal_(0)
    d[0, 3] = 2.0  # opposite
    labels, random = torch.tensor([0, 0, 1, 2]), np.random.default_rng(0)
    drawn = [distance_weighted(d, labels, 512, random).negative[0].item() for _ in range(400)]
    assert set(drawn) == {2, 3}
    assert np.mean(np.array(drawn) == 3) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("labels", LABELS)
def test_distance_weighted_takes_every_positive_pair_once(labels):
    d, y = setting(labels)
    unit = d / d.max()
    found = as_set(distance_weighted(unit, y, 512, np.random.default_rng(0)))
    wanted = [(a, p) for a, p in pairs(labels) if others(labels, a)]
    assert sorted((a, p) for a, p, _ in found) == wanted
    assert all(labels[a] != labels[n] for a, _, n in found)


def test_a_miner_repeats_its_draws_after_a_resume_and_within_a_step():
    labels = torch.arange(40) // 2
    x = torch.nn.functional.normalize(
        torch.randn(40, 8, generator=torch.Generator().manual_seed(2))
    )
    d = torch.cdist(x, x).square()
    torch.manual_seed(1)
    miner = Miner("distance_weighted", 8, squared=True)
    first = as_set(miner(d, labels))
    assert as_set(miner(d, labels)) == first
    miner.step_completed()
    second = as_set(miner(d, labels))
    assert second != first
    other = Miner("distance_weighted", 8, squared=True)
    assert as_set(other(d, labels)) != first  # another seed
    other.load_state_dict(miner.state_dict())
    assert as_set(other(d, labels)) == second
    seed, step = miner.seed_and_step.tolist()
    assert step == 1
    random = stream(seed, "distance-weighted", 1)
    assert as_set(distance_weighted(d.sqrt(), labels, 8, random)) == second


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999])
def test_random_negatives_take_the_drawn_one_of_all_others(labels, draw):
    wanted = {
        (a, p, others(labels, a)[int(draw * len(others(labels, a)))])
        for a, p in pairs(labels)
        if others(labels, a)
    }
    assert as_set(random_negatives(torch.tensor(labels), Always(draw))) == wanted


def test_a_miner_draws_random_negatives_of_its_seed_and_step():
    labels = torch.arange(40) // 2
    miner = Miner("random", 8)
    seed, _ = miner.seed_and_step.tolist()
    for step in range(2):
        wanted = as_set(random_negatives(labels, stream(seed, "random-negatives", step)))
        assert as_set(miner(torch.zeros(40, 40), labels)) == wanted
        miner.step_completed()


@pytest.mark.parametrize(
    ("mining", "function"),
    [
        ("all", lambda d, y: all_triplets(y)),
        ("semi_hard", lambda d, y: semi_hard(d, y, 0.6)),
        ("batch_hard", batch_hard),
    ],
)
def test_a_miner_is_its_function(mining, function):
    d, y = setting(LABELS[-1])
    miner = Miner(mining, 3, margin=0.6)
    assert as_set(miner(d, y)) == as_set(function(d, y))
    assert miner.state_dict() == {}
    miner.step_completed()
