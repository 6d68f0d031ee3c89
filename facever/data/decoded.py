"""Decoded images in memory: an image is decoded and resized once, not in every epoch.

The pixels lie in memory that all worker processes of a training process share. They are what
`Preprocessing.resize` made, before anything random, so that batches are equal bit for bit.
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
"""Of the free memory that "auto" takes at most, for all training processes of this machine."""


class DecodedImages:
    """Room for `images` images of `size` (height, width), filled by whoever decodes one first.

    Args:
        images: How many there are.
        size: Of each, in pixels.
        shared: Whether worker processes will use it.
    """

    def __init__(self, images: int, size: tuple[int, int], shared: bool) -> None:
        self._pixels = torch.zeros((images, *size, 3), dtype=torch.uint8)
        self._filled = torch.zeros(images, dtype=torch.bool)
        self._lock = None
        if shared:
            self._pixels.share_memory_()  # type: ignore[no-untyped-call]
            self._filled.share_memory_()  # type: ignore[no-untyped-call]
            # Its taking orders what the processes write and read: pixels first, then the mark.
            self._lock = multiprocessing.get_context().Lock()

    def which(self, indices: list[int]) -> dict[int, bool]:
        """Return for each of these images whether it is here."""
        self._order()
        return dict(zip(indices, self._filled[indices].tolist(), strict=True))

    def get(self, index: int) -> Image:
        """Return a copy of an image that is here, uint8 [H, W, 3] RGB."""
        copy: Image = self._pixels[index].numpy().copy()
        return copy

    def put(self, index: int, image: Image) -> None:
        """Copy an image in; it is here for others once `mark` has named it."""
        self._pixels[index].numpy()[:] = image

    def mark(self, indices: list[int]) -> None:
        """Say that these images were put in whole."""
        self._order()
        self._filled[indices] = True
        self._order()

    def _order(self) -> None:
        if self._lock is not None:
            with self._lock:
                pass


def room_for(images: int, size: tuple[int, int], keep: Keep, workers: int) -> DecodedImages | None:
    """Return room for decoded images where they are to be kept; one line says so.

    All processes decide alike: by the least memory that any of them found free before one took it.

    Args:
        images: How many there are.
        size: (height, width) in pixels, after resizing.
        keep: "auto" where all training processes of this machine together take at most `SHARE` of
            its free memory, "always" or "never".
        workers: Worker processes of this process.

    Raises:
        ConfigError: "always" takes more than the free memory.
    """
    if keep == "never":
        return None
    needed = images * (size[0] * size[1] * 3 + 1) * processes_here()
    free = min(gather_objects(free_memory(shared=workers > 0)))
    told = f"{byte_count(needed)} of {byte_count(free)} of free memory"
    if keep == "always" and needed > free:
        raise ConfigError(
            f"data.cache is always, but the decoded images take {told}: set it to auto or never, "
            "or make the images smaller"
        )
    if keep == "auto" and needed > SHARE * free:
        say(f"decoded images are not kept: {told}, more than {SHARE:.0%}")
        return None
    say(f"decoded images are kept in memory: {told}")
    return DecodedImages(images, size, shared=workers > 0)
