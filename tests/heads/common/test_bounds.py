import math

import pytest
import torch

from facever.heads.common.bounds import lowest_loss, needed_scale


@pytest.mark.parametrize(
    ("identities", "scale"),
    [(10, 6.1), (100, 9.1), (1000, 11.5), (10_575, 13.9), (93_431, 16.0), (360_232, 17.4)],
)
def test_the_scales_that_normface_needs(identities, scale):
    assert needed_scale(identities) == pytest.approx(scale, abs=0.05)
    assert lowest_loss(needed_scale(identities), identities) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "best"), [("cosine", 1.0), ("cosface", 1 - 0.35), ("arcface", math.cos(0.5))]
)
def test_a_simplex_reaches_the_lowest_loss(name, best, make_head):
    head = make_head(name, identities=5, scale=3.0)
    simplex = 1e4 * (torch.eye(5, dtype=torch.float64) - 0.2)
    with torch.no_grad():
        head.prototypes.weight.copy_(simplex)
    loss = head(simplex, torch.arange(5)).loss.item()
    assert loss == pytest.approx(lowest_loss(3.0, 5, best), rel=1e-5)


def test_one_identity_needs_nothing():
    assert needed_scale(1) == lowest_loss(1.0, 1) == 0.0
