"""A batch compared with the prototypes block by block, and the gradients of one loss of it.

Every pass over a [B, C] matrix costs memory traffic, and with 100,000 identities that is most of
what a head can waste. So logits are made, reduced and differentiated in blocks of identities that
stay in a processor's cache. They are kept for the backward pass or made again there, with the same
values.

With shards every process compares all images with its own identities, and three reductions over
the processes make one loss of it: the own similarities, a maximum and a sum for each image. In the
backward pass there is one more, of the gradients of the embeddings; those of the prototypes stay
where the prototypes are.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facever.core.processes import all_max, all_sum
from facever.heads.classes.losses import Loss
from facever.heads.classes.similarities import Similarity
from facever.heads.classes.vectors import Rows, blocks

Change = Callable[[Tensor], Tensor]
"""Changes a block [B, c] of wrong similarities in place and returns the derivative [B, c]."""

_Block = tuple[Tensor, Tensor | None]
"""Logits [B, c] and their derivative by the similarities, None where it is 1."""


class BatchComparison:
    """What the forward and the backward pass of one comparison share; see `Open` and `Reduce`.

    Args:
        similarity: What a logit is made from.
        rows: The prototypes that this process compares with.
        limit: Wrong similarities above it are left out: a number, 0-d or [B]; None: none is.

    Attributes:
        change: What changes the wrong similarities, if anything does.
        found: [B], the own similarities as they are in the blocks.
        hardest: [B], the largest wrong similarity before the change; -inf where there is none.
        watched: [1 + W], how many prototypes there are, and `Similarity.watched` of all.
        differentiated: The loss, its gradient [B] and the kept blocks, between the two backward
            passes.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    shift: Tensor | None
    found: Tensor
    hardest: Tensor
    watched: Tensor

    def __init__(
        self, similarity: Similarity, rows: Rows, limit: Tensor | float | None = None
    ) -> None:
        self.change: Change | None = None
        self.differentiated: tuple[Loss, Tensor, list[_Block]] | None = None
        self._similarity, self._places, self._here = similarity, rows.places, rows.here
        self._kept = rows.layout.logits == "kept"
        self._sharded = rows.layout.stored == "sharded"
        self._limit = limit[:, None] if isinstance(limit, Tensor) and limit.ndim else limit

    def own(self) -> Tensor | None:
        """Return the similarities [B] to the own prototypes, over all processes; see Similarity."""
        if not len(self.weight):
            own = self._similarity.own(self.x[:0], self.weight)
            return None if own is None else self._total(self.x.new_zeros(len(self.x)))
        own = self._similarity.own(self.x, self.weight[self._places])
        return None if own is None else self._total(torch.where(self._here, own, 0.0))

    def reduce(self, loss: Loss) -> tuple[Tensor, list[_Block]]:
        """Show every block to the loss; return its result [R, B] and the blocks to keep."""
        self.hardest = self.x.new_full((len(self.x),), -torch.inf)
        found = torch.zeros_like(self.hardest)
        self._norms = self.x.new_empty(len(self.weight))
        watched = self._similarity.watched(self.weight[:0], self._norms[:0])
        kept: list[_Block] = []
        for part in self._parts():
            self._norms[part] = self._similarity.lengths(self.weight[part])
            z, slopes, wrong, own = self._block(part, loss)
            self.hardest = torch.maximum(self.hardest, wrong)
            found += own
            loss.add(z)
            watched += self._similarity.watched(self.weight[part], self._norms[part])
            if self._kept:
                kept.append((z, slopes))
        maximum = loss.maximum()
        if self._sharded:
            both = [self.hardest, self.hardest if maximum is None else maximum]
            self.hardest, most = all_max(torch.stack(both))
            maximum = None if maximum is None else most
        sums = loss.sums(maximum)
        count = watched.new_tensor([len(self.weight)])
        together = self._total(torch.cat([sums.reshape(-1), found, count, watched]))
        ends = sums.numel(), sums.numel() + len(found)
        self.found, self.watched = together[ends[0] : ends[1]], together[ends[1] :]
        result = loss.result(together[: ends[0]].view_as(sums), self.found, self.watched[0])
        return result, kept

    def gradients(
        self, d_own: Tensor, with_shift: bool
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return those of x, of all processes, of the prototypes, the bias and a 0-d shift.

        Args:
            d_own: [B], gradients of `own`.
            with_shift: Whether that of the shift is needed.
        """
        assert self.differentiated is not None, "no loss was taken of the comparison"
        (loss, d_loss, kept), self.differentiated = self.differentiated, None
        d_x, d_weight = torch.zeros_like(self.x), torch.empty_like(self.weight)
        d_bias = None if self.bias is None else torch.empty_like(self.bias)
        d_shift = self.x.new_zeros(()) if with_shift else None
        d_own_logits = loss.own_slope(d_loss)
        for number, part in enumerate(self._parts()):
            z, slopes = kept[number] if self._kept else self._block(part, loss)[:2]
            d_z = loss.slope(z, d_loss)
            at = self._at(part)
            _put(d_z, *at, d_own_logits)
            if d_shift is not None:
                d_shift += d_z.sum()
            if slopes is not None:
                d_z.mul_(slopes)
            if not _natural(loss):
                _put(d_z, *at, d_own)
            if d_bias is not None:
                torch.sum(d_z, 0, out=d_bias[part])
            prototypes = self.weight[part], self._norms[part]
            self._similarity.add_gradients(d_z, z, self.x, *prototypes, d_x, d_weight[part])
        self._total(d_x)
        return d_x, d_weight, d_bias, None if d_shift is None else self._total(d_shift)

    def _total(self, tensor: Tensor) -> Tensor:
        """Add up over the processes that hold shards, in place."""
        return all_sum(tensor) if self._sharded else tensor

    def _parts(self) -> Iterator[slice]:
        return blocks(len(self.weight), max(self.x.shape), self.weight.device)

    def _block(self, part: slice, loss: Loss) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Compare with some prototypes.

        Returns:
            The logits [B, c], as the loss takes them.
            Their derivative [B, c] by the similarities; None: 1.
            The largest wrong similarity [B], unchanged.
            The own similarities [B]; 0 where they are in another block.
        """
        bias = None if self.bias is None else self.bias[part]
        z = self._similarity.block(self.x, self.weight[part], self._norms[part], bias)
        at = self._at(part)
        own = _take(z, *at)
        nothing = torch.full_like(own, -torch.inf)
        _put(z, *at, nothing)
        hardest = z.amax(1)
        noisy = None if self._limit is None else z > self._limit
        slopes = None if self.change is None else self.change(z)
        if noisy is not None:
            z.masked_fill_(noisy, -torch.inf)
        if self.shift is not None:
            z.add_(self.shift[part] if self.shift.ndim else self.shift)
        if loss.with_own:
            _put(z, *at, own if loss.given is None else loss.given.detach())
        elif slopes is not None:
            _put(z, *at, nothing)
        return z, slopes, hardest, own

    def _at(self, part: slice) -> tuple[Tensor, Tensor]:
        """Return whether each own identity is in a block, and its column there, each [B, 1].

        Nothing is asked of the values: on an accelerator an answer would stall it.
        """
        inside = self._here & (self._places >= part.start) & (self._places < part.stop)
        column = (self._places - part.start).clamp_(0, part.stop - part.start - 1)
        return inside[:, None], column[:, None]


class Open(torch.autograd.Function):
    """The own similarities [B] or None, and a token: whoever uses it is differentiated first."""

    @staticmethod
    def forward(
        ctx: Any,
        work: BatchComparison,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        shift: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """Begin a comparison of x [B, D] with the prototypes [R, D].

        Args:
            ctx: PyTorch's.
            work: What it needs to know.
            x: The same on every process where the prototypes are in shards.
            weight: The prototypes of this process.
            bias: [R], part of the similarity; or None.
            shift: Added to the logits: 0-d, or [R] without a gradient; or None. A loss that takes
                it is given its own logits, with the shift in them.
        """
        work.x, work.weight, work.bias, work.shift = x, weight, bias, shift
        ctx.work = work
        return work.own(), x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_own: Tensor | None, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the loss that was taken."""
        work: BatchComparison = ctx.work
        d_own = work.x.new_zeros(len(work.x)) if d_own is None else d_own
        return (None, *work.gradients(d_own, with_shift=ctx.needs_input_grad[4]))


class Reduce(torch.autograd.Function):
    """A loss of each image [B], and what else it says of the images [R - 1, B], without gradient.

    The gradients are those of one loss: a comparison is reduced once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        work: BatchComparison,
        loss: Loss,
        token: Tensor,
        given: Tensor | None,  # noqa: ARG004 - the loss has it; here for its gradient
    ) -> tuple[Tensor, Tensor]:
        """Show the logits to the loss; `given` is the loss's."""
        result, kept = work.reduce(loss)
        ctx.work, ctx.loss, ctx.token = work, loss, token.shape
        ctx.save_for_backward(*(tensor for block in kept for tensor in block))
        losses, others = result[0].clone(), result[1:]
        ctx.mark_non_differentiable(others)
        return losses, others

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Leave the rest to `Open`, which alone knows the gradients of the own similarities."""
        saved = ctx.saved_tensors
        kept = list(zip(saved[::2], saved[1::2], strict=True))
        ctx.work.differentiated = (ctx.loss, d_loss, kept)
        given = None if ctx.loss.given is None else ctx.loss.given_gradient(d_loss)
        return None, None, d_loss.new_zeros(()), given


def _take(z: Tensor, inside: Tensor, column: Tensor) -> Tensor:
    """Return the elements [B] of a block that are at the own identities, 0 elsewhere."""
    return torch.where(inside, z.gather(1, column), 0.0)[:, 0]


def _put(z: Tensor, inside: Tensor, column: Tensor, values: Tensor) -> None:
    """Put values [B] at the own identities that are in a block."""
    z.scatter_(1, column, torch.where(inside, values[:, None], z.gather(1, column)))


def _natural(loss: Loss) -> bool:
    """Return whether the own logits are those of the blocks."""
    return loss.with_own and loss.given is None
