import math

import pytest
import torch

from facever.heads import create_head

MARGINS = [(1.0, 0.3, 0.2), (1.0, 1.2, 0.0), (1.35, 0.1, 0.1), (3.0, 0.4, 0.3), (2.0, 0.0, 0.0)]


@pytest.mark.parametrize(("m1", "m2", "m3"), MARGINS)
@pytest.mark.parametrize("easy", [False, True])
def test_value(m1, m2, m3, easy, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    def target(cosine):
        theta = math.acos(cosine)
        seam = (math.pi - m2) / m1
        if easy and theta > math.pi / 2:
            return cosine
        if theta < seam:
            return math.cos(m1 * theta + m2) - m3
        short = math.pi - seam  # by how much the seam lies before pi
        return cosine - max(short * math.sin(short), 1 - math.cos(short)) - m3

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            cosines = [cosine_oracle(x[i], w) for w in W]
            cosines[y] = target(cosines[y])
            total += cross_entropy_oracle([30.0 * c for c in cosines], y)
        return total / len(labels)

    head = make_head("combined", m1=m1, m2=m2, m3=m3, easy_margin=easy)
    agrees(head, oracle)
    cosines = torch.linspace(-0.999, 0.999, 300, dtype=torch.float64)
    wanted = torch.tensor([target(c) for c in cosines.tolist()], dtype=torch.float64)
    torch.testing.assert_close(head.change_target(cosines), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("easy", [False, True])
@pytest.mark.parametrize("margin", [0.5, 1.2])
def test_with_m2_alone_it_is_arcface(margin, easy, make_head, batch):
    combined = make_head("combined", m1=1, m2=margin, m3=0, easy_margin=easy)
    arcface = make_head("arcface", margin=margin, easy_margin=easy)
    assert combined(*batch).loss == arcface(*batch).loss


def test_with_m3_alone_it_is_cosface(make_head, batch):
    combined = make_head("combined", m1=1, m2=0, m3=0.35)
    assert combined(*batch).loss.item() == pytest.approx(
        make_head("cosface", margin=0.35)(*batch).loss.item(), rel=1e-12
    )


def test_a_factor_near_one_is_near_none(make_head, batch):
    losses = [
        make_head("combined", m1=m1, m2=0.4, m3=0.1)(*batch).loss.item() for m1 in (1, 1 + 1e-9)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("m1", "m2", "m3"), [*MARGINS, (5.0, 1.5, 0.0), (1.6, 0.0, 0.0)])
def test_the_target_falls_with_the_angle(m1, m2, m3, make_head):
    head = make_head("combined", m1=m1, m2=m2, m3=m3)
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    assert (head.change_target(angles.cos()).diff() < 0).all()


@pytest.mark.parametrize("m2", [0.0, 0.3])
def test_the_ends_have_exact_values_and_finite_gradients(m2, make_head):
    cosines = torch.tensor([1.0, 1.0 + 1e-7, -1.0, -1.0 - 1e-7], dtype=torch.float64)
    target = make_head("combined", m1=2, m2=m2, m3=0).change_target(cosines.requires_grad_())
    top = math.cos(m2)
    seam = (math.pi - m2) / 2
    d = max((math.pi - seam) * math.sin(math.pi - seam), 1 + math.cos(seam))
    assert target.tolist() == pytest.approx([top, top, -1 - d, -1 - d], abs=1e-6)
    target.sum().backward()
    assert cosines.grad.tolist() == pytest.approx([4 * top, 4 * top, 1, 1])


def test_the_margins_raise_the_scale_that_is_needed(capsys):
    create_head("combined", embedding_size=4, identities=1000, scale=15.3, m2=0.3, m3=0.2)
    assert capsys.readouterr().err == ""
    create_head("combined", embedding_size=4, identities=1000, scale=15.2, m2=0.3, m3=0.2)
    assert "needs a scale of 15.2" in capsys.readouterr().err
