import math

import pytest
import torch

from facever.heads.common.soft_targets import divergence, soft_cross_entropy


def probabilities(logits: list[float]) -> list[float]:
    weights = [math.exp(z - max(logits)) for z in logits]
    return [w / sum(weights) for w in weights]


@pytest.fixture
def numbers() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(4, 5, generator=draw, dtype=torch.float64)
    return logits, 2 * torch.randn(4, 5, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_distributions(numbers, smoothing):
    logits, other = numbers
    shares = other.softmax(1)
    wanted = 0.0
    for row, q in zip(logits.tolist(), shares.tolist(), strict=True):
        p = probabilities(row)
        for p_j, q_j in zip(p, q, strict=True):
            wanted -= ((1 - smoothing) * q_j + smoothing / 5) * math.log(p_j) / 4
    assert soft_cross_entropy(logits, shares, smoothing).item() == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 0.5])
def test_divergence_with_temperature(numbers, temperature):
    logits, teacher = numbers
    found = divergence(logits, teacher, temperature)
    for row, told, value in zip(logits.tolist(), teacher.tolist(), found.tolist(), strict=True):
        p = probabilities([z / temperature for z in row])
        t = probabilities([z / temperature for z in told])
        kl = sum(t_j * math.log(t_j / p_j) for t_j, p_j in zip(t, p, strict=True))
        assert value == pytest.approx(temperature**2 * kl, rel=1e-10)
    assert divergence(logits, logits, temperature).abs().max() < 1e-12


def test_the_gradient_is_that_of_the_difference(numbers):
    logits, teacher = (tensor.requires_grad_() for tensor in numbers)
    divergence(logits, teacher, 2.0).sum().backward()
    wanted = 2.0 * ((logits / 2).softmax(1) - (teacher / 2).softmax(1))
    torch.testing.assert_close(logits.grad, wanted.detach())
    assert teacher.grad is None


@pytest.mark.parametrize("loss", ["cross_entropy", "divergence"])
def test_a_saturated_row_leaves_no_denormals(loss):
    logits = torch.tensor([[0.0, -95.0, -99.0, -20.0]], requires_grad=True)
    shares = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    if loss == "divergence":
        divergence(logits, torch.tensor([[0.0, -200, -200, -200]]), 1.0).sum().backward()
    else:
        soft_cross_entropy(logits, shares).backward()
    assert (logits.detach().double().softmax(1)[0, 1:3] > 0).all()
    assert (logits.grad[0, 1:3] == 0).all()
    assert logits.grad[0, 3] > 1e-10
