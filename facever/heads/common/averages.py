"""Averages over the steps of a training, as part of a head's state."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facever.core.processes import all_sum


class StepAverage(nn.Module):
    """An exponential average over optimizer steps: old values count (1 - momentum) per step.

    A batch gets the average with its own values included, at the share `momentum`, as after its
    step. The average itself is updated once per optimizer step, by the mean over the step's
    micro-batches and processes. So it does not depend on the number of forward passes, and with one
    batch per step it equals an update in the forward pass.

    Args:
        start: K values at the beginning.
        momentum: Share of the newest step, in (0, 1].

    Attributes:
        average: [K], in the state dict.
    """

    average: Tensor

    def __init__(self, start: Sequence[float], momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("average", torch.tensor(start))
        self._batches: list[Tensor] = []  # of this step; empty between steps

    @torch.no_grad()
    def forward(self, values: Tensor, training: bool) -> Tensor:
        """Return the average [K] with this batch's values [K] in it.

        Args:
            values: [K].
            training: Whether the batch belongs to the step.
        """
        if training:
            self._batches.append(values)
        return torch.lerp(self.average.to(values.dtype), values, self.momentum)

    @torch.no_grad()
    def step_completed(self) -> None:
        """Update the average. Every process must call it, as the optimizer's step."""
        values, self._batches = self._batches, []
        total = torch.stack([torch.zeros_like(self.average), *(v.to(self.average) for v in values)])
        sums = torch.cat([total.sum(0), self.average.new_tensor([len(values)])])
        all_sum(sums)
        mean = sums[:-1] / sums[-1].clamp_min(1)
        moved = torch.lerp(self.average, mean, self.momentum)
        self.average.copy_(torch.where(sums[-1] > 0, moved, self.average))
