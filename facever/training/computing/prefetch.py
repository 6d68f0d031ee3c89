"""Images to the device while it still works on those before."""

from collections.abc import Iterable, Iterator

import torch

from facever.data.loading import Batch


def on_device(groups: Iterable[list[Batch]], device: torch.device) -> Iterator[list[Batch]]:
    """Yield the groups with their images on the device, copied one group ahead on a GPU.

    Args:
        groups: Batches that are worked on together, their images in pinned memory.
        device: Where the images are wanted; on the CPU they stay as they are.
    """
    if device.type != "cuda":
        yield from groups
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: list[Batch] | None = None
    for group in groups:
        with torch.cuda.stream(copies):
            moved = [
                batch._replace(images=batch.images.to(device, non_blocking=True)) for batch in group
            ]
        if ahead is not None:
            yield _taken(ahead, copies, device)
        ahead = moved
    if ahead is not None:
        yield _taken(ahead, copies, device)


def _taken(group: list[Batch], copies: torch.cuda.Stream, device: torch.device) -> list[Batch]:
    """Return the group for the stream that computes, once its copies are over."""
    computing = torch.cuda.current_stream(device)
    computing.wait_stream(copies)
    for batch in group:
        batch.images.record_stream(computing)
    return group
