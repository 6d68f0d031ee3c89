"""Losses of an image over the identities, from logits that come block after block.

A loss needs one or two numbers of each image, not all its logits: it meets a block [B, c] at a
time and forgets it. What it found in one process is put together with what the others found by one
maximum and one sum (see `comparison`). Gradients below 1e-30 are zero: a saturated batch would
leave denormals there, which slow every product down on a CPU.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_GRADIENT = 1e-30
"""Gradients of logits below this are zero."""


class Loss(ABC):
    """A number of each image [B], from its logits and one more number that is given.

    Attributes:
        with_own: Whether a block holds the own logit; otherwise -inf is in its place.
        given: [B], the own logits or what else the loss is made with; its gradient is
            `given_gradient`. None where own logits are taken as they come in the blocks.
    """

    with_own: ClassVar[bool] = False
    given: Tensor | None = None

    @abstractmethod
    def add(self, z: Tensor) -> None:
        """Take in a block [B, c] without changing it."""

    def maximum(self) -> Tensor | None:
        """Return [B] whose maximum over processes `sums` needs, if it needs one."""
        return None

    @abstractmethod
    def sums(self, maximum: Tensor | None) -> Tensor:
        """Return [K, B] to be summed over processes."""

    @abstractmethod
    def result(self, sums: Tensor, own: Tensor, identities: Tensor) -> Tensor:
        """Return [R, B], the loss of each image first; the other rows have no gradient.

        Args:
            sums: [K, B], over all processes.
            own: [B], the own logits as they are in the blocks.
            identities: 0-d, how many there are in all processes.
        """

    @abstractmethod
    def slope(self, z: Tensor, d_loss: Tensor) -> Tensor:
        """Return the gradient of a block [B, c], a new tensor, from that of the losses [B].

        What it has at the own logits does not count.
        """

    def own_slope(self, d_loss: Tensor) -> Tensor:
        """Return the gradient of the own logits [B]."""
        return torch.zeros_like(d_loss)

    def given_gradient(self, d_loss: Tensor) -> Tensor:
        """Return the gradient of `given` [B]."""
        return self.own_slope(d_loss)


class CrossEntropy(Loss):
    """log sum_j e^z_j - sum_j q_j z_j, with q = (1 - e) onehot + e / C.

    Args:
        like: [B], of the logits' type and device.
        own: The own logits [B]; None: those in the blocks.
        label_smoothing: e in [0, 1).
    """

    with_own = True

    def __init__(self, like: Tensor, own: Tensor | None, label_smoothing: float) -> None:
        self.given, self._smoothing = own, label_smoothing
        self._top = torch.full_like(like, -math.inf)
        self._sums, self._plain = torch.zeros_like(like), torch.zeros_like(like)
        self._own, self._identities = like, like

    def add(self, z: Tensor) -> None:
        """See Loss."""
        top = torch.maximum(self._top, z.amax(1))
        base = _finite(top)
        self._sums.mul_(_exponential(self._top - base))
        self._sums += _exponential(z - base[:, None]).sum(1)
        self._top = top
        if self._smoothing:
            self._plain += z.sum(1)

    def maximum(self) -> Tensor:
        """See Loss."""
        return self._top

    def sums(self, maximum: Tensor | None) -> Tensor:
        """See Loss."""
        assert maximum is not None
        self._sums.mul_(_exponential(self._top - _finite(maximum)))
        self._top = maximum
        return torch.stack([self._sums, self._plain] if self._smoothing else [self._sums])

    def result(self, sums: Tensor, own: Tensor, identities: Tensor) -> Tensor:
        """See Loss."""
        self._own = own if self.given is None else self.given.detach()
        self._sums, self._identities = sums[0], identities
        aimed = self._own - self._top
        if self._smoothing:
            mean = sums[1] / identities
            aimed = (1 - self._smoothing) * aimed + self._smoothing * (mean - self._top)
        return (self._sums.log() - aimed)[None]

    def slope(self, z: Tensor, d_loss: Tensor) -> Tensor:
        """See Loss."""
        slope = _exponential(z - self._top[:, None]).mul_((d_loss / self._sums)[:, None])
        if self._smoothing:
            slope.sub_((d_loss * self._smoothing / self._identities)[:, None])
        return slope

    def own_slope(self, d_loss: Tensor) -> Tensor:
        """See Loss."""
        among_all = self.slope(self._own[:, None], d_loss)[:, 0]
        return among_all + d_loss * (self._smoothing - 1)


class OneVsAll(Loss):
    """a softplus(-z_y) + (1 - a) sum_{j != y} softplus(z_j): C binary classifiers.

    Args:
        own: z_y [B].
        own_share: a in (0, 1).
    """

    def __init__(self, own: Tensor, own_share: float) -> None:
        self.given, self._own, self._share = own, own.detach(), own_share
        self._sums = torch.zeros_like(self._own)

    def add(self, z: Tensor) -> None:
        """See Loss."""
        self._sums += _softplus(z).sum(1)

    def sums(self, maximum: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Loss."""
        return self._sums[None]

    def result(self, sums: Tensor, own: Tensor, identities: Tensor) -> Tensor:  # noqa: ARG002
        """See Loss."""
        return self._share * _softplus(-self._own) + (1 - self._share) * sums

    def slope(self, z: Tensor, d_loss: Tensor) -> Tensor:
        """See Loss."""
        return _sigmoid(z).mul_(((1 - self._share) * d_loss)[:, None])

    def own_slope(self, d_loss: Tensor) -> Tensor:
        """See Loss."""
        return -self._share * d_loss * _sigmoid(-self._own)


