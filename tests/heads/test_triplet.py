import math

import numpy as np
import pytest
import torch

from facever.errors import ConfigError
from facever.heads import create_head


def mined(mining, d, labels, margin) -> list[tuple[float, float]]:
    """Distances to the positive and the negative of every mined triplet."""
    n, found = range(len(labels)), []
    for a in n:
        own = [d(a, p) for p in n if p != a and labels[p] == labels[a]]
        wrong = [d(a, k) for k in n if labels[k] != labels[a]]
        if mining == "batch_hard" and own:
            found.append((max(own), min(wrong)))
        for positive in own if mining != "batch_hard" else []:
            if mining == "all":
                found += [(positive, negative) for negative in wrong]
            else:
                band = [k for k in wrong if positive < k < positive + margin]
                found += [(positive, min(band))] if band else []
    return found


@pytest.mark.parametrize("mining", ["all", "semi_hard", "batch_hard"])
@pytest.mark.parametrize("distance", ["squared", "plain"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "active"])
def test_value(mining, distance, normalize, soft, reduction, make_head, agrees, distance_oracle):
    margin = 0.7 if normalize else 30.0
    seen = []

    def oracle(x, W, labels):
        assert W is None

        def d(i, j):
            return distance_oracle(x[i], x[j], distance == "squared", normalize)

        triplets = mined(mining, d, labels, math.inf if soft else margin)
        excess = [p - n + margin for p, n in triplets]
        losses = [math.log1p(math.exp(z)) if soft else max(0.0, z) for z in excess]
        counted = [
            loss for loss, z in zip(losses, excess, strict=True) if reduction == "mean" or z > 0
        ]
        seen.append(len(counted))
        return sum(counted) / max(1, len(counted))

    head = make_head(
        "triplet",
        margin=margin,
        mining=mining,
        distance=distance,
        normalize=normalize,
        soft_margin=soft,
        reduction=reduction,
    )
    agrees(head, oracle)
    assert seen[0] > 0
    assert head.metric == ("cosine" if normalize else "euclidean")


def test_distance_weighted_value_follows_the_drawn_triplets(make_head, batch, distance_oracle):
    head = make_head("triplet", mining="distance_weighted", margin=2.0, distance="plain")
    x, labels = batch
    triplets = head.miner(head.distances(x), labels)
    wanted = np.mean(
        [
            max(
                0,
                distance_oracle(x[a], x[p], False, True)
                - distance_oracle(x[a], x[n], False, True)
                + 2.0,
            )
            for a, p, n in zip(*(index.tolist() for index in triplets), strict=True)
        ]
    )
    assert len(triplets.anchor) == 8
    assert head(x, labels).loss.item() == pytest.approx(wanted, rel=1e-10)
    first = head(x, labels).loss
    for _ in range(5):
        head.step_completed()
    assert head(x, labels).loss != first


def test_distance_weighted_draws_by_the_plain_distance(make_head, batch):
    plain = make_head("triplet", mining="distance_weighted", distance="plain")
    squared = make_head("triplet", mining="distance_weighted", distance="squared")
    for _ in range(9):
        pairs = zip(
            plain.miner(plain.distances(batch[0]), batch[1]),
            squared.miner(squared.distances(batch[0]), batch[1]),
            strict=True,
        )
        assert all(torch.equal(a, b) for a, b in pairs)
        plain.step_completed()
        squared.step_completed()


def test_stats(make_head, batch, distance_oracle):
    x, labels = batch

    def d(i, j):
        return distance_oracle(x[i].numpy(), x[j].numpy(), False, True)

    triplets = mined("batch_hard", d, labels, 0.2)
    stats = make_head("triplet", mining="batch_hard")(*batch).stats
    assert {key: value.item() for key, value in stats.items()} == pytest.approx(
        {
            "positive_distance": np.mean([p for p, _ in triplets]),
            "negative_distance": np.mean([n for _, n in triplets]),
            "active": np.mean([p - n + 0.2 > 0 for p, n in triplets]),
            "dropped": 1,
            "pair_cosine": np.mean([1 - d(i, j) ** 2 / 2 for i in range(6) for j in range(i)]),
            "embedding_norm": x.norm(dim=1).mean().item(),
        },
        rel=1e-5,
        abs=1e-6,
    )


def test_nothing_mined_costs_nothing(make_head, batch):
    x, labels = batch
    apart = 100 * x[labels.clamp_max(5)] + 0.001 * x  # each identity at a place of its own
    output = make_head("triplet", normalize=False)(apart.requires_grad_(), labels)
    output.loss.backward()
    assert output.loss == 0
    assert output.stats["active"] == output.stats["positive_distance"] == 0
    assert apart.grad is None or apart.grad.abs().max() == 0


def test_distance_weighted_needs_unit_vectors():
    with pytest.raises(ConfigError) as error:
        create_head(
            "triplet",
            embedding_size=5,
            identities=7,
            mining="distance_weighted",
            normalize=False,
        )
    assert str(error.value) == (
        "head 'triplet': mining 'distance_weighted' is defined on unit vectors: "
        "set normalize to true"
    )


def test_the_default_distance_is_plain_with_batch_hard_alone() -> None:
    def distance(**parameters) -> str:
        head = create_head("triplet", embedding_size=5, identities=7, **parameters)
        return head.config.model_dump()["distance"]

    assert distance(mining="batch_hard") == "plain"
    assert distance(mining="batch_hard", distance="squared") == "squared"
    assert distance() == distance(mining="all") == "squared"
