import numpy as np
import pytest
import torch

from facever.errors import TrainingError
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
    products = batch[0].numpy() @ head.prototypes.weight.detach().numpy().T
    hits = (products.argmax(1) == batch[1].numpy()).mean()
    assert output.stats["accuracy"] == hits
    assert 0 < hits < 1
    assert head.metric == "dot"


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_labels(smoothing, batch, make_head):
    head, (x, labels) = make_head("softmax", bias=True, label_smoothing=smoothing), batch
    with torch.no_grad():
        head.prototypes.weight[2] = 100 * x[2]
    onehot = torch.nn.functional.one_hot(labels, 7).double()
    hard, soft = head(x, labels), head(x, onehot)
    assert soft.loss.item() == pytest.approx(hard.loss.item(), rel=1e-12)
    assert 0 < soft.stats["accuracy"] == hard.stats["accuracy"]
    other = torch.nn.functional.one_hot((labels + 1) % 7, 7).double()
    mixed = head(x, 0.25 * onehot + 0.75 * other).loss  # linear in the shares
    wanted = 0.25 * hard.loss + 0.75 * head(x, (labels + 1) % 7).loss
    assert mixed.item() == pytest.approx(wanted.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (torch.ones(6, 3), "takes soft labels [6, 7] for 6 embeddings, not float32 [6, 3]"),
        (
            torch.full((6, 7), 0.5),
            "soft label 0 is not a distribution (smallest share 0.5, sum 3.5)",
        ),
        (
            torch.tensor([[1.5, -0.5, 0, 0, 0, 0, 0]]).repeat(6, 1),
            "soft label 0 is not a distribution (smallest share -0.5, sum 1)",
        ),
        (
            torch.full((6, 7), torch.nan),
            "soft label 0 is not a distribution (smallest share nan, sum nan)",
        ),
    ],
)
def test_what_is_no_distribution_is_refused(shares, message, batch, make_head):
    with pytest.raises(TrainingError) as error:
        make_head("softmax")(batch[0], shares)
    assert str(error.value).replace("': ", "' ") == f"head 'softmax' {message}"


def test_only_heads_that_say_so_take_soft_labels(batch, make_head):
    with pytest.raises(TrainingError, match=r"takes int64 labels \[6\] for 6 embeddings"):
        make_head("cosine")(batch[0], torch.full((6, 7), 1 / 7))
