"""Prototypes: one vector per identity, and how a batch is compared with all of them.

Every pass over a [B, C] matrix costs memory traffic, and with 100,000 identities that is most of
what a head can waste. So the comparison is a function with its own gradient: it goes over the
identities in blocks that stay in a processor's cache, divides the products by the norms instead of
copying the prototypes into normalised form, and gives the target similarity as a vector of its
own, so that a margin on it costs B operations, not B x C.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from facever.heads.classes.layout import PrototypesConfig

EPSILON = 1e-6
"""Added to the squared length of a vector before its root (NormFace)."""

_DRAWN_AT_ONCE = 4096

Bend = Callable[[Tensor], Callable[[Tensor], Tensor]]
"""Given the scaled target similarities [B], says what becomes of the wrong ones: a function that
changes a block [B, c] of them in place, element by element, and returns the derivative [B, c]."""


class Similarities(NamedTuple):
    """How alike B embeddings and C prototypes are.

    Attributes:
        wrong: [B, C], scaled and bent similarities to the other identities; -inf at the own one.
            Consumed by `with_target`, which writes into it.
        target: [B], the similarity of each embedding to its own prototype, neither scaled nor bent.
        hardest: [B], the largest similarity to another identity, neither scaled nor bent, detached;
            -inf where there is none.
        norms: [C], length of each prototype, detached.
    """

    wrong: Tensor
    target: Tensor
    hardest: Tensor
    norms: Tensor


class Prototypes(nn.Module):
    """One trainable vector per identity, which `hold` makes and draws.

    Args:
        identities: C.
        embedding_size: D.
        bound: Components are drawn evenly from [-bound, bound]; None: from a normal distribution,
            for vectors of length 1 on average.

    Attributes:
        weight: [identities, D]; in shards the rows of this process, and while a sample of the
            identities takes part only those of the sample.
        layout: How they are held, see `Head.arrange`.
        first: The identity of row 0 among those of this process.
        sample: int64 [R], rising: which rows of this process `weight` is made of; None: all.
    """

    weight: nn.Parameter

    def __init__(self, identities: int, embedding_size: int, bound: float | None = None) -> None:
        super().__init__()
        self._shape, self._bound = (identities, embedding_size), bound
        self.weight = cast(nn.Parameter, nn.UninitializedParameter())
        self.layout = PrototypesConfig()
        self.first = 0
        self.sample: Tensor | None = None

    @torch.no_grad()
    def hold(self, first: int = 0, count: int | None = None) -> "Prototypes":
        """Make the prototypes of `count` identities from `first` on, those of all others too; once.

        Everyone's are drawn one block after another, and of each block what is held is kept: they
        have the same values in whosever memory they are, and only what is held needs memory.
        """
        identities, size = self._shape
        self.first, held = first, identities - first if count is None else count
        assert isinstance(self.weight, nn.UninitializedParameter)
        self.weight.materialize((held, size))
        for start in range(0, identities, _DRAWN_AT_ONCE):
            block = self._draw(min(_DRAWN_AT_ONCE, identities - start))
            low, high = max(first - start, 0), min(first + held - start, len(block))
            if low < high:
                place = start + low - first
                self.weight[place : place + high - low] = block[low:high]
        return self

    def _draw(self, rows: int) -> Tensor:
        block = torch.empty(rows, self._shape[1])
        if self._bound is None:
            return nn.init.normal_(block, std=self._shape[1] ** -0.5)
        return nn.init.uniform_(block, -self._bound, self._bound)

    def places(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return where each label's prototype is in `weight`, and whether it is there.

        Args:
            labels: int64 [B], identities.

        Returns:
            int64 [B]: rows of `weight`; 0 for those that are not there.
            bool [B].
        """
        rows = labels - self.first
        if self.sample is None:
            here = (rows >= 0) & (rows < len(self.weight))
            return torch.where(here, rows, 0), here
        if not len(self.sample):  # a process without identities
            return torch.zeros_like(rows), torch.zeros_like(rows, dtype=torch.bool)
        places = torch.searchsorted(self.sample, rows).clamp_(max=len(self.sample) - 1)
        here = self.sample[places] == rows
        return torch.where(here, places, 0), here

    def cosine(
        self,
        embeddings: Tensor,
        labels: Tensor,
        scale: Tensor | float = 1.0,
        bend: Bend | None = None,
        rows: Tensor | None = None,
    ) -> Similarities:
        """Return the cosines between embeddings [B, D] and the prototypes.

        Args:
            embeddings: [B, D].
            labels: int64 [B].
            scale: Factor of the wrong cosines: a number, or a tensor of one or of B elements. A
                `bend` sees scaled cosines.
            bend: What becomes of the wrong cosines, if they do not stay as they are.
            rows: int64 [R], distinct: the prototypes to compare with, if not all of them. The
                labels are then places in `rows`, and what is [C] or [B, C] has R for C.
        """
        unit = normalize(embeddings)
        scaled = unit * (scale[:, None] if isinstance(scale, Tensor) and scale.ndim else scale)
        weight = self.weight if rows is None else self.weight.index_select(0, rows)
        wrong, target, hardest, norms = _Cosine.apply(scaled, weight.to(unit.dtype), labels, bend)
        detached = scale.detach() if isinstance(scale, Tensor) else scale
        return Similarities(wrong, target / scale, hardest / detached, norms)


