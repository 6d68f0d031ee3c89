"""Prototypes of which an update sees a sample: their rows and their optimizer state alone.

For the time of an update a parameter with a row for each identity is made of the chosen rows, and
so is what the optimizer keeps of it; then they go back to their places. What was not chosen is
neither read nor decayed, and costs nothing.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facever.core.processes import gather, rank
from facever.core.seeding import derive
from facever.heads.base import Head


class RowSampling:
    """Chooses the identities of an update: the batch's own, and random others up to a share.

    Each process chooses among the identities that it holds; where each holds all, all choose the
    same.

    Args:
        heads: Of the training; those with another layout than the plain one are sampled.
        optimizer: Elementwise, with a state that starts at zero.
        share: Of the identities, in (0, 1).
        seed: Of the training.

    Reference:
        An et al., Killing Two Birds with One Stone: Efficient and Robust Training of Face
        Recognition CNNs by Partial FC, CVPR 2022.
    """

    def __init__(
        self, heads: Sequence[Head], optimizer: Optimizer, share: float, seed: int
    ) -> None:
        self._heads = [head for head in heads if head.arrangeable]
        self._optimizer, self._share, self._seed = optimizer, share, seed

    @contextmanager
    def chosen(self, labels: Tensor, number: int) -> Iterator[None]:
        """Let the heads and the optimizer have the chosen rows alone.

        The rows' gradients are gone at the end, and their new values are in place.

        Args:
            labels: int64 [n], all of this process's images in the update.
            number: Of the update.
        """
        everyone = gather(labels)
        lent = [
            _Lent(parameter, rows, self._optimizer)
            for head in self._heads
            for rows in [self._choose(head, everyone, number)]
            for parameter in head.by_identity
        ]
        try:
            yield
            for rows_of in lent:
                rows_of.write()
        finally:
            for rows_of in lent:
                rows_of.give_back()
            for head in self._heads:
                assert head.prototypes is not None
                head.prototypes.sample = None

    def _choose(self, head: Head, labels: Tensor, number: int) -> Tensor:
        """Return the rows [R] of this process's prototypes, rising, and tell the head."""
        prototypes = head.prototypes
        assert prototypes is not None
        device, held = prototypes.weight.device, len(prototypes.weight)
        places, here = prototypes.places(labels.to(device))
        sharded = prototypes.layout.stored == "sharded"
        seed = derive(self._seed, "prototypes", number, *([rank()] if sharded else []))
        stream = torch.Generator(device).manual_seed(seed)
        order = torch.rand(held, generator=stream, device=device)
        order[places[here]] = 2.0
        count = max(math.ceil(self._share * held), int((order == 2.0).sum()))
        rows = order.topk(count, sorted=False).indices.sort().values
        prototypes.sample = rows
        return rows


class _Lent:
    """One parameter and its optimizer state, of which some rows are at work."""

    def __init__(self, parameter: nn.Parameter, rows: Tensor, optimizer: Optimizer) -> None:
        self._parameter, self._rows = parameter, rows
        self._values = parameter.data
        self._state = optimizer.state[parameter]
        self._kept = {
            key: value
            for key, value in self._state.items()
            if isinstance(value, Tensor) and value.shape == self._values.shape
        }
        parameter.data = self._values.index_select(0, rows)
        for key, value in self._kept.items():
            self._state[key] = value.index_select(0, rows)

    def write(self) -> None:
        """Put the rows' new values back, and what the optimizer now keeps of them."""
        shape = self._parameter.shape
        self._values.index_copy_(0, self._rows, self._parameter.data)
        for key, value in self._state.items():
            if isinstance(value, Tensor) and value.ndim and value.shape == shape:
                if key not in self._kept:  # what the optimizer has made in its first update
                    self._kept[key] = value.new_zeros(self._values.shape)
                self._kept[key].index_copy_(0, self._rows, value)

    def give_back(self) -> None:
        """Make the parameter and the state whole again, after a failed update too."""
        sampled = self._parameter.shape
        self._parameter.grad = None
        self._parameter.data = self._values
        for key, value in list(self._state.items()):
            if isinstance(value, Tensor) and value.ndim and value.shape == sampled:
                del self._state[key]
        self._state.update(self._kept)
