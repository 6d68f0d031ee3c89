"""Loading: from a manifest and a sampler to batches of pixels, with or without worker processes.

A worker builds a complete batch: decode, crop, resize, augment and write into one uint8 tensor. The
device normalises the pixels. Batches do not depend on the number of workers: the epoch is sent with
the indices, so that workers run for all epochs.
"""

import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from facever.core.console import warn
from facever.data.acquisition import Acquire, FailureToAcquire, OnError, may_reduce, named
from facever.data.augmentation import Augmentation, AugmentationConfig
from facever.data.decode import ImageError, decode, describe_unended
from facever.data.decoded import DecodedImages, Keep, room_for
from facever.data.given import Given, read_images
from facever.data.machine import processes_here, require_memory
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.samplers import BatchSampler, SequentialSampler
from facever.data.workers import Plan, lost, plan, share, start_worker, worker_count
from facever.errors import ConfigError, DataError

Key = tuple[int, list[int]]


class Batch(NamedTuple):
    """Images that were loaded together.

    `images` is uint8 [B, 3, H, W] in the colour order of the preprocessing, `labels` int64 [B] are
    positions in the manifest's `identities`, `indices` int64 [B] rows of the manifest. `failed`
    lists the rows of unreadable images and of photos without a face, with the reason; they are not
    among the B, which can be 0. `unended` lists JPEG files that lack only their end marker.
    `columns` has the columns of the face in each photo; it is empty for crops.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    failed: list[tuple[int, str]]
    unended: Sequence[str] = ()
    columns: Sequence[Mapping[str, Any]] = ()


class Batches:
    """An iterable over the batches of an epoch; `len()` is that of the whole epoch.

    Its worker processes start with the first iteration and run until `close`.

    Raises:
        DataError: During iteration, a worker process died.
        ImageError: During iteration, an image cannot be read, unless these are skipped.
    """

    def __init__(
        self, dataset: "BatchDataset", sampler: BatchSampler, planned: Plan, to_gpu: bool
    ) -> None:
        self._sampler = sampler
        self._unended: set[str] = set()
        self._kept = dataset.decoded is not None
        if processes_here() > 1:  # otherwise OpenCV uses all cores in each process
            cv2.setNumThreads(torch.get_num_threads())
        self._loader: DataLoader[Batch | DataError] | None = DataLoader(
            dataset,
            batch_size=None,  # items of the dataset are batches
            sampler=_Keys(sampler),
            num_workers=planned.workers,
            collate_fn=_unchanged,
            pin_memory=to_gpu,
            worker_init_fn=start_worker,
            generator=torch.Generator(),  # otherwise the global generator is used
            prefetch_factor=planned.ahead if planned.workers else None,
            persistent_workers=planned.workers > 0,
        )

    @property
    def are_kept(self) -> bool:
        """Whether decoded images are kept in memory for the next epoch."""
        return self._kept

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, which begins at its first batch."""
        self._sampler.set_epoch(epoch)

    def start_at(self, batch: int) -> None:
        """Skip the first `batch` batches of this epoch."""
        self._sampler.start_at(batch)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Batch]:
        if self._loader is None:
            raise ValueError("these batches are closed")
        known = len(self._unended)
        loaded = iter(self._loader)
        try:
            while (batch := self._next(loaded)) is not None:
                self._unended.update(batch.unended)
                yield batch
        finally:
            self._warn_of_unended(known)

    def _next(self, loaded: Iterator["Batch | DataError"]) -> Batch | None:
        try:
            batch = next(loaded, None)
        except (RuntimeError, OSError, EOFError) as error:
            if not (self._loader and self._loader.num_workers) or str(error).startswith("Caught "):
                raise  # an error of the dataset
            raise lost(error) from error
        if isinstance(batch, DataError):
            raise batch
        return batch

    def _warn_of_unended(self, known: int) -> None:
        if len(self._unended) > known:
            warn(describe_unended(self._unended))

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
    held: int = 3,
) -> Batches:
    """Return augmented batches drawn by a sampler.

    Args:
        manifest: The images; its `labels()` become the batches' labels.
        preprocessing: The model's preprocessing.
        augmentation: Random changes; None for none.
        sampler: Draws the images of each batch.
        seed: Seed of the augmentation.
        epoch: First epoch; `set_epoch` sets the next ones.
        workers: Number of worker processes, 0 to load in this one, or "auto".
        on_error: "raise" raises the ImageError of the first unreadable image; "skip" omits it from
            its batch and lists it there.
        cache: Whether decoded images are kept in memory for the next epochs; see `room_for`.
        to_gpu: Whether the batches are copied to a GPU: they are then in pinned memory.
        held: Number of batches that the caller keeps at once; they also need shared memory.

    Raises:
        ConfigError: `workers` is out of range, or `cache` "always" does not fit.
    """
    pipeline = None if augmentation is None else Augmentation(augmentation, preprocessing.size)
    workers = worker_count(workers, to_gpu)
    decoded = room_for(len(manifest), preprocessing.size, cache, workers)
    dataset = BatchDataset(manifest, preprocessing, pipeline, seed, on_error, decoded)
    sampler.set_epoch(epoch)
    planned = plan(workers, sampler.largest, preprocessing.size, held)
    return Batches(dataset, sampler, planned, to_gpu)


