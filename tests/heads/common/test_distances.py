import math

import numpy as np
import pytest
import torch

from facever.heads.common.distances import distances, mean_pair_cosine


@pytest.mark.parametrize("squared", [False, True])
def test_distances_are_those_of_a_loop(squared):
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 4, generator=draw, dtype=torch.float64) for n in (3, 5))
    found = distances(a, b, squared)
    assert found.shape == (3, 5)
    for i in range(3):
        for j in range(5):
            square = sum((a[i, k].item() - b[j, k].item()) ** 2 for k in range(4))
            wanted = square if squared else math.sqrt(square)
            assert found[i, j].item() == pytest.approx(wanted, rel=1e-14)


def test_near_rows_far_from_the_origin_do_not_cancel():
    x = torch.full((2, 64), 100.0)
    x[1, 0] += 0.1875
    assert distances(x, x, squared=True)[0, 1].item() == pytest.approx(0.1875**2, rel=1e-6)


@pytest.mark.parametrize("squared", [False, True])
def test_a_distance_of_0_has_the_gradient_0(squared):
    x = torch.ones(3, 4).requires_grad_()
    distances(x, x, squared).sum().backward()
    assert x.grad.tolist() == np.zeros((3, 4)).tolist()


def test_the_mean_pair_cosine_is_that_of_a_loop(cosine_oracle):
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    wanted = sum(cosine_oracle(x[i].numpy(), x[j].numpy()) for i, j in pairs) / len(pairs)
    assert mean_pair_cosine(x).item() == pytest.approx(wanted, rel=1e-12)
    assert mean_pair_cosine(x[:1].expand(4, -1)).item() == pytest.approx(1, abs=1e-5)
    assert mean_pair_cosine(x[:1]).item() == 0
