import numpy as np
import pytest
import torch

from facever.heads import create_head


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_value(bias, smoothing, make_head, agrees, cross_entropy_oracle):
    head = make_head("softmax", bias=bias, label_smoothing=smoothing)
    offsets = head.bias.detach().numpy() if bias else np.zeros(7)

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            logits = [
                sum(float(a) * float(b) for a, b in zip(x[i], W[j], strict=True)) + offsets[j]
                for j in range(len(W))
            ]
            for j in range(len(W)):
                share = smoothing / len(W) + (1 - smoothing) * (j == y)
                total += share * cross_entropy_oracle(logits, j)
        return total / len(labels)

    agrees(head, oracle)


def test_the_bias_is_optional_and_not_decayed():
    plain = create_head("softmax", embedding_size=5, identities=7)
    assert plain.bias is None
    assert plain.no_weight_decay() == set()
    assert create_head("softmax", embedding_size=5, identities=7, bias=True).bias.shape == (7,)


def test_compares_by_dot_product_and_counts_hits(batch, make_head):
    head = make_head("softmax")
    with torch.no_grad():
        head.prototypes.weight.zero_()
        head.prototypes.weight[2] = 100 * batch[0][2]
    output = head(*batch)
    hits = (output.logits.argmax(1) == batch[1]).double().mean()
    assert output.stats["accuracy"] == hits
    assert 0 < hits < 1
    assert head.metric == "dot"
