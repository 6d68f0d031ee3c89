"""Scores whose logits are made block by block, and again in the backward pass or kept.

With shards every process compares all images with its own identities, and three reductions over
the processes make one loss of it: the own similarities, a maximum and a sum for each image. In the
backward pass there is one more, of the gradients of the embeddings; the prototypes' stay where they
are. Beside the gradients nothing grows with the number of identities but what is asked to be kept.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from facever.core.processes import all_max, all_sum
from facever.heads.classes.reductions import Hardest, HingeSum, LogSumExp, Reduction, SoftplusSum
from facever.heads.classes.scores import Scores
from facever.heads.classes.similarities import Gradients, Similarity
from facever.heads.classes.vectors import Bend, Prototypes, blocks, set_own


class StreamedScores(Scores):
    """Scores of B embeddings with the prototypes that a process holds, and all others.

    Args:
        similarity: What a logit is made from.
        x: [B, D], the same on every process where the prototypes are in shards.
        prototypes: Those to compare with.
        labels: int64 [B].
        bias: One for each prototype held, or none.
        scale: What `target` and `hardest` are divided by: a number, 0-d or [B].
        bend: What becomes of the wrong similarities, if anything.
    """

    def __init__(
        self,
        similarity: Similarity,
        x: Tensor,
        prototypes: Prototypes,
        labels: Tensor,
        bias: Tensor | None = None,
        scale: Tensor | float = 1.0,
        bend: Bend | None = None,
    ) -> None:
        detached = scale.detach() if isinstance(scale, Tensor) else scale
        limit = prototypes.layout.noise_filter
        self._work = _Comparison(
            similarity,
            *prototypes.places(labels),
            kept=prototypes.layout.logits == "kept",
            sharded=prototypes.layout.stored == "sharded",
            limit=None if limit is None else limit * detached,
        )
        own, self._token = _Open.apply(
            x, prototypes.weight.to(x.dtype), None if bias is None else bias.to(x.dtype), self._work
        )
        self._work.change = bend(own.detach()) if bend else None
        self.target, self._scale = own / scale, detached

    @property
    def hardest(self) -> Tensor:
        """See Scores."""
        return self._work.hardest / self._scale

    @property
    def prototype_norm(self) -> Tensor:
        """See Scores."""
        return self._work.watched[1] / self._work.watched[0]

    @property
    def watched(self) -> Tensor:
        """[1 + W], how many identities were compared with and their `Similarity.watched`."""
        return self._work.watched

    def softmax_loss(self, own: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """See Scores."""
        result = self._reduced(LogSumExp(own.detach(), with_sum=label_smoothing > 0))
        losses = F.softplus(result[0] - own, threshold=40.0)
        if label_smoothing:
            mean = (own + result[1]) / self._work.watched[0]
            losses = losses + label_smoothing * (own - mean)
        return losses.mean()

    def one_vs_all_loss(self, own: Tensor, bias: Tensor, own_share: float) -> Tensor:
        """See Scores."""
        wrong = self._reduced(SoftplusSum(own.detach(), bias))[0]
        right = F.softplus(-(own + bias), threshold=40.0)
        return (own_share * right + (1 - own_share) * wrong).mean()

    def hinges(self, limit: Tensor, hardest_only: bool) -> tuple[Tensor, Tensor, Tensor | int]:
        """See Scores."""
        lowest = 1 - limit / 2
        if hardest_only:
            excess = (self._reduced(Hardest(lowest.detach()))[0] - lowest).clamp_min(0)
            return 2 * excess, excess.detach().sign(), 1
        result = self._reduced(HingeSum(lowest))
        return 2 * result[0], result[1].detach(), (self._work.watched[0] - 1).clamp_min(1)

    def _reduced(self, reduction: Reduction) -> Tensor:
        result: Tensor = _Reduce.apply(self._token, reduction.parameter, self._work, reduction)
        return result


class _Comparison:
    """What the forward and the backward pass of one comparison share.

    Args:
        similarity: What a logit is made from.
        places: int64 [B], where each label is among the prototypes held.
        here: bool [B], whether it is.
        kept: Whether logits are kept for the backward pass.
        sharded: Whether other processes hold other prototypes.
        limit: Wrong logits above it are left out: a number, 0-d or [B]; None: none is.

    Attributes:
        change: What bends a block of logits, if anything does.
        hardest: [B], the largest wrong logit before it was bent.
        watched: [1 + W], see StreamedScores.
        gradients: From the blocks, between the two backward passes.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    hardest: Tensor
    watched: Tensor

    def __init__(
        self,
        similarity: Similarity,
        places: Tensor,
        here: Tensor,
        kept: bool,
        sharded: bool,
        limit: Tensor | float | None,
    ) -> None:
        self.similarity, self.places, self.here = similarity, places, here
        self._kept, self._sharded = kept, sharded
        self._limit = limit[:, None] if isinstance(limit, Tensor) and limit.ndim else limit
        self.change: Any = None
        self.gradients: Gradients | None = None
        self._memory: list[tuple[Tensor, Tensor | None]] = []

    def total(self, tensor: Tensor) -> Tensor:
        """Add up over the processes that hold shards, in place."""
        return all_sum(tensor) if self._sharded else tensor

    def own(self) -> Tensor:
        """Return the similarities to the own prototypes [B], 0 where another process has it."""
        if not len(self.weight):
            return self.x.new_zeros(len(self.x))
        bias = None if self.bias is None else self.bias[self.places]
        own = self.similarity.own(self.x, self.weight[self.places], bias)
        return torch.where(self.here, own, 0.0)

    def reduce(self, reduction: Reduction) -> Tensor:
        """Show every block to the reduction; return its result over all processes [K, B]."""
        hardest = self.x.new_full((len(self.x),), -torch.inf)
        watched = self.similarity.watched(self.weight[:0])
        for part in self._blocks():
            z = self._block(part)
            hardest = torch.maximum(hardest, z.amax(1))
            slopes = self._bend(z, part)
            reduction.add(z)
            watched += self.similarity.watched(self.weight[part])
            if self._kept:
                self._memory.append((z, slopes))
        maximum = reduction.maximum()
        if self._sharded:
            both = all_max(torch.stack([hardest, hardest if maximum is None else maximum]))
            hardest, maximum = both[0], None if maximum is None else both[1]
        sums = reduction.sums(maximum)
        count = watched.new_tensor([len(self.weight)])
        together = self.total(torch.cat([sums.reshape(-1), count, watched]))
        self.hardest, self.watched = hardest, together[sums.numel() :]
        return reduction.result(together[: sums.numel()].view_as(sums))

    def differentiate(self, reduction: Reduction, d_result: Tensor) -> None:
        """Leave the gradients by way of the wrong logits of this process in `gradients`."""
        d_x, d_weight = torch.zeros_like(self.x), torch.empty_like(self.weight)
        d_bias = None if self.bias is None else torch.empty_like(self.bias)
        nothing = torch.zeros_like(self.places, dtype=self.x.dtype)
        memory, self._memory = iter(self._memory), []
        for part in self._blocks():
            if self._kept:
                z, slopes = next(memory)
            else:
                z = self._block(part)
                slopes = self._bend(z, part)
            d_z = reduction.slope(z, d_result)
            if slopes is not None:
                d_z.mul_(set_own(slopes, part, self.places, nothing, self.here))
            set_own(z, part, self.places, nothing, self.here)
            found = self.similarity.gradients(d_z, z, self.x, self.weight[part])
            d_x += found.x
            d_weight[part] = found.weight
            if d_bias is not None and found.bias is not None:
                d_bias[part] = found.bias
        self.gradients = Gradients(d_x, d_weight, d_bias)

    def with_own(self, d_own: Tensor) -> Gradients:
        """Return all gradients: those by way of the own logits [B] too, d_x of all processes."""
        gradients, self.gradients = self.gradients, None
        if gradients is None:  # only the target was asked for
            d_bias = None if self.bias is None else torch.zeros_like(self.bias)
            gradients = Gradients(torch.zeros_like(self.x), torch.zeros_like(self.weight), d_bias)
        if len(self.weight):
            d_own = torch.where(self.here, d_own, 0.0)
            rows = self.weight[self.places]
            own = self.similarity.own_gradients(d_own, self.own(), self.x, rows)
            gradients.x.add_(own.x)
            gradients.weight.index_add_(0, self.places, own.weight)
            if gradients.bias is not None and own.bias is not None:
                gradients.bias.index_add_(0, self.places, own.bias)
        self.total(gradients.x)
        return gradients

    def _blocks(self) -> Any:
        return blocks(len(self.weight), max(self.x.shape), self.weight.device)

    def _block(self, part: slice) -> Tensor:
        """Return the logits [B, c] of some prototypes, -inf at the own."""
        bias = None if self.bias is None else self.bias[part]
        z = self.similarity.block(self.x, self.weight[part], bias)
        return self._without_own(z, part)

    def _bend(self, z: Tensor, part: slice) -> Tensor | None:
        """Bend logits in place, leave suspected labels out, and return the derivative, if not 1."""
        noisy = None if self._limit is None else z > self._limit
        slopes: Tensor | None = None
        if self.change is not None:
            slopes = self.change(z)
            self._without_own(z, part)
        if noisy is not None:
            z.masked_fill_(noisy, -torch.inf)
        return slopes

    def _without_own(self, z: Tensor, part: slice) -> Tensor:
        nothing = z.new_full((len(z),), -torch.inf)
        return set_own(z, part, self.places, nothing, self.here)


class _Open(torch.autograd.Function):
    """Own logits [B], and a token: whoever uses it is differentiated first."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, work: _Comparison
    ) -> tuple[Tensor, Tensor]:
        work.x, work.weight, work.bias = x, weight, bias
        ctx.work = work
        return work.total(work.own()), x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_own: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        return (*ctx.work.with_own(d_own), None)


class _Reduce(torch.autograd.Function):
    """The result [K, B] of a reduction over the wrong logits."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,
        parameter: Tensor | None,  # noqa: ARG004 - it is the reduction's; here for its gradient
        work: _Comparison,
        reduction: Reduction,
    ) -> Tensor:
        ctx.work, ctx.reduction, ctx.token = work, reduction, token.shape
        return work.reduce(reduction)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_result: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        ctx.work.differentiate(ctx.reduction, d_result)
        parameter = ctx.reduction.parameter_gradient(d_result)
        if parameter is not None:
            parameter = ctx.work.total(parameter).to(ctx.reduction.parameter.dtype)
        return d_result.new_zeros(()), parameter, None, None
