import math

import pytest
import torch


@pytest.mark.parametrize("distance", ["squared", "plain"])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("soft", "reduction"), [(0, "mean"), (1, "mean"), (0, "active")])
def test_value(distance, power, normalize, soft, reduction, make_head, agrees, distance_oracle):
    margin = 1.7

    def oracle(x, W, labels):
        together, apart = [], []
        for i in range(len(x)):
            for j in range(i):
                d = distance_oracle(x[i], x[j], distance == "squared", normalize)
                if labels[i] == labels[j]:
                    together.append(d**power)
                elif reduction == "mean" or d < margin:
                    z = margin - d
                    apart.append((math.log1p(math.exp(z)) if soft else max(0.0, z)) ** power)
        assert len(together) == 4
        return sum(together) / 4 + sum(apart) / max(1, len(apart))

    head = make_head(
        "contrastive",
        margin=margin,
        distance=distance,
        power=power,
        normalize=normalize,
        soft_margin=bool(soft),
        reduction=reduction,
    )
    agrees(head, oracle)
    assert head.metric == ("cosine" if normalize else "euclidean")


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard", "distance_weighted"])
def test_mined_pairs_are_those_of_the_triplets(mining, make_head, batch, distance_oracle):
    head = make_head("contrastive", mining=mining, margin=1.2)
    x, labels = batch
    triplets = head.miner(head.distances(x), labels)
    together = apart = 0.0
    rows = list(zip(*(index.tolist() for index in triplets), strict=True))
    assert len(rows) > 3
    for a, p, n in rows:
        together += distance_oracle(x[a], x[p], True, True)
        apart += max(0.0, 1.2 - distance_oracle(x[a], x[n], True, True))
    assert head(x, labels).loss.item() == pytest.approx((together + apart) / len(rows), rel=1e-10)


def test_stats(make_head):
    x = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, -1, 0, 0, 0], [0.8, 0.6, 0, 0, 0]])
    stats = make_head("contrastive", margin=2.1)(x, torch.tensor([4, 4, 0, 1])).stats
    assert {key: value.item() for key, value in stats.items()} == pytest.approx(
        {
            "positive_distance": 2.0,
            "negative_distance": (2 + 4 + 0.4 + 0.8 + 3.2) / 5,
            "active": 3 / 5,
            "dropped": 2,
            "pair_cosine": (0 + 0 - 1 + 0.8 + 0.6 - 0.6) / 6,
            "embedding_norm": 1,
        },
        abs=1e-5,
    )
