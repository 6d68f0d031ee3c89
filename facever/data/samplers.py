"""Samplers of training batches: which images come together, on which process, in which order.

A sampler is an iterable of batches, each a list of image indices. Batch b of an epoch is a
function of (seed, epoch, b) and of nothing else, so that a run resumed in the middle of an epoch
goes on exactly, and every process of a distributed run knows its share without talking.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.core.seeding import stream
from facever.errors import ConfigError, DataError

Indices = NDArray[np.int64]


class BatchSampler(ABC):
    """The base of every sampler.

    Args:
        seed: The run's seed.
        rank: This process, 0 to `world` - 1.
        world: How many processes share every epoch; all get the same number of batches.

    Attributes:
        largest: Images of the largest batch.
    """

    largest: int

    def __init__(self, seed: int, rank: int, world: int) -> None:
        if not 0 <= rank < world:
            raise ConfigError(f"rank {rank} is not one of {world} processes (0 to {world - 1})")
        self.seed, self.rank, self.world = seed, rank, world
        self.epoch = self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws, from its first batch."""
        self.epoch, self._start = epoch, 0

    def start_at(self, batch: int) -> None:
        """Leave out the first `batch` batches of this epoch, after a resume in its middle."""
        if not 0 <= batch <= len(self):
            raise ConfigError(f"cannot start at batch {batch} of an epoch of {len(self)}")
        self._start = batch

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(self.epoch, self._start)

    @abstractmethod
    def __len__(self) -> int:
        """Return the batches of one whole epoch on this process."""

    @abstractmethod
    def _batches(self, epoch: int, start: int) -> Iterator[list[int]]:
        """Yield the epoch's batches of this process from number `start` on."""


