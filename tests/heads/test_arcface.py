import math

import pytest
import torch


@pytest.mark.parametrize("margin", [0.5, 1.2])
@pytest.mark.parametrize("easy", [False, True])
def test_value(margin, easy, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    regions = set()

    def target(cosine):
        theta = math.acos(cosine)
        if easy:
            regions.add(theta < math.pi / 2)
            return math.cos(theta + margin) if theta < math.pi / 2 else cosine
        regions.add(theta + margin < math.pi)
        within = theta + margin < math.pi
        return math.cos(theta + margin) if within else cosine - margin * math.sin(margin)

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            cosines = [cosine_oracle(x[i], w) for w in W]
            cosines[y] = target(cosines[y])
            total += cross_entropy_oracle([30.0 * c for c in cosines], y)
        return total / len(labels)

    agrees(make_head("arcface", margin=margin, easy_margin=easy), oracle)
    assert regions == {True, False} or margin == 0.5


def test_the_target_falls_with_the_angle(make_head):
    head = make_head("arcface")
    angles = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    assert (head.change_target(angles.cos()).diff() < 0).all()


def test_the_ends_have_exact_values_and_finite_gradients(make_head):
    cosines = torch.tensor([1.0, -1.0, 1.0 + 1e-7, -1.0 - 1e-7, 1 - 1e-9], dtype=torch.float64)
    target = make_head("arcface", margin=0.3).change_target(cosines.requires_grad_())
    beyond = -1 - 0.3 * math.sin(0.3)
    wanted = [math.cos(0.3), beyond, math.cos(0.3), beyond, math.cos(0.3 + math.acos(1 - 1e-9))]
    assert target.tolist() == pytest.approx(wanted, abs=1e-6)
    target.sum().backward()
    assert cosines.grad.isfinite().all()


def test_the_seam_is_where_and_as_high_as_documented(make_head):
    head, seam = make_head("arcface"), -math.cos(0.5)
    around = head.change_target(torch.tensor([seam + 1e-12, seam - 1e-12], dtype=torch.float64))
    step = 1 - math.cos(0.5) - 0.5 * math.sin(0.5)
    assert (around[1] - around[0]).item() == pytest.approx(step, abs=1e-6)
    assert step == pytest.approx(-0.117, abs=1e-3)


def test_without_margin_it_is_the_cosine_head(make_head, batch):
    arcface, cosine = make_head("arcface", margin=0.0), make_head("cosine", scale=30.0)
    assert arcface(*batch).loss.item() == pytest.approx(cosine(*batch).loss.item(), rel=1e-12)


@pytest.mark.parametrize("margin", [0.5, 1.2])
def test_the_gradient_of_the_authors(margin, make_head, batch):
    """Their code changes the cosines in place where nothing is recorded."""
    head = make_head("arcface", margin=margin, gradient="authors")
    embeddings, labels = batch
    x = embeddings.detach().clone().requires_grad_()
    W = head.prototypes.weight.detach().clone().requires_grad_()
    logits = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(W).T
    rows = torch.arange(len(labels))
    with torch.no_grad():
        theta = logits[rows, labels].clamp(-1, 1).arccos()
        inside = theta + margin < math.pi
        beyond = logits[rows, labels] - margin * math.sin(margin)
        offset = torch.where(inside, (theta + margin).cos(), beyond) - logits[rows, labels]
    given = logits.index_put((rows, labels), offset, accumulate=True)
    loss = torch.nn.functional.cross_entropy(30.0 * given, labels)
    loss.backward()
    ours = embeddings.detach().clone().requires_grad_()
    output = head(ours, labels)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(ours.grad, x.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(head.prototypes.weight.grad, W.grad, rtol=1e-4, atol=1e-6)
    exact = make_head("arcface", margin=margin)
    other = embeddings.detach().clone().requires_grad_()
    exact(other, labels).loss.backward()
    assert not torch.allclose(ours.grad, other.grad, rtol=0.05)


def slope(head, degrees):
    """How fast the target moves with its cosine."""
    cosine = torch.tensor([math.cos(math.radians(degrees))], dtype=torch.float64)
    cosine.requires_grad_()
    head.change_target(cosine).sum().backward()
    return cosine.grad.item()


@pytest.mark.parametrize(
    ("degrees", "documented"),
    [(30, 1.71), (45, 1.36), (60, 1.15), (80, 0.96), (90, 0.88), (120, 0.60), (150, 0.05)],
)
def test_how_far_the_gradients_differ(degrees, documented, make_head):
    """docs/heads.md has these numbers."""
    theta = math.radians(degrees)
    exact = math.sin(theta + 0.5) / math.sin(theta)
    assert slope(make_head("arcface"), degrees) == pytest.approx(exact)
    assert exact == pytest.approx(documented, abs=0.005)
    assert slope(make_head("arcface", gradient="authors"), degrees) == 1


def test_beyond_the_seam_the_gradients_are_equal(make_head):
    for degrees in (152, 165, 179):
        for gradient in ("exact", "authors"):
            assert slope(make_head("arcface", gradient=gradient), degrees) == pytest.approx(1)
