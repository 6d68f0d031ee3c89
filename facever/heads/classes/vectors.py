"""Prototypes: one vector per identity, how they are held, and which a batch is compared with."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from facever.heads.classes.layout import PrototypesConfig

EPSILON = 1e-6
"""Added to the squared length of a vector before its root (NormFace)."""

_DRAWN_AT_ONCE = 4096


class Rows(NamedTuple):
    """Prototypes that B images are compared with, as a process holds them.

    Attributes:
        weight: [R, D].
        places: int64 [B], which row is an image's own; any where it is not `here`.
        here: bool [B], whether the own prototype is among the rows.
        layout: How they are held.
    """

    weight: Tensor
    places: Tensor
    here: Tensor
    layout: PrototypesConfig

    def only(self, chosen: Tensor, places: Tensor) -> "Rows":
        """Return chosen rows, int64 [S]; `places` [B] are the own ones' among them."""
        return self._replace(weight=self.weight.index_select(0, chosen), places=places)


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

    def rows(self, labels: Tensor) -> Rows:
        """Return the prototypes of this process to compare images of these labels [B] with."""
        return Rows(self.weight, *self.places(labels), self.layout)

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


def normalize(vectors: Tensor) -> Tensor:
    """Return rows x / sqrt(|x|^2 + 1e-6): length 1, and a bounded gradient at zero.

    Reference:
        Wang et al., NormFace, MM 2017, section 3.2.
    """
    return vectors / (vectors.square().sum(1, keepdim=True) + EPSILON).sqrt()


def blocks(rows: int, width: int, device: torch.device) -> Iterator[slice]:
    """Cut `rows` rows of `width` elements into pieces.

    On a CPU a piece stays in its cache, elsewhere it bounds the memory taken.
    """
    elements = 2**18 if device.type == "cpu" else 2**26
    step = max(1, elements // width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def lengths(vectors: Tensor) -> Tensor:
    """Return sqrt(|w|^2 + 1e-6) of each row."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return norms.square_().add_(EPSILON).sqrt_()
