"""Loading: from a manifest and a sampler to batches of pixels, with or without worker processes.

A worker builds a whole batch: decode, crop, resize, augment and write into one uint8 tensor.
Pixels stay uint8 until the device normalises them. The same batches come from 0, 1 or many
workers: the epoch travels with the indices, so that workers live through all epochs.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from facever.data.augmentation import Augmentation, AugmentationConfig
from facever.data.decode import ImageError, decode
from facever.data.decoded import DecodedImages, Keep, room_for
from facever.data.machine import processes_here, usable_cpus
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.samplers import BatchSampler, SequentialSampler
from facever.errors import ConfigError

OnError = Literal["raise", "skip"]
Key = tuple[int, list[int]]

_BATCHES_AHEAD = 4  # per worker


class Batch(NamedTuple):
    """Images that were loaded together.

    `images` is uint8 [B, 3, H, W] in the colour order of the preprocessing, `labels` int64 [B]
    the positions of the identities in the manifest's `identities`, `indices` int64 [B] the
    manifest's rows. `failed` names the rows of unreadable images and the reason; they are not
    among the B, which may become 0.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    failed: list[tuple[int, str]]


class Batches:
    """An iterable over the batches of an epoch; `len()` is the whole epoch's.

    Its worker processes start with the first iteration and stay until `close`.
    """

    def __init__(
        self, dataset: "BatchDataset", sampler: BatchSampler, workers: int, to_gpu: bool
    ) -> None:
        self._sampler = sampler
        self._kept = dataset.decoded is not None
        if processes_here() > 1:  # otherwise OpenCV takes all cores in each of them
            cv2.setNumThreads(torch.get_num_threads())
        self._loader: DataLoader[Batch | ImageError] | None = DataLoader(
            dataset,
            batch_size=None,  # the dataset's items are batches
            sampler=_Keys(sampler),
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=to_gpu,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # otherwise it draws from the global one
            prefetch_factor=_BATCHES_AHEAD if workers else None,
            persistent_workers=workers > 0,
        )

    @property
    def are_kept(self) -> bool:
        """Whether decoded images stay in memory for the next epoch."""
        return self._kept

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, from its first batch."""
        self._sampler.set_epoch(epoch)

    def start_at(self, batch: int) -> None:
        """Leave out the first `batch` batches of this epoch."""
        self._sampler.start_at(batch)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Batch]:
        if self._loader is None:
            raise ValueError("these batches are closed")
        for batch in self._loader:
            if isinstance(batch, ImageError):
                raise batch
            yield batch

    def close(self) -> None:
        """End the worker processes."""
        self._loader = None


def training_batches(
    manifest: Manifest,
    preprocessing: Preprocessing,
    augmentation: AugmentationConfig | None,
    sampler: BatchSampler,
    *,
    seed: int,
    epoch: int = 0,
    workers: int | Literal["auto"] = 0,
    on_error: OnError = "raise",
    cache: Keep = "never",
    to_gpu: bool = False,
) -> Batches:
    """Return the batches that a sampler draws, augmented.

    Args:
        manifest: The images; its `labels()` become the batches' labels.
        preprocessing: The model's preprocessing.
        augmentation: What to change at random; None changes nothing.
        sampler: Which images come together.
        seed: The seed of the augmentation.
        epoch: The epoch to begin with; `set_epoch` chooses the next ones.
        workers: Number of worker processes, 0 to load in this one, or "auto".
        on_error: "raise" ends with the ImageError of the first unreadable image; "skip" leaves
            it out of its batch and names it there.
        cache: Whether decoded images are kept in memory for the next epochs; see `room_for`.
        to_gpu: Whether the batches go to a GPU: they lie in memory that it copies from.

    Raises:
        ConfigError: `workers` is negative, or `cache` "always" does not fit.
        ImageError: In iterating, with `on_error` "raise".
    """
    pipeline = None if augmentation is None else Augmentation(augmentation, preprocessing.size)
    workers = worker_count(workers, to_gpu)
    decoded = room_for(len(manifest), preprocessing.size, cache, workers)
    dataset = BatchDataset(manifest, preprocessing, pipeline, seed, on_error, decoded)
    sampler.set_epoch(epoch)
    return Batches(dataset, sampler, workers, to_gpu)


def plain_batches(
    manifest: Manifest,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    workers: int | Literal["auto"] = 0,
    on_error: OnError = "raise",
    runs: Sequence[range] | None = None,
    to_gpu: bool = False,
) -> Batches:
    """Return the images of a manifest in order, unchanged.

    Args:
        manifest: As for `training_batches`, like the arguments that are not here.
        preprocessing: The model's preprocessing.
        batch_size: Images per batch; the last one of a run may be smaller.
        workers: As for `training_batches`.
        on_error: As for `training_batches`.
        runs: Which rows, as runs of neighbours; None for all.
        to_gpu: As for `training_batches`.
    """
    sampler = SequentialSampler([range(len(manifest))] if runs is None else runs, batch_size)
    dataset = BatchDataset(manifest, preprocessing, None, 0, on_error)
    return Batches(dataset, sampler, worker_count(workers, to_gpu), to_gpu)


def worker_count(workers: int | Literal["auto"], to_gpu: bool) -> int:
    """Return how many worker processes to start.

    "auto" shares the usable cores among the training processes of this machine. Where batches go to
    a GPU it takes all but one, up to 16. Elsewhere the model needs the cores too: a quarter of
    them, up to 4, and none below four, where a worker and the model's threads would only be in each
    other's way.
    """
    if workers == "auto":
        cores = usable_cpus() // processes_here()
        return max(1, min(cores - 1, 16)) if to_gpu else min(cores // 4, 4)
    if workers < 0:
        raise ConfigError(f"{workers} worker processes: it must be 0 or larger, or 'auto'")
    return workers


class BatchDataset(Dataset["Batch | ImageError"]):
    """A dataset whose items are whole batches; the key is (epoch, indices).

    An unreadable image under `on_error` "raise" is returned, not raised, as its ImageError: one
    that is raised in a worker process arrives as a page of traceback.
    """

    def __init__(
        self,
        manifest: Manifest,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        on_error: OnError,
        decoded: DecodedImages | None = None,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"on_error is '{on_error}' (allowed: raise, skip)")
        self.preprocessing, self.augmentation = preprocessing, augmentation
        self.seed, self.on_error = seed, on_error
        self.decoded = decoded
        self._root = str(manifest.root)
        self._paths = manifest.frame["path"].array  # taken by the batch: 50 times faster
        self._labels = manifest.labels()

    def __getitem__(self, key: Key) -> Batch | ImageError:
        epoch, indices = key
        pixels = np.empty((len(indices), 3, *self.preprocessing.size), np.uint8)
        kept: list[int] = []
        failed: list[tuple[int, str]] = []
        seen: Counter[int] = Counter()
        here = self.decoded.which(indices) if self.decoded is not None else {}
        new: list[int] = []
        for index, path in zip(indices, self._paths.take(indices), strict=True):
            if self.decoded is not None and here[index]:
                image = self.decoded.get(index)
            else:
                try:
                    image = decode(os.path.join(self._root, path))  # noqa: PTH118
                except ImageError as error:
                    if self.on_error == "raise":
                        return error
                    failed.append((index, str(error)))
                    continue
                image = self.preprocessing.resize(image)
                if self.decoded is not None:
                    self.decoded.put(index, image)
                    here[index] = True
                    new.append(index)
            if self.augmentation is not None:
                image = self.augmentation(image, self.seed, epoch, index, seen[index])
                seen[index] += 1
            image = self.preprocessing.recolor(image)
            cv2.split(image, list(pixels[len(kept)]))  # [H, W, 3] into [3, H, W], in place
            kept.append(index)
        if self.decoded is not None and new:
            self.decoded.mark(new)
        rows = np.asarray(kept, dtype=np.int64)
        return Batch(
            torch.from_numpy(pixels[: len(kept)]),
            torch.from_numpy(self._labels[rows]),
            torch.from_numpy(rows),
            failed,
        )


class _Keys(Sampler[Key]):
    """The sampler's batches, each with its epoch."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Key]:
        epoch = self._sampler.epoch
        return ((epoch, indices) for indices in self._sampler)


def _unchanged(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    """One thread per process; Ctrl-C and SIGTERM, sent to all, are for the main process to answer.

    The main process itself ends its workers by SIGTERM, and that they obey.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_obey_the_parent, daemon=True).start()


def _obey_the_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
