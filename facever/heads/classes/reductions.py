"""What a loss needs to know of an image's wrong identities: a number or two each, not C.

A reduction meets the logits block by block and forgets them; what it found in one process is put
together with what the others found by one maximum and one sum (see `streamed`). At an image's own
identity a block has -inf, and that never counts.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor


class Reduction(ABC):
    """From logits [B, c] of one block after another to numbers of each image.

    Attributes:
        parameter: A tensor with a gradient of its own that the reduction depends on, or None.
    """

    parameter: Tensor | None = None

    @abstractmethod
    def add(self, z: Tensor) -> None:
        """Take in a block [B, c]; it is left as it is."""

    def maximum(self) -> Tensor | None:
        """Return [B] whose maximum over processes is needed before `sums`, if one is."""
        return None

    @abstractmethod
    def sums(self, maximum: Tensor | None) -> Tensor:
        """Return [K, B] to be summed over processes."""

    @abstractmethod
    def result(self, sums: Tensor) -> Tensor:
        """Return [K, B] from the sums over all processes."""

    @abstractmethod
    def slope(self, z: Tensor, d_result: Tensor) -> Tensor:
        """Return the gradient of a block's logits [B, c], a new tensor, from that of the result."""

    def parameter_gradient(self, d_result: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return this process's part of the gradient of `parameter`, after every `slope`."""
        return None


class LogSumExp(Reduction):
    """log sum_j e^z_j, and sum_j z_j where asked for.

    The gradient of its result, never negative, goes into the exponent: what is cut off as too small
    is then the product of the two.
    """

    def __init__(self, like: Tensor, with_sum: bool) -> None:
        self._top = torch.full_like(like, -math.inf)
        self._sums, self._plain = torch.zeros_like(like), torch.zeros_like(like)
        self._with_sum = with_sum
        self._result = like

    def add(self, z: Tensor) -> None:
        """See Reduction."""
        top = torch.maximum(self._top, z.amax(1))
        base = _finite(top)
        self._sums.mul_(_exponential(self._top - base))
        self._sums += _exponential(z - base[:, None]).sum(1)
        self._top = top
        if self._with_sum:
            self._plain += z.masked_fill(z == -math.inf, 0.0).sum(1)

    def maximum(self) -> Tensor:
        """See Reduction."""
        return self._top

    def sums(self, maximum: Tensor | None) -> Tensor:
        """See Reduction."""
        assert maximum is not None
        self._sums.mul_(_exponential(self._top - _finite(maximum)))
        self._top = maximum
        return torch.stack([self._sums, self._plain][: 1 + self._with_sum])

    def result(self, sums: Tensor) -> Tensor:
        """See Reduction."""
        result = self._top + sums[0].log()
        self._result = _finite(result)
        return torch.stack([result, *sums[1:]])

    def slope(self, z: Tensor, d_result: Tensor) -> Tensor:
        """See Reduction."""
        slope = _exponential(z + (d_result[0].log() - self._result)[:, None])
        if self._with_sum:
            slope.add_(d_result[1][:, None] * (z != -math.inf))
        return slope


class SoftplusSum(Reduction):
    """sum_j log(1 + e^(z_j + b)), of a 0-d bias b."""

    def __init__(self, like: Tensor, bias: Tensor) -> None:
        self.parameter = bias
        self._bias = bias.detach().to(like.dtype)
        self._sums, self._d_bias = torch.zeros_like(like), like.new_zeros(())

    def add(self, z: Tensor) -> None:
        """See Reduction."""
        self._sums += F.softplus(z + self._bias, threshold=40.0).sum(1)

    def sums(self, maximum: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Reduction."""
        return self._sums[None]

    def result(self, sums: Tensor) -> Tensor:
        """See Reduction."""
        return sums

    def slope(self, z: Tensor, d_result: Tensor) -> Tensor:
        """See Reduction."""
        slope = (z + self._bias).clamp_min_(_LOWEST).sigmoid_().mul_(d_result[0][:, None])
        slope.masked_fill_(z == -math.inf, 0.0)
        self._d_bias += slope.sum()
        return slope

    def parameter_gradient(self, d_result: Tensor) -> Tensor:  # noqa: ARG002
        """See Reduction."""
        total, self._d_bias = self._d_bias, torch.zeros_like(self._d_bias)
        return total


class HingeSum(Reduction):
    """sum_j max(0, z_j - lowest), and the number of its terms, which has no gradient."""

    def __init__(self, lowest: Tensor) -> None:
        self.parameter = lowest
        self._lowest = lowest.detach()
        self._sums, self._counts = torch.zeros_like(self._lowest), torch.zeros_like(self._lowest)

    def add(self, z: Tensor) -> None:
        """See Reduction."""
        excess = (z - self._lowest[:, None]).clamp_min_(0)
        self._sums += excess.sum(1)
        self._counts += excess.sign_().sum(1)

    def sums(self, maximum: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Reduction."""
        return torch.stack([self._sums, self._counts])

    def result(self, sums: Tensor) -> Tensor:
        """See Reduction."""
        return sums

    def slope(self, z: Tensor, d_result: Tensor) -> Tensor:
        """See Reduction."""
        return (z > self._lowest[:, None]).to(z.dtype).mul_(d_result[0][:, None])

    def parameter_gradient(self, d_result: Tensor) -> Tensor:
        """See Reduction."""
        return -self._counts * d_result[0]


class Hardest(Reduction):
    """max_j z_j; where several processes have it, they share its gradient."""

    def __init__(self, like: Tensor) -> None:
        self._top = torch.full_like(like, -math.inf)
        self._place = torch.full_like(like, -1, dtype=torch.int64)  # among the identities seen
        self._shares = torch.ones_like(like)
        self._seen = self._passed = 0

    def add(self, z: Tensor) -> None:
        """See Reduction."""
        top, place = z.max(1)
        better = top > self._top
        self._top = torch.maximum(self._top, top)  # keeps what is not a number
        self._place = torch.where(better, place + self._seen, self._place)
        self._seen += z.shape[1]

    def maximum(self) -> Tensor:
        """See Reduction."""
        return self._top

    def sums(self, maximum: Tensor | None) -> Tensor:
        """See Reduction."""
        assert maximum is not None
        has = (self._top == maximum) & (self._place >= 0)
        self._place = torch.where(has, self._place, -1)
        rest = torch.where(self._top.isnan(), self._top, 0.0)
        return torch.stack([torch.where(has, maximum, rest), has.to(maximum.dtype)])

    def result(self, sums: Tensor) -> Tensor:
        """See Reduction; -inf where there is none, NaN where one is."""
        self._shares = sums[1].clamp_min(1)
        return torch.where(sums[1] > 0, sums[0] / self._shares, sums[0] - math.inf)[None]

    def slope(self, z: Tensor, d_result: Tensor) -> Tensor:
        """See Reduction; blocks come in the order in which they were added."""
        columns = torch.arange(z.shape[1], device=z.device) + self._passed
        self._passed = 0 if self._passed + z.shape[1] == self._seen else self._passed + z.shape[1]
        chosen = (columns == self._place[:, None]).to(z.dtype)
        return chosen.mul_((d_result[0] / self._shares)[:, None])


_LOWEST = math.log(1e-30)


def _exponential(below: Tensor) -> Tensor:
    """Return e^below in place, 0 under 1e-30: on a CPU denormals are slow, and so is e^-inf."""
    return torch.threshold_(below.clamp_min_(_LOWEST).exp_(), 1.001e-30, 0.0)


def _finite(maximum: Tensor) -> Tensor:
    """Return the maximum, 0 where there is nothing to take one of."""
    return maximum.masked_fill(maximum == -math.inf, 0.0)
