"""BatchNorm whose statistics are those of all processes' batches, and can be left alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facever.core.processes import all_sum, world
from facever.errors import TrainingError


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm over the rows of all processes together, in training.

    `torch.nn.SyncBatchNorm` does that on accelerators only; a matrix of features is small enough
    for two differentiable sums, anywhere.

    Attributes:
        frozen: In training, normalise by the batch's statistics but leave the buffers alone.
        whole_batch: Each process is given the rows of all: nothing is added up.

    Reference:
        Ioffe and Szegedy, Batch Normalization, ICML 2015, algorithm 1.
    """

    momentum: float

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.frozen = self.whole_batch = False

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised rows [B, size].

        Raises:
            TrainingError: One row only, in training.
        """
        if not self.training:
            return super().forward(features)
        if world() > 1 and not self.whole_batch:
            return self._over_all(features)
        if len(features) < 2:
            raise TrainingError(
                "BatchNorm of the generator and the discriminator cannot train on one feature: "
                "take batches of two images or more"
            )
        kept = (None, None) if self.frozen else (self.running_mean, self.running_var)
        if not self.frozen:
            self._count()
        return F.batch_norm(features, *kept, self.weight, self.bias, True, self.momentum, self.eps)

    def _over_all(self, features: Tensor) -> Tensor:
        mean, variance, rows = moments(features)
        if not self.frozen:
            with torch.no_grad():
                self._count()
                assert self.running_mean is not None
                assert self.running_var is not None
                self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
                unbiased = variance * rows / (rows - 1)
                self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        return (features - mean) * (variance + self.eps).rsqrt() * self.weight + self.bias

    def _count(self) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1


def moments(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean [D], biased variance [D] and number of the rows of all processes.

    Differentiable, also with respect to the rows of other processes. The variance is summed from
    differences to the mean.
    """
    rows = features.new_tensor(float(len(features)))
    all_sum(rows)
    mean = sum_of_processes(features.sum(0)) / rows
    variance = sum_of_processes((features - mean).square().sum(0)) / rows
    return mean, variance, rows


def sum_of_processes(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; its gradient is summed over them too.

    The latter makes each process's gradient that of the sum of all processes' losses.
    """
    if world() == 1:
        return values
    total: Tensor = _Sum.apply(values)
    return total


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Leave the parameters and the BatchNorm statistics of a network alone.

    What is computed inside has gradients for the network's input, and none for its parameters.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    norms = [part for part in network.modules() if isinstance(part, BatchNorm) and not part.frozen]
    for parameter in parameters:
        parameter.requires_grad_(False)
    for norm in norms:
        norm.frozen = True
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm in norms:
            norm.frozen = False


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        return all_sum(values.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> Tensor:  # noqa: ARG004
        return all_sum(d_total.clone(memory_format=torch.contiguous_format))
