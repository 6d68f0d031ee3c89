"""The figures of a diagnosis on cases that can be counted by hand."""

import math

import pytest
import torch

from facever.heads.common.mining import Triplets
from facever.training.htg.diagnosis import hardness, kept, relative_offset, verdicts


def test_hardness() -> None:
    between = torch.tensor([[0.0, 0.5, 0.6], [0.5, 0.0, 1.5], [0.6, 1.5, 0.0]])
    triplets = Triplets(*(torch.tensor(part) for part in ([0, 1], [1, 0], [2, 2])))
    violation, margin = hardness(between, triplets, 0.2)  # right by 0.1 and by 1.0
    assert violation.item() == 0.5
    assert margin.item() == pytest.approx(0.55)
    none = Triplets(*(torch.empty(0, dtype=torch.int64) for _ in range(3)))
    assert [value.item() for value in hardness(between, none, 0.2)] == [0, 0]


def test_kept_compares_directions() -> None:
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 9.0]])  # a longer one does not win
    features = torch.tensor([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    assert kept(features, prototypes, torch.tensor([0, 1, 0])).item() == pytest.approx(2 / 3)


def test_relative_offset() -> None:
    features = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    generated = torch.tensor([[3.0, 5.0], [1.0, 1.0]])
    assert relative_offset(features, generated).item() == pytest.approx((1 / 5 + 1) / 2)
    assert math.isfinite(relative_offset(torch.zeros(1, 2), torch.ones(1, 2)).item())


def test_verdicts() -> None:
    def says(*classes: int) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor(classes), 4).float()

    own, found, apart = verdicts(says(0, 1, 3, 2), says(3, 3, 3, 1), torch.tensor([0, 1, 2, 0]))
    assert own.item() == 0.5
    assert found.item() == 0.75
    assert apart.item() == (0.75 + 0.75) / 2
    own, found, apart = verdicts(says(3, 3), says(3, 3), torch.tensor([0, 1]))
    assert [own.item(), found.item(), apart.item()] == [0, 1, 0.5]  # it always says "generated"
