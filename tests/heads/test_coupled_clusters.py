import math

import pytest
import torch

from facever.heads.classes.vectors import EPSILON


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("margin", [0.2, 1.5])
def test_value(normalize, reduction, margin, make_head, agrees):
    active = set()

    def oracle(x, W, labels):
        assert W is None
        if normalize:
            x = [v / math.sqrt(sum(float(c) ** 2 for c in v) + EPSILON) for v in x]

        def square(a, b):
            return sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))

        total, used = 0.0, 0
        for identity in set(labels.tolist()):
            positives = [v for v, y in zip(x, labels, strict=True) if y == identity]
            negatives = [v for v, y in zip(x, labels, strict=True) if y != identity]
            if len(positives) == 1:
                continue
            center = sum(positives) / len(positives)
            nearest = min(square(v, center) for v in negatives)
            for v in positives:
                z = square(v, center) + margin - nearest
                active.add(z > 0)
                total, used = total + max(0.0, z) / 2, used + 1
        assert used == 5
        return total / used if reduction == "mean" else total

    head = make_head("coupled_clusters", normalize=normalize, reduction=reduction, margin=margin)
    agrees(head, oracle)
    assert True in active
    assert head.metric == ("cosine" if normalize else "euclidean")


def test_stats(make_head):
    x = torch.tensor([[1.0, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 5, 0, 0, 0]])
    head = make_head("coupled_clusters", normalize=False)
    stats = head(x, torch.tensor([4, 4, 0, 1])).stats
    assert stats["positive_distance"] == 1
    assert stats["negative_distance"] == 4
    assert stats["dropped"] == 2
    assert stats["active"] == 0
    x[3, 1] = -2  # with the first two: a mean of -2/3, squared distances 13/9, 13/9, 16/9 and 64/9
    head = make_head("coupled_clusters", normalize=False, margin=5.5)
    stats = head(x, torch.tensor([4, 4, 0, 4])).stats
    assert stats["active"].item() == pytest.approx(1 / 3)
    assert stats["dropped"] == 1


def test_the_gradient_goes_through_the_mean(make_head):
    head = make_head("coupled_clusters", normalize=False, margin=1000.0)
    x = torch.tensor([[1.0, 0, 0, 0, 0], [3, 0, 0, 0, 0], [9, 0, 0, 0, 0]], dtype=torch.float64)
    x.requires_grad_()
    head(x, torch.tensor([4, 4, 0])).loss.backward()
    # 1/2 sum of |x_i - c|^2 - |x_n - c|^2 over both, halved by the mean over two positives.
    c, n = 2.0, 9.0
    wanted = [((v - c) + (n - c)) / 2 for v in (1.0, 3.0)]
    assert x.grad[:, 0].tolist() == pytest.approx([*wanted, -(n - c)])
