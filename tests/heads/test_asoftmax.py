import math

import numpy as np
import pytest
import torch

from facever.errors import ConfigError
from facever.heads import create_head
from facever.heads.asoftmax import detached_psi, psi
from facever.heads.classes.vectors import EPSILON


def psi_by_the_definition(theta: float, m: float) -> float:
    k = next(k for k in range(10) if theta <= (k + 1) * math.pi / m + 1e-12)
    return (-1) ** k * math.cos(m * theta) - 2 * k


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("steps", [0, 7, 40_000])
def test_value_annealed(margin, steps, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    head = make_head("asoftmax", margin=margin)
    head.iteration.fill_(steps)
    annealing = max(5.0, 1000.0 / (1 + 0.12 * steps))

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            length = math.sqrt(sum(float(c) ** 2 for c in x[i]) + EPSILON)
            values = [cosine_oracle(x[i], w) for w in W]
            bent = psi_by_the_definition(math.acos(values[y]), margin)
            values[y] = (annealing * values[y] + bent) / (1 + annealing)
            total += cross_entropy_oracle([length * v for v in values], y)
        return total / len(labels)

    agrees(head, oracle)


@pytest.mark.parametrize("margin", [1.0, 1.7, 2.0, 3.4])
def test_value_stable(margin, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    head = make_head("asoftmax", variant="stable", margin=margin, scale=20.0)

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            values = [cosine_oracle(x[i], w) for w in W]
            values[y] = psi_by_the_definition(math.acos(values[y]), margin)
            total += cross_entropy_oracle([20.0 * v for v in values], y)
        return total / len(labels)

    agrees(head, oracle)


def test_the_stable_gradient_is_the_plain_cosines_at_the_margins_loss(make_head, batch):
    """dL/dc_y = s (p_y - 1) / B, whatever the slope of psi."""
    head = make_head("asoftmax", variant="stable", margin=1.7, scale=6.0)
    x, labels = batch[0].requires_grad_(), batch[1]
    (found,) = torch.autograd.grad(head(x, labels).loss, x)
    lengths = [(v.square().sum(1, keepdim=True) + EPSILON).sqrt() for v in (x, head_weight(head))]
    cosines = (x / lengths[0]) @ (head_weight(head) / lengths[1]).T
    own = torch.nn.functional.one_hot(labels, 7).bool()
    bent = torch.tensor(
        [psi_by_the_definition(math.acos(c), 1.7) for c in cosines[own].tolist()],
        dtype=torch.float64,
    )
    p = torch.softmax(6 * cosines.detach().masked_scatter(own, bent), 1)
    (wanted,) = torch.autograd.grad((6 / 6 * (p - own.double()) * cosines).sum(), x)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def head_weight(head):
    return head.prototypes.weight.detach()


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_psi_falls_from_1_to_its_end_without_a_jump(m):
    theta = torch.linspace(0, math.pi, 5001, dtype=torch.float64)
    for values in (psi(theta.cos(), m), detached_psi(theta.cos(), m)):
        assert values[0] == 1
        assert values[-1].item() == pytest.approx(1 - 2 * m)  # psi_4 ends at -7
        assert (values.diff() < 1e-12).all()
        assert values.diff().abs().max() < m * math.pi / 5000 * 1.01
    real = detached_psi(theta.cos(), m + 0.7)
    assert (real.diff() < 1e-12).all()
    assert real.diff().abs().max() < (m + 0.7) * math.pi / 5000 * 1.01


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_the_ends_have_their_gradients_and_the_right_sign(m):
    ends = torch.tensor([1.0, 1.0 + 1e-7, -1.0, -1.0 - 1e-7], dtype=torch.float64)
    values = psi(ends.requires_grad_(), m)
    assert values.tolist() == pytest.approx([1, 1, 1 - 2 * m, 1 - 2 * m], abs=1e-5)
    values.sum().backward()  # d cos(m t) / d cos t is m^2 at both ends, times the sign of psi
    assert ends.grad.tolist() == pytest.approx([m * m] * 4, rel=1e-4)


def test_lambda_falls_to_its_floor_and_its_position_is_in_the_state(make_head, batch):
    head = make_head("asoftmax")
    found = []
    for _ in range(3):
        found.append(head(*batch).stats["annealing"].item())
        head.step_completed()
    assert found == pytest.approx([1000, 1000 / 1.12, 1000 / 1.24])
    other = create_head("asoftmax", embedding_size=5, identities=7).double()
    other.load_state_dict(head.state_dict())
    assert other(*batch).stats["annealing"].item() == pytest.approx(1000 / 1.36)
    head.iteration.fill_(10**6)
    assert head(*batch).stats["annealing"] == 5
    shaped = make_head("asoftmax", lambda_base=100, lambda_gamma=2, lambda_power=0.5, lambda_min=1)
    shaped.iteration.fill_(4)
    assert shaped(*batch).stats["annealing"].item() == pytest.approx(100 / 3)


def test_a_margin_of_1_is_softmax_with_unit_prototypes(make_head, batch):
    head = make_head("asoftmax", margin=1)
    W = head_weight(head)
    unit = W / (W.square().sum(1, keepdim=True) + EPSILON).sqrt()
    wanted = torch.nn.functional.cross_entropy(batch[0] @ unit.T, batch[1])
    assert head(*batch).loss.item() == pytest.approx(wanted.item(), rel=1e-12)


def test_the_margin_raises_the_loss(make_head, batch):
    losses = [make_head("asoftmax", margin=m, lambda_base=0)(*batch).loss for m in (1, 2, 3, 4)]
    assert losses == sorted(losses)
    assert losses[0] < losses[3]


def test_stats(make_head, batch):
    annealed, stable = make_head("asoftmax"), make_head("asoftmax", variant="stable")
    lengths = batch[0].norm(dim=1).mean().item()
    stats = annealed(*batch).stats
    assert stats["scale"].item() == pytest.approx(lengths, rel=1e-6)
    cosines = torch.nn.functional.cosine_similarity(batch[0], head_weight(annealed)[batch[1]])
    assert stats["target_cosine"].item() == pytest.approx(cosines.mean().item(), rel=1e-5)
    assert stable(*batch).stats["scale"] == 30
    assert stable(*batch).stats.keys() == stats.keys() - {"annealing"}
    assert np.isclose(stable.margin, 1.7)
    assert annealed.margin == 4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": 2.5}, "the annealed variant takes a margin of 1, 2, 3, 4 or 5, not 2.5"),
        ({"scale": 64.0}, "the annealed variant has no scale"),
        ({"variant": "stable", "lambda_min": 0.0}, "the stable variant has no lambda_min"),
        ({"variant": "stable", "lambda_base": 9.0}, "the stable variant has no lambda_base"),
    ],
)
def test_parameters_of_the_other_variant_are_refused(parameters, message):
    with pytest.raises(ConfigError) as error:
        create_head("asoftmax", embedding_size=4, identities=3, **parameters)
    assert str(error.value) == f"head 'asoftmax': {message}"


def test_a_resolved_configuration_is_taken_again(make_head):
    for parameters in ({}, {"variant": "stable"}):
        config = make_head("asoftmax", **parameters).config
        assert type(config).model_validate(config.model_dump()) == config


def test_a_scale_too_small_for_the_identities_is_said(capsys):
    few = {"embedding_size": 4, "identities": 1000}
    create_head("asoftmax", **few)
    assert capsys.readouterr().err == ""
    create_head("asoftmax", variant="stable", scale=4.0, **few)
    assert "head 'asoftmax': with scale 4 and 1000 identities" in capsys.readouterr().err
