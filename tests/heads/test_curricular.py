import math

import pytest
import torch

EPSILON = 1e-6


@pytest.mark.parametrize(("t", "momentum"), [(0.0, 0.01), (0.7, 0.5)])
@pytest.mark.parametrize("margin", [0.5, 1.3])
def test_value(t, momentum, margin, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    head = make_head("curricular", margin=margin, momentum=momentum)
    head.progress.average.fill_(t)
    kinds = set()

    def oracle(x, W, labels):
        rows = [[cosine_oracle(a, w) for w in W] for a in x]
        own = [row[y] for row, y in zip(rows, labels, strict=True)]
        now = momentum * sum(own) / len(own) + (1 - momentum) * t
        total = 0.0
        for row, y in zip(rows, labels, strict=True):
            theta = math.acos(row[y])
            border = math.cos(theta + margin)
            changed = [c * (now + c) if c > border else c for c in row]
            within = theta + margin < math.pi
            kinds.update((within, bool(c > border)) for j, c in enumerate(row) if j != y)
            changed[y] = border if within else row[y] - margin * math.sin(margin)
            total += cross_entropy_oracle([30.0 * c for c in changed], y)
        return total / len(labels)

    agrees(head, oracle)
    assert kinds >= ({(True, True), (True, False)} if margin == 0.5 else {(False, True)})


def plain(x, W, labels):
    unit = [v / (v.square().sum(1, keepdim=True) + EPSILON).sqrt() for v in (x, W)]
    cosines = unit[0] @ unit[1].T
    own = cosines.gather(1, labels[:, None])
    t = 0.99 * 0.4 + 0.01 * own.detach().mean()
    turned = (own.acos() + 0.5).cos()
    hard = cosines > turned
    target = torch.where(own > -math.cos(0.5), turned, own - 0.5 * math.sin(0.5))
    cosines = torch.where(hard, cosines * (t + cosines), cosines)
    return torch.nn.functional.cross_entropy(
        30 * cosines.scatter(1, labels[:, None], target), labels
    )


def test_the_gradient_leaves_out_t(make_head, gradients_agree):
    head = make_head("curricular")
    head.progress.average.fill_(0.4)
    gradients_agree(head, plain)


def test_t_moves_once_per_step(make_head, batch, cosine_oracle):
    head = make_head("curricular", momentum=0.5)
    x, labels = batch
    own = [
        cosine_oracle(a.numpy(), head.prototypes.weight[y].detach().numpy())
        for a, y in zip(x, labels, strict=True)
    ]
    first = head(*batch).loss
    assert head(*batch).loss == first
    with torch.no_grad():
        head(-x, labels)
    head.eval()(-x, labels)
    assert head.train().progress.average.item() == 0
    head.step_completed()
    assert head.progress.average.item() == pytest.approx(sum(own) / len(own) / 2)
    assert head(*batch).loss != first
