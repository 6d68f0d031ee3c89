"""Samplers of training batches: the images of each batch, on each process.

A sampler is an iterable of batches, each a list of image indices. Batch b of an epoch depends only
on (seed, epoch, b), so that a run resumed in the middle of an epoch continues exactly, and every
process of a distributed run knows its share without communication.
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
        world: Number of processes that share every epoch; all get the same number of batches.

    Attributes:
        largest: Number of images of the largest batch.
    """

    largest: int

    def __init__(self, seed: int, rank: int, world: int) -> None:
        if not 0 <= rank < world:
            raise ConfigError(f"rank {rank} is not one of {world} processes (0 to {world - 1})")
        self.seed, self.rank, self.world = seed, rank, world
        self.epoch = self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, which begins at its first batch."""
        self.epoch, self._start = epoch, 0

    def start_at(self, batch: int) -> None:
        """Skip the first `batch` batches of this epoch, after a resume in its middle."""
        if not 0 <= batch <= len(self):
            raise ConfigError(f"cannot start at batch {batch} of an epoch of {len(self)}")
        self._start = batch

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(self.epoch, self._start)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches of a complete epoch on this process."""

    @abstractmethod
    def _batches(self, epoch: int, start: int) -> Iterator[list[int]]:
        """Yield the epoch's batches of this process from number `start` on."""


class SequentialSampler(BatchSampler):
    """Batches of neighbouring images, in order; the last batch of a run can be smaller.

    Args:
        runs: Ranges of images, e.g. [range(n)] for all n.
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

    The processes take neighbouring parts of the same global batches: one process with batches of w
    x B gets the same images as w processes with batches of B together.

    Args:
        images: Number of images.
        batch_size: Images per batch and process.
        seed: The run's seed.
        drop_last: Omit the images that do not fill a batch on every process. Otherwise they form a
            last, smaller batch, distributed as evenly as possible; it is omitted if it has fewer
            images than there are processes.
        rank: This process.
        world: Number of processes.

    Raises:
        ConfigError: `batch_size` is below 1, or `rank` is not one of `world`.
        DataError: There are too few images for one batch.
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
                f"at least {needed} are needed; choose a smaller batch"
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

    An epoch has as many batches as the images of the eligible identities fill, and shows each
    identity about equally often. It consists of rounds; a round is a random order of the
    identities, divided into batches, so that no identity occurs twice in a round, on any process.
    In each round an identity provides its next images; after the last one it starts again. So if
    some identities have many more images than the mean, an epoch shows only a part of theirs, and
    repeats those of the others: `ExhaustivePKSampler` shows every image.

    An identity with fewer than K images repeats them equally often (up to one). A repeated image is
    augmented differently each time.

    Args:
        labels: [N] the identity of each image, as integers.
        identities: P, the identities per batch and process.
        images: K, the images per identity.
        seed: The run's seed.
        min_images: Identities with fewer images are omitted; 2, the default, omits singletons,
            which have no positive pair; 1 keeps them and repeats their image.
        cameras: [N] the camera of each image, of any type: the K images are then distributed over
            the identity's cameras as evenly as possible.
        rank: This process.
        world: Number of processes.

    Raises:
        ConfigError: P, K or `min_images` is below 1, `cameras` has another length than `labels`,
            or `rank` is not one of `world`.
        DataError: There are fewer eligible identities than one batch on every process needs.

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
                "identity: all three must be at least 1"
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
                f"{identities * world} identities with at least {min_images} images each, but "
                f"only {len(self._groups)} of {len(counts)} qualify: lower P or min_images"
            )
        self._length = self._needed()

    def __len__(self) -> int:
        return self._length

    def _needed(self) -> int:
        """Return the number of batches of an epoch."""
        eligible = sum(map(len, self._groups))
        return max(1, eligible // (self.identities * self.images * self.world))

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
        """Return the K images of an identity in a round."""
        group = stream(self.seed, "pk-images", epoch, identity).permutation(self._groups[identity])
        group = np.roll(group, -round_ * self.images)  # unused images first
        if self._cameras is not None:
            group = group[np.argsort(_occurrence(self._cameras[group]), kind="stable")]
        return np.resize(group, self.images)  # repeats from the start


class ExhaustivePKSampler(PKSampler):
    """P identities x K images per batch; an epoch shows every image of the eligible identities.

    Each identity's images are shuffled and divided into groups of K; the last group is filled with
    images of the identity that occurred before. The groups of one identity are in different batches
    (McNaughton's wrap-around rule), so an epoch has at least as many batches as the largest
    identity has groups. Batches with fewer than P groups are filled with other identities, whose
    images then occur again.

    Arguments and errors are those of `PKSampler`. With `cameras`, each group of K takes images from
    as many cameras as the identity's remaining images allow.
    """

    def _needed(self) -> int:
        self._counts = np.array([-(-len(group) // self.images) for group in self._groups])
        at_once = self.identities * self.world
        return max(-(-int(self._counts.sum()) // at_once), int(self._counts.max()))

    def _batches(self, epoch: int, start: int) -> Iterator[list[int]]:
        order = stream(self.seed, "pk", epoch).permutation(len(self._groups))
        counts = self._counts[order]
        owners = np.repeat(order, counts)
        numbers = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = stream(self.seed, "pk-batches", epoch).permutation(self._length)
        first, last = self.rank * self.identities, (self.rank + 1) * self.identities
        for batch in range(start, self._length):
            chosen, which = (
                owners[places[batch] :: self._length],
                numbers[places[batch] :: self._length],
            )
            missing = self.identities * self.world - len(chosen)
            if missing:
                random = stream(self.seed, "pk-fill", epoch, batch)
                others = np.setdiff1d(np.arange(len(self._groups)), chosen)
                more = random.choice(others, missing, replace=False)
                chosen = np.concatenate([chosen, more])
                which = np.concatenate([which, random.integers(self._counts[more])])
            pairs = zip(chosen[first:last].tolist(), which[first:last].tolist(), strict=True)
            yield np.concatenate([self._pick(one, epoch, number) for one, number in pairs]).tolist()

    def _pick(self, identity: int, epoch: int, round_: int) -> Indices:
        """Return group `round_` of an identity's images."""
        group = stream(self.seed, "pk-images", epoch, identity).permutation(self._groups[identity])
        if self._cameras is not None:
            group = group[np.argsort(_occurrence(self._cameras[group]), kind="stable")]
        return np.resize(np.roll(group, -round_ * self.images), self.images)


def _occurrence(values: Indices) -> Indices:
    """Return for each value the number of equal values before it."""
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order], prepend=-1) != 0
    position = np.arange(len(values))
    result = np.empty_like(position)
    result[order] = position - np.maximum.accumulate(np.where(new, position, 0))
    return result


def _require_batch(batch_size: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"batch size is {batch_size} (allowed: at least 1)")


def _processes(world: int) -> str:
    return "1 process" if world == 1 else f"{world} processes"
