"""Cache of decoded images in memory: an image is decoded and resized once, not in every epoch.

All worker processes of a training process share this memory. The cached pixels are the result of
`Preprocessing.resize`, before random changes, so that batches are equal bit for bit.
"""

from typing import Literal

import torch
from torch import multiprocessing

from facever.core.console import byte_count, say
from facever.core.processes import gather_objects
from facever.data.machine import free_memory, processes_here
from facever.data.preprocessing import Image
from facever.errors import ConfigError

Keep = Literal["auto", "always", "never"]

SHARE = 0.5
"""Largest share of the free memory that "auto" uses for all training processes of this machine."""


class DecodedImages:
    """Memory for `images` images of `size`; the first process that decodes an image stores it.

    Args:
        images: Number of images.
        size: (height, width) of each in pixels.
        shared: Whether worker processes use it.
    """

    def __init__(self, images: int, size: tuple[int, int], shared: bool) -> None:
        self._pixels = torch.zeros((images, *size, 3), dtype=torch.uint8)
        self._filled = torch.zeros(images, dtype=torch.bool)
        self._lock = None
        if shared:
            self._pixels.share_memory_()  # type: ignore[no-untyped-call]
            self._filled.share_memory_()  # type: ignore[no-untyped-call]
            # Taking it orders writes and reads of the processes: pixels first, then the mark.
            self._lock = multiprocessing.get_context().Lock()

    def which(self, indices: list[int]) -> dict[int, bool]:
        """Return for each of these images whether it is cached."""
        self._order()
        return dict(zip(indices, self._filled[indices].tolist(), strict=True))

    def get(self, index: int) -> Image:
        """Return a copy of a cached image, uint8 [H, W, 3] RGB."""
        copy: Image = self._pixels[index].numpy().copy()
        return copy

    def put(self, index: int, image: Image) -> None:
        """Copy an image into the cache; others can use it after `mark`."""
        self._pixels[index].numpy()[:] = image

    def mark(self, indices: list[int]) -> None:
        """Mark these images as completely stored."""
        self._order()
        self._filled[indices] = True
        self._order()

    def _order(self) -> None:
        if self._lock is not None:
            with self._lock:
                pass


def room_for(images: int, size: tuple[int, int], keep: Keep, workers: int) -> DecodedImages | None:
    """Return memory for decoded images, or None if they are not cached; print the decision.

    All processes decide alike, by the smallest amount of free memory that any of them found.

    Args:
        images: Number of images.
        size: (height, width) in pixels, after resizing.
        keep: "auto" (cache if all training processes of this machine together use at most `SHARE`
            of its free memory), "always" or "never".
        workers: Number of worker processes of this process.

    Raises:
        ConfigError: "always" needs more than the free memory.
    """
    if keep == "never":
        return None
    needed = images * (size[0] * size[1] * 3 + 1) * processes_here()
    free = min(gather_objects(free_memory(shared=workers > 0)))
    told = f"{byte_count(needed)} of {byte_count(free)} of free memory"
    if keep == "always" and needed > free:
        raise ConfigError(
            f"data.cache is always, but the decoded images need {told}: set it to auto or "
            "never, or choose smaller images"
        )
    if keep == "auto" and needed > SHARE * free:
        say(f"decoded images are not cached: they need {told}, more than {SHARE:.0%}")
        return None
    say(f"decoded images are cached in memory: {told}")
    return DecodedImages(images, size, shared=workers > 0)
