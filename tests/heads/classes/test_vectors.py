"""Prototypes: how they are drawn and held; and the helpers of vectors."""

import pytest
import torch

from facever.heads.classes.vectors import EPSILON, Prototypes, blocks, normalize


def test_blocks_cover_every_row_once():
    cpu = torch.device("cpu")
    for rows, width in ((10, 2**18), (10, 2**20), (1000, 2**10), (7, 3)):
        parts = list(blocks(rows, width, cpu))
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
        assert len(parts) == -(-rows // max(1, 2**18 // width))
    assert len(list(blocks(100_000, 512, torch.device("cuda")))) == 1


def test_prototypes_start_at_length_one_on_average():
    torch.manual_seed(0)
    weight = Prototypes(2000, 64).hold().weight
    assert weight.norm(dim=1).mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("bound", [None, 0.5])
@pytest.mark.parametrize("held", [(0, 11), (0, 4), (3, 6), (8, 3), (11, 0)])
def test_prototypes_have_the_same_values_in_whosever_memory_they_are(monkeypatch, bound, held):
    torch.manual_seed(0)
    whole = Prototypes(11, 32, bound).hold().weight
    after = torch.rand(1)
    first, count = held
    monkeypatch.setattr("facever.heads.classes.vectors._DRAWN_AT_ONCE", 4)  # 4, 4 and 3
    torch.manual_seed(0)
    part = Prototypes(11, 32, bound).hold(first, count)
    assert torch.equal(torch.rand(1), after)
    assert part.first == first
    assert torch.equal(part.weight, whole[first : first + count])


def test_normalize_is_safe_at_zero():
    x = torch.zeros(1, 3, requires_grad=True)
    normalize(x).sum().backward()
    assert x.grad.abs().max().item() == pytest.approx(EPSILON**-0.5)
