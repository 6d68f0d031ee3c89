import math

import pytest
import torch

EPSILON = 1e-6


@pytest.mark.parametrize(("margin", "gamma"), [(0.25, 256.0), (0.4, 30.0)])
def test_value(margin, gamma, make_head, agrees, cosine_oracle):
    signs = set()

    def oracle(x, W, labels):
        """The paper's form: log(1 + sum_j exp(gamma (a_n (s_n - m) - a_p (s_p - 1 + m))))."""
        total = 0.0
        for i, y in enumerate(labels):
            own = cosine_oracle(x[i], W[y])
            pull = gamma * max(1 + margin - own, 0.0) * (own - (1 - margin))
            gaps = []
            for j, w in enumerate(W):
                if j != y:
                    wrong = cosine_oracle(x[i], w)
                    signs.add(wrong > -margin)
                    gaps.append(gamma * max(wrong + margin, 0.0) * (wrong - margin) - pull)
            top = max([*gaps, 0.0])
            total += top + math.log(math.exp(-top) + sum(math.exp(g - top) for g in gaps))
        return total / len(labels)

    agrees(make_head("circle", margin=margin, gamma=gamma), oracle)
    assert signs == {True, False}


def plain(x, W, labels):
    unit = [v / (v.square().sum(1, keepdim=True) + EPSILON).sqrt() for v in (x, W)]
    cosines = unit[0] @ unit[1].T
    own = torch.nn.functional.one_hot(labels, len(W)).bool()
    weights = torch.where(own, 1.25 - cosines, cosines + 0.25).clamp_min(0).detach()
    logits = 20 * weights * (cosines - torch.where(own, 0.75, 0.25))
    return torch.nn.functional.cross_entropy(logits, labels)


def test_the_gradient_leaves_out_the_weights(make_head, gradients_agree):
    gradients_agree(make_head("circle", gamma=20.0), plain)


def test_the_scale_that_is_reported_is_gamma(make_head, batch):
    assert make_head("circle")(*batch).stats["scale"].item() == 256
