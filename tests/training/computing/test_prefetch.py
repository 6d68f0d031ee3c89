"""Images on the device: the same ones, in the same order."""

import pytest
import torch

from facever.data.loading import Batch
from facever.training.computing.prefetch import on_device


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("groups", [0, 1, 5])
def test_nothing_is_lost_or_changed(groups: int, device: str) -> None:
    def images(number: int) -> torch.Tensor:
        return torch.full((2, 3, 64, 64), number, dtype=torch.uint8)

    def made():
        for number in range(groups):
            rows = torch.tensor([number, number])
            yield [
                Batch(images(number), rows, rows, []),
                Batch(images(100 + number), rows, rows, []),
            ]

    seen = list(on_device(made(), torch.device(device)))
    assert len(seen) == groups
    for number, group in enumerate(seen):
        for batch, wanted in zip(group, (number, 100 + number), strict=True):
            assert batch.images.device.type == device
            assert torch.equal(batch.images.cpu(), images(wanted))
            assert batch.labels.tolist() == [number, number]
