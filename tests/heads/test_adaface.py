import math

import numpy as np
import pytest
import torch

from facever.heads import create_head

EPSILON = 1e-6  # of the lengths that divide dot products


def with_lengths(head, mean, deviation):
    head.lengths.average.copy_(torch.tensor([mean, deviation]))
    return head


@pytest.mark.parametrize("momentum", [0.01, 1.0])
def test_value(momentum, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    head = with_lengths(make_head("adaface", momentum=momentum, concentration=2.0), 3.0, 1.0)
    kinds = set()

    def oracle(x, W, labels):
        lengths = [min(max(math.sqrt(sum(v * v for v in row)), 0.001), 100.0) for row in x]
        mean = sum(lengths) / len(lengths)
        spread = math.sqrt(sum((a - mean) ** 2 for a in lengths) / (len(lengths) - 1))
        mean = momentum * mean + (1 - momentum) * 3.0
        spread = momentum * spread + (1 - momentum) * 1.0
        total = 0.0
        for i, y in enumerate(labels):
            quality = min(max((lengths[i] - mean) / (spread + 0.001) * 2.0, -1.0), 1.0)
            kinds.add(int(np.sign(quality)) if abs(quality) == 1 else 0)
            cosines = [cosine_oracle(x[i], w) for w in W]
            theta = min(max(math.acos(cosines[y]) - 0.4 * quality, 0.0), math.pi)
            cosines[y] = math.cos(theta) - (0.4 + 0.4 * quality)
            total += cross_entropy_oracle([30.0 * c for c in cosines], y)
        return total / len(labels)

    agrees(head, oracle)
    assert kinds == {-1, 0, 1}


def plain(x, W, labels):
    lengths = x.detach().norm(dim=1)
    mean = 0.99 * 2.0 + 0.01 * lengths.mean()
    deviation = 0.99 * 0.5 + 0.01 * lengths.std()
    quality = (0.333 * (lengths - mean) / (deviation + 0.001)).clamp(-1, 1)
    unit = [v / (v.square().sum(1, keepdim=True) + EPSILON).sqrt() for v in (x, W)]
    cosines = unit[0] @ unit[1].T
    target = (cosines.gather(1, labels[:, None])[:, 0].acos() - 0.4 * quality).cos()
    target = target - 0.4 * (1 + quality)
    logits = 30 * cosines.scatter(1, labels[:, None], target[:, None])
    return torch.nn.functional.cross_entropy(logits, labels)


def test_the_gradient_leaves_out_the_quality(make_head, gradients_agree):
    gradients_agree(with_lengths(make_head("adaface"), 2.0, 0.5), plain)


def test_the_angle_stays_within_its_ends(make_head):
    head = with_lengths(make_head("adaface", momentum=0.001, concentration=1.0), 5.0, 1.0)
    W = head.prototypes.weight.detach()
    unit = W / W.norm(dim=1, keepdim=True)
    x = torch.stack([50 * unit[0], -0.1 * unit[1]]).requires_grad_()  # q = 1 at 0, q = -1 at pi
    output = head(x, torch.tensor([0, 1]))
    cosines = (x.detach() / x.detach().norm(dim=1, keepdim=True)) @ unit.T
    own = torch.tensor([1 - 2 * 0.4, -1.0], dtype=torch.float64)
    logits = 30 * cosines.scatter(1, torch.arange(2)[:, None], own[:, None])
    wanted = torch.nn.functional.cross_entropy(logits, torch.arange(2))
    assert output.loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    output.loss.backward()
    assert x.grad.isfinite().all()
    assert output.stats["margin"].item() == pytest.approx(0.4)


def test_long_and_short_embeddings_are_cut_off(make_head):
    head = with_lengths(make_head("adaface", momentum=1.0), 0.0, 0.0)
    x = torch.tensor([[1e-6, 0, 0, 0, 0], [1e5, 0, 0, 0, 0]])
    head(x, torch.tensor([0, 1]))
    head.step_completed()
    mean, deviation = head.lengths.average.tolist()
    assert mean == pytest.approx((0.001 + 100) / 2)
    assert deviation == pytest.approx((100 - 0.001) / math.sqrt(2))


def test_the_average_moves_once_per_step(make_head, batch):
    head = make_head("adaface", momentum=0.5)
    assert head.lengths.average.tolist() == [20.0, 100.0]
    first = head(*batch).loss
    assert head(*batch).loss == first
    with torch.no_grad():
        head(100 * batch[0], batch[1])
    head.eval()(100 * batch[0], batch[1])
    head.train().step_completed()
    lengths = batch[0].norm(dim=1)
    wanted = [(20 + lengths.mean().item()) / 2, (100 + lengths.std().item()) / 2]
    assert head.lengths.average.tolist() == pytest.approx(wanted)
    assert head(*batch).loss != first


def test_one_image_leaves_the_deviation(make_head):
    head = make_head("adaface", momentum=1.0)
    head(torch.tensor([[3.0, 0, 0, 0, 4]]), torch.tensor([0]))
    head.step_completed()
    assert head.lengths.average.tolist() == [5.0, 100.0]


def test_a_scale_too_small_is_said(capsys):
    create_head("adaface", embedding_size=4, identities=1000, scale=5)
    assert "warning: head 'adaface': with scale 5 and 1000 identities" in capsys.readouterr().err