def normalize(vectors: Tensor) -> Tensor:
    """Return rows x / sqrt(|x|^2 + 1e-6): length 1, and a bounded gradient at zero.

    Reference:
        Wang et al., NormFace, MM 2017, section 3.2.
    """
    return vectors / (vectors.square().sum(1, keepdim=True) + EPSILON).sqrt()


def with_target(similarities: Similarities, target: Tensor, labels: Tensor) -> Tensor:
    """Return logits [B, C]: the wrong similarities, with `target` [B] at the labels.

    Writes into `similarities.wrong`.
    """
    logits: Tensor = _WithTarget.apply(similarities.wrong, target, labels)
    return logits


def blocks(rows: int, width: int, device: torch.device) -> Iterator[slice]:
    """Cut `rows` rows of `width` elements into pieces.

    On a CPU a piece stays in its cache, elsewhere it bounds the memory taken.
    """
    elements = 2**18 if device.type == "cpu" else 2**26
    step = max(1, elements // width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


class _Cosine(torch.autograd.Function):
    """cos = x~ . W_j / |W_j|, without a normalised copy of W."""

    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, weight: Tensor, labels: Tensor, bend: Bend | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (identities, size), batch = weight.shape, len(unit)
        values = unit.new_empty(batch, identities)
        slopes = torch.empty_like(values) if bend else None
        norms = unit.new_empty(identities)
        target = (unit * weight[labels]).sum(1) / lengths(weight[labels])
        nothing = torch.full_like(target, -torch.inf)
        hardest, change = nothing.clone(), bend(target) if bend else None
        for part in blocks(identities, size, weight.device):
            norms[part] = lengths(weight[part])
            block = torch.mm(unit, weight[part].T, out=values[:, part]).div_(norms[part])
            set_own(block, part, labels, nothing)
            torch.maximum(hardest, block.amax(1), out=hardest)
            if change and slopes is not None:
                slopes[:, part] = change(block)
        values.scatter_(1, labels[:, None], -torch.inf)
        ctx.save_for_backward(unit, weight, labels, norms, slopes)
        ctx.mark_non_differentiable(hardest, norms)
        return values, target, hardest, norms

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_values: Tensor, d_target: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        unit, weight, labels, norms, slopes = ctx.saved_tensors
        d_unit = torch.zeros_like(unit) if ctx.needs_input_grad[0] else None
        d_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        d_target = d_target / norms[labels]
        for part in blocks(len(weight), weight.shape[1], weight.device):
            w, n = weight[part], norms[part]
            d_block = d_values[:, part] if slopes is None else d_values[:, part] * slopes[:, part]
            d_product = d_block / n
            set_own(d_product, part, labels, d_target)
            if d_unit is not None:
                d_unit.addmm_(d_product, w)
            if d_weight is not None:
                d_w = torch.mm(d_product.T, unit, out=d_weight[part])
                along = (d_w * w).sum(1).div_(n.square())
                d_w.addcmul_(w, along[:, None], value=-1)
        return d_unit, d_weight, None, None


def lengths(vectors: Tensor) -> Tensor:
    """Return sqrt(|w|^2 + 1e-6) of each row."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return norms.square_().add_(EPSILON).sqrt_()


def set_own(
    block: Tensor, part: slice, labels: Tensor, new: Tensor, here: Tensor | None = None
) -> Tensor:
    """Put `new` [B] at the labels, where they are in the part of a [B, C] matrix that a block is.

    Without asking where that is, for on an accelerator an answer would stall it. Where `here` is
    given, bool [B], the other labels are nowhere. Returns the block.
    """
    inside = (labels >= part.start) & (labels < part.stop)
    inside = inside if here is None else inside & here
    column = (labels - part.start).clamp_(0, part.stop - part.start - 1)[:, None]
    values = torch.where(inside[:, None], new[:, None], block.gather(1, column))
    return block.scatter_(1, column, values)


class _WithTarget(torch.autograd.Function):
    """Put the target logits at the labels, in place."""

    @staticmethod
    def forward(ctx: Any, wrong: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        logits = wrong.scatter_(1, labels[:, None], target[:, None])
        ctx.mark_dirty(logits)
        ctx.save_for_backward(labels)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logits: Tensor) -> tuple[Tensor, Tensor, None]:
        (labels,) = ctx.saved_tensors
        # The own elements of `wrong` are constants: its gradient there counts for nothing.
        return d_logits, d_logits.gather(1, labels[:, None])[:, 0], None
