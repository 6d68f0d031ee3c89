"""The median of blocks is torch.median's, to the bit."""

import pytest
import torch

from facever.heads.common.quantile import median_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_as_torch(dtype: torch.dtype, count: int) -> None:
    stream = torch.Generator().manual_seed(count)
    numbers = torch.rand(count, 3, generator=stream).to(dtype) * 50
    numbers[count // 2] = 0.0
    parts = numbers.split(max(1, count // 3))
    median = median_of(lambda: iter(parts), numbers, lambda counts: counts)
    assert torch.equal(median, numbers.median())


def test_ties() -> None:
    numbers = torch.tensor([3.0, 1.0, 3.0, 3.0, 2.0, 1e-30])
    median = median_of(lambda: iter([numbers[:2], numbers[2:]]), numbers, lambda counts: counts)
    assert median == 2.0


def test_counts_of_others_count() -> None:
    """Two processes with the same numbers have the same median as one with them twice."""
    numbers = torch.tensor([5.0, 1.0, 3.0])
    twice = torch.cat([numbers, numbers])
    assert median_of(lambda: iter([numbers]), numbers, lambda c: 2 * c) == twice.median()
