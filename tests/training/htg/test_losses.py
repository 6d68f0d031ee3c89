"""Each equation against a loop over triplets in NumPy."""

import math

import numpy as np
import pytest
import torch

from facever.core.seeding import stream
from facever.heads.common.mining import Triplets, all_triplets, batch_hard
from facever.training.htg import losses

IDENTITIES, SIZE = 4, 5
LABELS = np.array([0, 0, 1, 1, 1, 3])


def features(seed: int = 0) -> np.ndarray:
    return stream(seed, "features").standard_normal((len(LABELS), SIZE))


def logits(seed: int) -> np.ndarray:
    return 2 * stream(seed, "logits").standard_normal((len(LABELS), IDENTITIES + 1))


def d(x: np.ndarray, i: int, j: int) -> float:
    one, other = (x[k] / math.sqrt(sum(v * v for v in x[k]) + 1e-6) for k in (i, j))
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def mined(x: np.ndarray) -> tuple[Triplets, list[tuple[int, int, int]]]:
    triplets = batch_hard(losses.square_distances(torch.tensor(x)), torch.tensor(LABELS))
    return triplets, list(zip(*(index.tolist() for index in triplets), strict=True))


def surprise(z: np.ndarray, wanted: int) -> float:
    return math.log(sum(math.exp(v) for v in z)) - z[wanted]


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_equations_1_and_3(margin: float) -> None:
    x = features()
    triplets, rows = mined(x)
    wanted = np.mean([max(0.0, d(x, a, p) - d(x, a, n) + margin) for a, p, n in rows])
    found = losses.embedder_triplet(losses.square_distances(torch.tensor(x)), triplets, margin)
    assert found.item() == pytest.approx(wanted, rel=1e-12)
    assert wanted > 0


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_equation_2(margin: float) -> None:
    x = features(1)
    triplets, rows = mined(features(2))  # of other features: G's are not mined anew
    wanted = np.mean([max(0.0, d(x, a, n) - d(x, a, p) + margin) for a, p, n in rows])
    found = losses.generator_triplet(losses.square_distances(torch.tensor(x)), triplets, margin)
    assert found.item() == pytest.approx(wanted, rel=1e-12)
    assert wanted > 0


def test_equation_4() -> None:
    real, fake, beta = logits(0), logits(1), 0.3
    triplets, rows = mined(features())
    places = [place for row in rows for place in row]
    wanted = np.mean([surprise(real[i], LABELS[i]) for i in places])
    wanted += beta * np.mean([surprise(fake[i], IDENTITIES) for i in places])
    shares = losses.shares(triplets, len(LABELS), torch.float64)
    found = losses.discriminator_loss(
        torch.tensor(real), torch.tensor(fake), torch.tensor(LABELS), shares, beta
    )
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_equation_5() -> None:
    fake = logits(2)
    triplets, rows = mined(features())
    places = [place for row in rows for place in row]
    wanted = np.mean([surprise(fake[i], LABELS[i]) for i in places])
    shares = losses.shares(triplets, len(LABELS), torch.float64)
    found = losses.cross_entropy(torch.tensor(fake), torch.tensor(LABELS), shares)
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_the_sums_of_generator_and_embedder() -> None:
    one, other = torch.tensor(2.0), torch.tensor(3.0)
    assert losses.generator_loss(one, other, 0.5).item() == 3.5
    assert losses.generator_loss(one, None, 0.5).item() == 2.0
    assert losses.embedder_loss(one, other, 0.1).item() == pytest.approx(2.3)  # equation 6


def test_shares_count_every_place() -> None:
    triplets = Triplets(*(torch.tensor(part) for part in ([0, 0], [1, 1], [3, 2])))
    assert losses.shares(triplets, 5).tolist() == pytest.approx([2 / 6, 2 / 6, 1 / 6, 1 / 6, 0])


def test_margins_are_distances_to_negatives_less_those_to_positives() -> None:
    between = torch.tensor([[0.0, 1.0, 4.0], [1.0, 0.0, 2.5], [4.0, 2.5, 0.0]])
    triplets = Triplets(*(torch.tensor(part) for part in ([0, 1], [1, 0], [2, 2])))
    assert losses.margins(between, triplets).tolist() == [3.0, 1.5]


def test_without_triplets_all_losses_are_0_and_have_gradients() -> None:
    x = torch.tensor(features(), requires_grad=True)
    none = Triplets(*(torch.empty(0, dtype=torch.int64) for _ in range(3)))
    between = losses.square_distances(x)
    shares = losses.shares(none, len(LABELS), torch.float64)
    total = losses.embedder_triplet(between, none, 0.2) + losses.generator_triplet(between, none, 1)
    total = total + losses.cross_entropy(x, torch.tensor(LABELS), shares)
    assert total.item() == 0
    total.backward()
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("loss", [losses.embedder_triplet, losses.generator_triplet])
def test_gradients_of_the_triplet_losses(loss) -> None:
    triplets = all_triplets(torch.tensor(LABELS))
    x = torch.tensor(features(), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss(losses.square_distances(x), triplets, 0.3), (x,))


def test_gradients_of_the_classification_losses() -> None:
    labels = torch.tensor(LABELS)
    shares = losses.shares(all_triplets(labels), len(labels), torch.float64)
    given = [torch.tensor(logits(seed), requires_grad=True) for seed in (3, 4)]
    assert torch.autograd.gradcheck(
        lambda real, fake: losses.discriminator_loss(real, fake, labels, shares, 0.7), given
    )
