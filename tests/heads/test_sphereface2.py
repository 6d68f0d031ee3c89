import math

import pytest
import torch

from facever.heads import create_head
from facever.heads.sphereface2 import SphereFace2, balanced_bias


def softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"exponent": 1.0, "margin": 0.0},
        {"exponent": 2.6, "own_share": 0.4, "scale": 20.0, "loss_factor": 20.0},
    ],
)
def test_value(changed, make_head, agrees, cosine_oracle):
    head = make_head("sphereface2", **changed)
    with torch.no_grad():
        head.bias.fill_(1.25)
    a, r, m = changed.get("own_share", 0.7), changed.get("scale", 40.0), changed.get("margin", 0.4)
    t, lw = changed.get("exponent", 3.0), changed.get("loss_factor", 50.0)

    def g(z):
        return 2 * ((z + 1) / 2) ** t - 1

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            for j, w in enumerate(W):
                value = g(cosine_oracle(x[i], w))
                if j == y:
                    total += a * softplus(-(r * (value - m) + 1.25))
                else:
                    total += (1 - a) * softplus(r * (value + m) + 1.25)
        return lw / r * total / len(labels)

    agrees(head, oracle)


@pytest.mark.parametrize("identities", [2, 3, 4, 10, 10_000])
@pytest.mark.parametrize("changed", [{}, {"scale": 64.0, "margin": 0.2, "exponent": 2.0}])
def test_at_the_start_own_and_wrong_identities_pull_equally(identities, changed):
    config = SphereFace2.Config(**changed)
    b = balanced_bias(config, identities)
    base = config.scale * (2 * 0.5**config.exponent - 1) + b
    shift = config.scale * config.margin
    own = config.own_share / (1 + math.exp(base - shift))
    wrong = (1 - config.own_share) * (identities - 1) / (1 + math.exp(-(base + shift)))
    assert own == pytest.approx(wrong, rel=1e-9)
    head = create_head("sphereface2", embedding_size=3, identities=identities, **changed)
    assert head.bias.item() == pytest.approx(b, rel=1e-6)


def test_the_start_as_the_formula_is_usually_written():
    z, k = 0.7 / (0.3 * 9999), math.exp(40 * 0.4)
    wanted = math.log(2 * z) - math.log(k * (1 - z) + math.sqrt(k**2 * (1 - z) ** 2 + 4 * z)) + 30
    assert balanced_bias(SphereFace2.Config(), 10_000) == pytest.approx(wanted, rel=1e-12)


def test_large_scales_do_not_overflow():
    config = SphereFace2.Config(scale=500.0, margin=0.99)
    assert math.isfinite(balanced_bias(config, 10))


def test_the_bias_is_learned_and_not_decayed(make_head, batch):
    head = make_head("sphereface2")
    assert head.no_weight_decay() == {"bias"}
    head(*batch).loss.backward()
    assert head.bias.grad != 0
    stats = head(*batch).stats
    assert stats["bias"] == head.bias
    with torch.no_grad():
        head.bias.add_(1)
    assert stats["bias"] != head.bias


def test_cosines_beyond_1_by_rounding_are_safe():
    head = create_head("sphereface2", embedding_size=5, identities=300, exponent=2.5)
    W = 1e4 * torch.randn(300, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        head.prototypes.weight.copy_(W)
    for labels in (torch.arange(300), torch.arange(300).roll(1)):
        for sign in (1.0, -1.0):
            x = (sign * W).requires_grad_()
            output = head(x, labels)
            output.loss.backward()
            assert output.loss.isfinite()
            assert x.grad.isfinite().all()


@pytest.mark.parametrize("exponent", [3.0, 2.5])
def test_the_gradient_of_the_authors(exponent, make_head, batch):
    """Their code computes g and the margins where nothing is recorded."""
    head = make_head("sphereface2", exponent=exponent, gradient="authors")
    embeddings, labels = batch
    x = embeddings.detach().clone().requires_grad_()
    W = head.prototypes.weight.detach().clone().requires_grad_()
    cosines = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(W).T
    own = torch.nn.functional.one_hot(labels, len(W)).bool()
    with torch.no_grad():
        g = 2 * ((cosines + 1) / 2) ** exponent - 1
        offset = torch.where(own, g - 0.4, g + 0.4) - cosines
    z = 40.0 * (cosines + offset) + head.bias.detach()
    softplus = torch.nn.functional.softplus
    terms = torch.where(own, 0.7 * softplus(-z), 0.3 * softplus(z))
    loss = 50 / 40 * terms.sum(1).mean()
    loss.backward()
    ours = embeddings.detach().clone().requires_grad_()
    output = head(ours, labels)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(ours.grad, x.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(head.prototypes.weight.grad, W.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("degrees", "documented"),
    [(30, 2.61), (45, 2.19), (60, 1.69), (80, 1.03), (90, 0.75), (120, 0.19), (150, 0.01)],
)
def test_how_far_the_gradients_differ(degrees, documented, make_head):
    """docs/heads.md has these numbers: one identity, whose gradient is the target's alone."""
    theta = math.radians(degrees)
    z = math.cos(theta)
    lengths = []
    for gradient in ("exact", "authors"):
        head = make_head("sphereface2", identities=1, gradient=gradient)
        with torch.no_grad():
            head.prototypes.weight.copy_(torch.eye(1, head.prototypes.weight.shape[1]))
        x = torch.zeros(1, head.prototypes.weight.shape[1], dtype=torch.float64)
        x[0, 0], x[0, 1] = z, math.sin(theta)
        x.requires_grad_()
        head(x, torch.tensor([0])).loss.backward()
        lengths.append(x.grad.norm().item())
    assert lengths[0] / lengths[1] == pytest.approx(3 * ((z + 1) / 2) ** 2, rel=1e-4)
    assert lengths[0] / lengths[1] == pytest.approx(documented, abs=0.005)
