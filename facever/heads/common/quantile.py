"""The exact median of numbers that are computed block by block, in one process or several."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

DIGIT = 8
"""Bits that one pass over the numbers settles."""


def median_of(
    parts: Callable[[], Iterator[Tensor]], like: Tensor, total: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the median, the lower of two in the middle, as torch.median does.

    The bits of floating point numbers from 0 on rise with them, so that counting the values of
    their digits of 8 bits, the highest first, finds the number: four passes for float32, eight for
    float64, with 256 counters in memory.

    Args:
        parts: Gives the blocks of this process, the same ones each time; numbers of `like`'s type,
            none below 0, at least one in all processes together.
        like: A tensor of the type and device.
        total: Adds up a tensor over the processes.

    Returns:
        0-d.
    """
    integers, bits = (torch.int64, 64) if like.dtype == torch.float64 else (torch.int32, 32)
    found = torch.zeros((), dtype=torch.int64, device=like.device)
    place: Tensor | None = None
    for shift in range(bits - DIGIT, -1, -DIGIT):
        counts = torch.zeros(2**DIGIT, dtype=torch.int64, device=like.device)
        for part in parts():
            pattern = part.reshape(-1).view(integers).to(torch.int64) >> shift
            chosen = pattern[(pattern >> DIGIT) == found]
            counts += torch.bincount(chosen & (2**DIGIT - 1), minlength=2**DIGIT)
        rising = total(counts).cumsum(0)
        place = (rising[-1] - 1) // 2 if place is None else place
        digit = torch.searchsorted(rising, place, right=True)
        place = place - torch.where(digit > 0, rising[digit - 1], 0)
        found = (found << DIGIT) | digit
    return found.to(integers).view(like.dtype)
