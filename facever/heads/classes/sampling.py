"""Samples of the identities, for steps that do not compare with all of them."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from facever.core.seeding import stream


class Sampler(nn.Module):
    """Draws distinct identities uniformly, other ones after each step.

    Its seed is drawn from torch's generator, as the prototypes are, and kept in the state dict: a
    resumed training draws what an uninterrupted one would, and equally seeded processes draw alike.
    Seed and position are plain integers there, so that reading them does not stall an accelerator.

    Args:
        identities: C.
        count: How many to draw; all of them if there are fewer.
    """

    def __init__(self, identities: int, count: int) -> None:
        super().__init__()
        self.identities, self.count = identities, min(count, identities)
        self._seed, self._steps = int(torch.randint(2**62, (), device="cpu")), 0

    def draw(self) -> Tensor:
        """Return int64 [count]: distinct identities, the same until the next step."""
        random = stream(self._seed, self._steps)
        return torch.from_numpy(random.choice(self.identities, self.count, replace=False))

    def advance(self) -> None:
        """Advance to the draw of the next step."""
        self._steps += 1

    def get_extra_state(self) -> Tensor:
        """Return the seed and the number of steps, for the state dict."""
        return torch.tensor([self._seed, self._steps])

    def set_extra_state(self, state: Tensor) -> None:
        """Set the state that `get_extra_state` returned."""
        self._seed, self._steps = (int(value) for value in state)


class Selection(NamedTuple):
    """The identities of a step, drawn ones and the batch's own together.

    Attributes:
        rows: int64 [R], distinct and ascending: which prototypes take part.
        labels: int64 [B], where in `rows` each image's own identity is.
        drawn: bool [R], False for identities of the batch that were not drawn.
    """

    rows: Tensor
    labels: Tensor
    drawn: Tensor


def select(drawn: Tensor, labels: Tensor) -> Selection:
    """Join drawn identities, int64 [S], and the batch's, int64 [B], on the device of the latter."""
    drawn = drawn.to(labels.device)
    rows = torch.unique(torch.cat([drawn, labels]))
    return Selection(rows, torch.searchsorted(rows, labels), torch.isin(rows, drawn))
