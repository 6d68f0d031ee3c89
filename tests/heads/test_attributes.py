import math

import pytest
import torch

from facever.errors import ConfigError, TrainingError
from facever.heads import create_head
from facever.heads.classes.vectors import EPSILON


@pytest.fixture
def head():
    torch.manual_seed(5)
    head = create_head("attributes", embedding_size=5, identities=7, columns=["a", "b", "c"])
    torch.nn.init.normal_(head.classifier.bias)
    return head.double()


@pytest.fixture
def labels():
    nan = torch.nan
    table = [[0, 1, nan], [1, 1, 0], [nan, nan, nan], [0, nan, 1], [1, 0, 0], [0, 0, 1]]
    return torch.tensor(table, dtype=torch.float64)


def test_value(head, batch, labels):
    V, b = (p.detach().tolist() for p in head.classifier.parameters())
    losses, right = [], []
    head.thresholds.copy_(torch.tensor([0.5, 0.2, 0.9]))
    for x, row in zip(batch[0].tolist(), labels.tolist(), strict=True):
        length = math.sqrt(sum(v * v for v in x) + EPSILON)
        for j, wanted in enumerate(row):
            if not math.isnan(wanted):
                z = b[j] + sum(v * w for v, w in zip(x, V[j], strict=True)) * math.sqrt(5) / length
                p = 1 / (1 + math.exp(-z))
                losses.append(-math.log(p if wanted else 1 - p))
                right.append((p > (0.5, 0.2, 0.9)[j]) == bool(wanted))
    assert len(losses) == 13
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        output = head.to(dtype)(batch[0].to(dtype), labels.to(dtype))
        assert output.loss.item() == pytest.approx(sum(losses) / 13, rel=tolerance)
        assert output.stats["accuracy"].item() == pytest.approx(sum(right) / 13)
        assert output.stats["known"].item() == pytest.approx(13 / 18)


def test_unknown_labels_teach_nothing(head, batch, labels):
    leaf = batch[0].clone().requires_grad_()
    head(leaf, labels).loss.backward()
    assert (leaf.grad[2] == 0).all()
    assert (leaf.grad[0] != 0).any()
    nothing = head(leaf, torch.full_like(labels, torch.nan))
    nothing.loss.backward()
    assert nothing.loss == 0


def test_the_length_of_embeddings_has_no_say(head, batch, labels):
    one, ten = head(batch[0], labels).loss, head(10 * batch[0], labels).loss
    assert one.item() == pytest.approx(ten.item(), rel=1e-5)


def test_labels_name_the_answers():
    head = create_head(
        "attributes", embedding_size=5, identities=7, columns=["hair"], labels=["hair=a", "hair=b"]
    )
    assert head.label_names == ("hair=a", "hair=b")
    assert head.target_shape == (2,)
    assert head.thresholds.tolist() == [0.5, 0.5]
    assert head.state_dict()["thresholds"].shape == (2,)
    with pytest.raises(ConfigError, match="'columns' is missing"):
        create_head("attributes", embedding_size=5, identities=7)
    with pytest.raises(TrainingError, match=r"takes attributes as floating point \[1, 2\]"):
        head(torch.ones(1, 5), torch.zeros(1, dtype=torch.int64))