class HingeSum(Loss):
    """sum_j max(0, z_j - lowest) over the wrong identities, and the number of its terms.

    Args:
        lowest: [B].
    """

    def __init__(self, lowest: Tensor) -> None:
        self.given, self._lowest = lowest, lowest.detach()
        self._sums, self._counts = torch.zeros_like(self._lowest), torch.zeros_like(self._lowest)

    def add(self, z: Tensor) -> None:
        """See Loss."""
        excess = (z - self._lowest[:, None]).clamp_min_(0)
        self._sums += excess.sum(1)
        self._counts += excess.sign_().sum(1)

    def sums(self, maximum: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Loss."""
        return torch.stack([self._sums, self._counts])

    def result(self, sums: Tensor, own: Tensor, identities: Tensor) -> Tensor:  # noqa: ARG002
        """See Loss."""
        self._counts = sums[1]
        return sums

    def slope(self, z: Tensor, d_loss: Tensor) -> Tensor:
        """See Loss."""
        return (z > self._lowest[:, None]).to(z.dtype).mul_(d_loss[:, None])

    def given_gradient(self, d_loss: Tensor) -> Tensor:
        """See Loss."""
        return -self._counts * d_loss


class Hardest(Loss):
    """max_j z_j over the wrong identities; processes that have the same one share its gradient.

    Args:
        like: [B], of the logits' type and device.
    """

    def __init__(self, like: Tensor) -> None:
        self._top = torch.full_like(like, -math.inf)
        self._place = torch.full_like(like, -1, dtype=torch.int64)  # among the identities seen
        self._shares = torch.ones_like(like)
        self._seen = self._passed = 0

    def add(self, z: Tensor) -> None:
        """See Loss."""
        top, place = z.max(1)
        better = top > self._top
        self._top = torch.maximum(self._top, top)  # keeps NaN
        self._place = torch.where(better, place + self._seen, self._place)
        self._seen += z.shape[1]

    def maximum(self) -> Tensor:
        """See Loss."""
        return self._top

    def sums(self, maximum: Tensor | None) -> Tensor:
        """See Loss."""
        assert maximum is not None
        has = (self._top == maximum) & (self._place >= 0)
        self._place = torch.where(has, self._place, -1)
        rest = torch.where(self._top.isnan(), self._top, 0.0)
        return torch.stack([torch.where(has, maximum, rest), has.to(maximum.dtype)])

    def result(self, sums: Tensor, own: Tensor, identities: Tensor) -> Tensor:  # noqa: ARG002
        """See Loss; -inf where there is no wrong identity, NaN where a logit is NaN."""
        self._shares = sums[1].clamp_min(1)
        return torch.where(sums[1] > 0, sums[0] / self._shares, sums[0] - math.inf)[None]

    def slope(self, z: Tensor, d_loss: Tensor) -> Tensor:
        """See Loss; blocks come in the order in which they were added."""
        columns = torch.arange(z.shape[1], device=z.device) + self._passed
        self._passed = (self._passed + z.shape[1]) % self._seen
        chosen = (columns == self._place[:, None]).to(z.dtype)
        return chosen.mul_((d_loss / self._shares)[:, None])


def _softplus(z: Tensor) -> Tensor:
    """Return log(1 + e^z), linear only where float64 cannot tell the difference."""
    return F.softplus(z, threshold=40.0)


def _sigmoid(z: Tensor) -> Tensor:
    """Return 1 / (1 + e^-z) [B, ...], zero where a B-th of it is below the smallest gradient."""
    return _significant(z.clamp_min(_lowest(z)).sigmoid_())


def _exponential(below: Tensor) -> Tensor:
    """Return e^below [B, ...] in place, zero where a B-th of it is below the smallest gradient."""
    return _significant(below.clamp_min_(_lowest(below)).exp_())


def _lowest(logarithms: Tensor) -> float:
    """Return where values begin to count as zero: denormals are slow to make, and so is e^-inf."""
    return math.log(SMALLEST_GRADIENT * len(logarithms))


def _significant(shares: Tensor) -> Tensor:
    zeroed: Tensor = torch.threshold_(shares, 1.001 * SMALLEST_GRADIENT * len(shares), 0.0)
    return zeroed


def _finite(maximum: Tensor) -> Tensor:
    """Return the maximum, 0 where there is nothing to take one of."""
    return maximum.masked_fill(maximum == -math.inf, 0.0)