class SequentialSampler(BatchSampler):
    """Runs of neighbouring images, in order; the last batch of a run may be smaller.

    Args:
        runs: The images, e.g. [range(n)] for all of n.
        batch_size: Images per batch.

    Raises:
        ConfigError: `batch_size` is below 1.
    """

    def __init__(self, runs: Sequence[range], batch_size: int) -> None:
        super().__init__(seed=0, rank=0, world=1)
        _require_batch(batch_size)
        self.runs, self.batch_size = runs, batch_size
        self.largest = min(batch_size, max(map(len, runs), default=0))

    def __len__(self) -> int:
        return sum(-(-len(run) // self.batch_size) for run in self.runs)

    def _batches(self, epoch: int, start: int) -> Iterator[list[int]]:  # noqa: ARG002
        lows = ((run, low) for run in self.runs for low in range(0, len(run), self.batch_size))
        for run, low in islice(lows, start, None):
            yield list(run[low : low + self.batch_size])


class ShuffleSampler(BatchSampler):
    """Every image once per epoch, in random order.

    The processes take neighbouring pieces of the same global batches: one process with batches of
    w x B sees what w processes with batches of B see together.

    Args:
        images: How many images there are.
        batch_size: Images per batch and process.
        seed: The run's seed.
        drop_last: Leave out the images that do not fill a batch on every process. Otherwise they
            form a last, smaller batch, shared out as evenly as they can be; it is left out where
            it has fewer images than there are processes.
        rank: This process.
        world: Number of processes.

    Raises:
        ConfigError: `batch_size` is below 1, or `rank` is not one of `world`.
        DataError: Too few images for a single batch.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        *,
        seed: int,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(seed, rank, world)
        _require_batch(batch_size)
        self.images, self.batch_size, self.drop_last = images, batch_size, drop_last
        self.largest = min(batch_size, images)
        if len(self) == 0:
            needed = batch_size * world if drop_last else world
            raise DataError(
                f"{images} images do not fill a batch of {batch_size} on {_processes(world)}: "
                f"at least {needed} are needed; make the batch smaller"
            )

    def __len__(self) -> int:
        whole, left = divmod(self.images, self.batch_size * self.world)
        return whole + (not self.drop_last and left >= self.world)

    def _batches(self, epoch: int, start: int) -> Iterator[list[int]]:
        order = stream(self.seed, "shuffle", epoch).permutation(self.images)
        together = self.batch_size * self.world
        for batch in range(start, len(self)):
            of_all = order[batch * together : (batch + 1) * together]
            yield np.array_split(of_all, self.world)[self.rank].tolist()


class PKSampler(BatchSampler):
    """P identities x K images per batch, for heads that compare images within a batch.

    An epoch is about one pass over the images: as many batches as the images of the eligible
    identities fill. It goes in rounds; a round is a random order of the identities, cut into
    batches, so that within a round no identity comes twice, on any process. From round to round
    an identity shows its next images, until all have been shown, and then begins again.

    An identity with fewer than K images repeats them, each as often as the others (give or take
    one). A repeated image is augmented differently each time.

    Args:
        labels: [N] the identity of each image, as integers.
        identities: P, the identities per batch and process.
        images: K, the images of each.
        seed: The run's seed.
        min_images: Identities with fewer images are left out; 2, the default, leaves out the
            singletons, which have no positive pair to show; 1 keeps them, repeated.
        cameras: [N] the camera of each image, of any type: the K images are then spread over as
            many cameras as there are, as evenly as the images allow.
        rank: This process.
        world: Number of processes.

    Raises:
        ConfigError: P, K or `min_images` is below 1, `cameras` has another length than `labels`,
            or `rank` is not one of `world`.
        DataError: Fewer eligible identities than one batch on every process takes.

    Reference:
        Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification",
        arXiv:1703.07737, 2017, section 2.
    """

    def __init__(
        self,
        labels: ArrayLike,
        identities: int,
        images: int,
        *,
        seed: int,
        min_images: int = 2,
        cameras: ArrayLike | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(seed, rank, world)
        if min(identities, images, min_images) < 1:
            raise ConfigError(
                f"P x K batches of {identities} x {images} with at least {min_images} images per "
                "identity: each of the three must be 1 or larger"
            )
        codes = np.asarray(labels)
        self._cameras = None
        if cameras is not None:
            self._cameras = np.unique(np.asarray(cameras), return_inverse=True)[1]
            if len(self._cameras) != len(codes):
                raise ConfigError(f"{len(self._cameras)} cameras for {len(codes)} images")
        self.identities, self.images = identities, images
        self.largest = identities * images
        _, of_image, counts = np.unique(codes, return_inverse=True, return_counts=True)
        groups = np.split(np.argsort(of_image, kind="stable"), np.cumsum(counts)[:-1])
        self._groups = [group for group in groups if len(group) >= min_images]
        self._per_round = len(self._groups) // (identities * world)
        if self._per_round == 0:
            raise DataError(
                f"batches of {identities} identities on {_processes(world)} need "
                f"{identities * world} identities with at least {min_images} images each, and "
                f"{len(self._groups)} of the {len(counts)} have as many; lower P or min_images"
            )
        eligible = sum(map(len, self._groups))
        self._length = max(1, eligible // (identities * images * world))

    def __len__(self) -> int:
        return self._length

    def _batches(self, epoch: int, start: int) -> Iterator[list[int]]:
        for round_ in range(start // self._per_round, -(-self._length // self._per_round)):
            order = stream(self.seed, "pk", epoch, round_).permutation(len(self._groups))
            first = round_ * self._per_round
            for batch in range(max(start, first), min(first + self._per_round, self._length)):
                place = ((batch - first) * self.world + self.rank) * self.identities
                chosen = order[place : place + self.identities]
                yield np.concatenate(
                    [self._pick(identity, epoch, round_) for identity in chosen.tolist()]
                ).tolist()

    def _pick(self, identity: int, epoch: int, round_: int) -> Indices:
        """Return the K images that an identity shows in a round."""
        group = stream(self.seed, "pk-images", epoch, identity).permutation(self._groups[identity])
        group = np.roll(group, -round_ * self.images)  # not yet shown ones first
        if self._cameras is not None:
            group = group[np.argsort(_occurrence(self._cameras[group]), kind="stable")]
        return np.resize(group, self.images)  # repeats from the start


def _occurrence(values: Indices) -> Indices:
    """Return for each value how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order], prepend=-1) != 0
    position = np.arange(len(values))
    result = np.empty_like(position)
    result[order] = position - np.maximum.accumulate(np.where(new, position, 0))
    return result


def _require_batch(batch_size: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"a batch size of {batch_size}: it must be 1 or larger")


def _processes(world: int) -> str:
    return "1 process" if world == 1 else f"{world} processes"