def plain_batches(
    manifest: Manifest,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    workers: int | Literal["auto"] = 0,
    on_error: OnError = "raise",
    runs: Sequence[range] | None = None,
    to_gpu: bool = False,
    faces: Acquire | None = None,
) -> Batches:
    """Return the images of a manifest in order, unchanged.

    Args:
        manifest: As for `training_batches`.
        preprocessing: The model's preprocessing.
        batch_size: Images per batch; the last batch of a run can be smaller.
        workers: As for `training_batches`.
        on_error: As for `training_batches`.
        runs: Rows to load, as ranges of neighbours; None for all.
        to_gpu: As for `training_batches`.
        faces: Cropping of photos; None for crops. A photo without a face is treated like an
            unreadable image.

    Raises:
        ConfigError: `workers` is out of range, or a batch needs more than the free memory.
    """
    sampler = SequentialSampler([range(len(manifest))] if runs is None else runs, batch_size)
    images, (height, width) = sampler.largest, preprocessing.size
    require_memory(
        3 * height * width * images, f"a batch of {images:,} images of {height} x {width} pixels"
    )
    dataset = BatchDataset(manifest, preprocessing, None, 0, on_error, faces=faces)
    planned = plan(worker_count(workers, to_gpu), sampler.largest, preprocessing.size, held=3)
    return Batches(dataset, sampler, planned, to_gpu)


def given_batches(
    images: Sequence[Given],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    on_error: OnError = "raise",
    faces: Acquire | None = None,
) -> Generator[Batch, None, None]:
    """Yield batches of images in any form, loaded in this process; all labels are 0.

    Args:
        images: The images; their positions become the batches' `indices`.
        preprocessing: The model's preprocessing.
        batch_size: Images per batch; the last batch can be smaller.
        on_error: As for `training_batches`.
        faces: As for `plain_batches`.
    """
    for first in range(0, len(images), batch_size):
        some = images[first : first + batch_size]
        pixels, errors, columns = read_images(some, preprocessing.apply, on_error, faces, first)
        ready = np.stack(pixels) if pixels else np.empty((0, *preprocessing.size, 3), np.uint8)
        indices = [first + i for i, error in enumerate(errors) if error is None]
        failed = [(first + i, error) for i, error in enumerate(errors) if error is not None]
        yield Batch(
            torch.from_numpy(ready).permute(0, 3, 1, 2),
            torch.zeros(len(ready), dtype=torch.int64),
            torch.tensor(indices, dtype=torch.int64),
            failed,
            columns=columns,
        )


class BatchDataset(Dataset["Batch | DataError"]):
    """A dataset of complete batches; the key is (epoch, indices).

    With `on_error` "raise", the ImageError of an unreadable image is returned, not raised: an error
    raised in a worker process arrives as a long traceback.
    """

    def __init__(
        self,
        manifest: Manifest,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        on_error: OnError,
        decoded: DecodedImages | None = None,
        faces: Acquire | None = None,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"on_error is '{on_error}' (allowed: raise, skip)")
        self.preprocessing, self.augmentation = preprocessing, augmentation
        self.seed, self.on_error = seed, on_error
        self.decoded, self._faces = decoded, faces
        self._root = str(manifest.root)
        self._paths = manifest.frame["path"].array  # indexed by batch: 50 times faster
        self._labels = manifest.labels()

    def __getitem__(self, key: Key) -> Batch | DataError:
        epoch, indices = key
        pixels = np.empty((len(indices), 3, *self.preprocessing.size), np.uint8)
        kept: list[int] = []
        failed: list[tuple[int, str]] = []
        unended: list[str] = []
        seen: Counter[int] = Counter()
        here = self.decoded.which(indices) if self.decoded is not None else {}
        new: list[int] = []
        columns: list[Mapping[str, Any]] = []
        reduce = may_reduce(self._faces)
        for index, path in zip(indices, self._paths.take(indices), strict=True):
            if self.decoded is not None and here[index]:
                image = self.decoded.get(index)
            else:
                try:
                    name = os.path.join(self._root, path)  # noqa: PTH118
                    image = decode(name, unended=unended, reduce=reduce)
                    if self._faces is not None:
                        image, said = self._faces(image, index)
                        columns.append(said)
                except (ImageError, FailureToAcquire) as error:
                    if self.on_error == "raise":
                        return named(error, name)
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
        tensors = (
            torch.from_numpy(pixels[: len(kept)]),
            torch.from_numpy(self._labels[rows]),
            torch.from_numpy(rows),
        )
        return share(tensors) or Batch(*tensors, failed, unended, columns)


class _Keys(Sampler[Key]):
    """The sampler's batches with their epoch."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Key]:
        epoch = self._sampler.epoch
        return ((epoch, indices) for indices in self._sampler)


def _unchanged(batch: Any) -> Any:
    return batch
