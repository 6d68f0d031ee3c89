import math

import pytest
import torch

from facever.errors import ConfigError
from facever.heads import create_head


@pytest.mark.parametrize("easy", [False, True])
@pytest.mark.parametrize(
    "bounds", [(1.8, 16.0, 0.3, 1.4, 200.0), (10.0, 110.0, 0.45, 0.8, 35.0), (1, 30, 0.5, 0.5, 0)]
)
def test_value(bounds, easy, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    l_a, u_a, l_m, u_m, lambda_g = bounds
    lengths, seams = set(), set()

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            length = math.sqrt(sum(v * v for v in x[i]))
            a = min(max(length, l_a), u_a)
            lengths.add((length > l_a) + (length > u_a))
            m = (u_m - l_m) / (u_a - l_a) * (a - l_a) + l_m
            cosines = [cosine_oracle(x[i], w) for w in W]
            theta = math.acos(cosines[y])
            seams.add(theta + m < math.pi)
            if easy:
                cosines[y] = math.cos(theta + m) if cosines[y] > 0 else cosines[y]
            elif theta + m < math.pi:
                cosines[y] = math.cos(theta + m)
            else:
                cosines[y] -= m * math.sin(m)
            total += cross_entropy_oracle([30.0 * c for c in cosines], y)
            total += lambda_g * (1 / a + a / u_a**2)
        return total / len(labels)

    names = ("l_a", "u_a", "l_m", "u_m", "lambda_g")
    agrees(make_head("magface", easy_margin=easy, **dict(zip(names, bounds, strict=True))), oracle)
    if bounds[0] == 1.8:
        assert lengths == {0, 1, 2}
        assert seams == {True, False}


def test_outside_its_bounds_a_length_has_no_gradient(make_head):
    head = make_head("magface", l_a=2.0, u_a=5.0, lambda_g=500.0)
    x = torch.ones(3, 5, dtype=torch.float64) / math.sqrt(5)
    x = (torch.tensor([[1.0], [3.0], [6.0]]) * x).requires_grad_()
    output = head(x, torch.tensor([0, 1, 2]))
    output.loss.backward()
    along = (x.grad * x).sum(1) / x.norm(dim=1)
    assert along[[0, 2]].abs().max() < 1e-3  # NormFace's epsilon leaves a trace
    assert along[1] < -5  # longer
    wanted = (0.45 + (0.45 + 0.35 / 3) + 0.8) / 3
    assert output.stats["margin"].item() == pytest.approx(wanted)


def test_at_the_needed_lambda_the_shortest_length_is_no_minimum():
    """Right below it, a longer embedding whose margin costs the most costs more; above, less."""
    config = create_head("magface", embedding_size=4, identities=7).config
    needed = config.needed_lambda_g
    assert needed == pytest.approx(30 * 0.0035 * 10**2 * 110**2 / (110**2 - 10**2))

    def cost(a, factor):
        return 30 * 0.0035 * (a - 10) + factor * (1 / a + a / 110**2)

    assert cost(10 + 1e-4, 0.99 * needed) > cost(10, 0.99 * needed)
    assert cost(10 + 1e-4, 1.01 * needed) < cost(10, 1.01 * needed)


def test_a_lambda_too_small_is_said(capsys):
    create_head("magface", embedding_size=4, identities=7, lambda_g=10.6)
    assert capsys.readouterr().err == ""
    create_head("magface", embedding_size=4, identities=7, lambda_g=5)
    assert capsys.readouterr().err == (
        "warning: head 'magface': with lambda_g 5 the margin can outweigh the regulariser, and "
        "embeddings shrink to l_a; use lambda_g 10.6 or more, or a smaller scale\n"
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"l_a": 5.0, "u_a": 5.0}, "l_a must be below u_a, not 5 and 5"),
        ({"l_m": 0.6, "u_m": 0.5}, "l_m must not be above u_m, not 0.6 and 0.5"),
    ],
)
def test_bounds_out_of_order_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        create_head("magface", embedding_size=4, identities=7, **parameters)
