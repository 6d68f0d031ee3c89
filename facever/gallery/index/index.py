"""Search in a gallery: the snapshot, what was enrolled since, and without what was removed.

The store is the truth. The index follows it: before each answer it reads what changed. Answers are
exact: the people are those that a comparison with every image of the gallery would give.
"""

import threading
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facever.console import say
from facever.evaluation.operating_point import ScoreRule
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.people import best_people, mean_vectors
from facever.gallery.index.snapshot import Snapshot, SnapshotError, write_snapshot
from facever.gallery.records import Change, Keys, Vectors
from facever.gallery.store.store import Store

T = TypeVar("T", bound=np.generic)
Scores = NDArray[np.float32]

_CELLS = 1 << 22  # scores held at once


class Tail:
    """Images enrolled since the snapshot; it grows in place, and keeps what it has shown."""

    def __init__(self, dimension: int) -> None:
        self._vectors: Vectors = np.empty((0, dimension), np.float32)
        self._images: Keys = np.empty(0, np.int64)
        self._owners: Keys = np.empty(0, np.int64)
        self.count = 0

    def add(self, images: Keys, owners: Keys, vectors: Vectors) -> None:
        """Append images, in the order of their numbers."""
        end = self.count + len(images)
        if end > len(self._images):
            capacity = max(end, len(self._images) * 3 // 2)
            self._vectors = _grown(self._vectors, self.count, capacity)
            self._images = _grown(self._images, self.count, capacity)
            self._owners = _grown(self._owners, self.count, capacity)
        here = slice(self.count, end)
        self._vectors[here], self._images[here], self._owners[here] = vectors, images, owners
        self.count = end

    def part(self) -> tuple[Vectors, Keys, Keys]:
        """Return vectors, images and owners as they are now."""
        here = slice(self.count)
        return self._vectors[here], self._images[here], self._owners[here]


class Index:
    """The search index of one store. Threads may share one.

    Args:
        store: What it follows.
        begins: Nobody expects a snapshot yet; that there is none is not worth saying.
    """

    def __init__(self, store: Store, begins: bool = False) -> None:
        self.store = store
        self.path = store.path.with_name(snapshots.FILE)
        self._faiss = import_faiss()
        self._lock = threading.RLock()
        self._open(begins)

    # -- following the store ----------------------------------------------------------------

    def _open(self, begins: bool = False) -> None:
        """Take the snapshot when there is one that belongs to the store, or begin with nothing."""
        self._stamp = snapshots.stamp_of(self.path)
        try:
            self._snapshot = Snapshot.read(self.path)
            if not self._belongs(self._snapshot):
                raise SnapshotError("of another state of the gallery")
        except SnapshotError as reason:
            self._snapshot = Snapshot.empty(self.store.binding.dimension)
            images = self.store.counts()[1]
            if self._stamp is not None or (images > snapshots.allowed_lag(0) and not begins):
                say(f"{self.path} is {reason}: made again from the store's {images} vectors")
        self._tail = Tail(self.store.binding.dimension)
        self._change, self._people = self._snapshot.trailer.change, self.store.counts()[0]
        self._means: tuple[Keys, Vectors] | None = None

    def _belongs(self, snapshot: Snapshot) -> bool:
        trailer = snapshot.trailer
        return (
            trailer.gallery == self.store.gallery
            and trailer.dimension == self.store.binding.dimension
            and self.store.had(Change(trailer.change, trailer.stamp))
        )

    def refresh(self) -> int:
        """Read what changed since the last time and return the newest change."""
        with self._lock, self.store.reading():
            if self.wants_snapshot and snapshots.stamp_of(self.path) != self._stamp:
                self._open()
            newest = self.store.change().number
            if newest != self._change:
                self._tail.add(*self.store.added_after(self._last_image()))
                for image in self.store.removed_after(self._change):
                    self._forget(image)
                self._people, self._means = self.store.counts()[0], None
                self._change = newest
            return newest

    def _last_image(self) -> int:
        for images in (self._tail.part()[1], self._snapshot.images):
            if len(images):
                return int(images[-1])
        return 0

    def _forget(self, image: int) -> None:
        for images, owners in self._rows():
            at = int(np.searchsorted(images, image))
            if at < len(images) and images[at] == image:
                owners[at] = -1

    def _rows(self) -> list[tuple[Keys, Keys]]:
        return [(images, owners) for _, images, owners in self._parts()]

    def _parts(self) -> list[tuple[Vectors, Keys, Keys]]:
        first = self._snapshot
        return [(first.vectors, first.images, first.owners), self._tail.part()]

    # -- the snapshot -----------------------------------------------------------------------

    @property
    def wants_snapshot(self) -> bool:
        """Whether the tail is long enough for a new snapshot."""
        with self._lock:
            return self._tail.count > snapshots.allowed_lag(len(self._snapshot.images))

    def write(self) -> None:
        """Write a snapshot of the newest state."""
        with self._lock, self.store.reading():
            self.refresh()
            parts, change = self._parts(), self.store.change()
        write_snapshot(self.path, self.store.gallery, change, parts)

    # -- searching --------------------------------------------------------------------------

    def search(self, queries: Vectors, k: int, rule: ScoreRule) -> tuple[Scores, Keys]:
        """Return the k nearest people of each query, best first.

        Args:
            queries: float32 [Q, D], unit rows.
            k: How many people, 1 or more.
            rule: A person's score is the largest ("max") or the mean cosine over their images.

        Returns:
            Scores float32 [Q, k] and people's keys int64 [Q, k]; where there are fewer than k
            people, -inf and -1.
        """
        with self._lock:
            self.refresh()
            parts, people = [part for part in self._parts() if len(part[0])], self._people
            if rule == "mean" and self._means is None:
                self._means = mean_vectors(parts, self.store.binding.dimension)
            means = self._means
        if rule == "mean":
            assert means is not None
            keys, vectors = means
            parts = [(vectors, keys, keys)] if len(keys) else []
        return self._nearest_people(queries, k, parts, people)

    def _nearest_people(
        self, queries: Vectors, k: int, parts: list[tuple[Vectors, Keys, Keys]], people: int
    ) -> tuple[Scores, Keys]:
        """Widen the search from the best images until k people are among them."""
        total = sum(len(part[0]) for part in parts)
        wanted = min(k, people)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        keys = np.full((len(queries), k), -1, np.int64)
        pending = np.arange(len(queries))
        depth = min(total, wanted * min(8, -(-total // max(people, 1))))
        while len(pending) and depth:
            unfinished = []
            for block in _split(pending, max(1, _CELLS // depth)):
                found_scores, found_owners = self._nearest_images(queries[block], depth, parts)
                scores[block], keys[block] = best_people(found_scores, found_owners, k)
                unfinished.append(block[(keys[block] >= 0).sum(axis=1) < wanted])
            pending = np.concatenate(unfinished) if depth < total else pending[:0]
            depth = min(total, depth * 8)
        return scores, keys

    def _nearest_images(
        self, queries: Vectors, depth: int, parts: list[tuple[Vectors, Keys, Keys]]
    ) -> tuple[Scores, Keys]:
        """Return scores and owners [Q, depth] of the nearest images, the best first."""
        scores, owners = [], []
        for vectors, _, part_owners in parts:
            near, at = self._faiss.knn(
                queries,
                vectors,
                min(depth, len(vectors)),
                metric=self._faiss.METRIC_INNER_PRODUCT,
            )
            scores.append(near)
            owners.append(part_owners[at])
        if len(scores) == 1:
            return scores[0], owners[0]
        all_scores, all_owners = np.concatenate(scores, axis=1), np.concatenate(owners, axis=1)
        best = np.argsort(-all_scores, axis=1, kind="stable")[:, :depth]
        return (
            np.take_along_axis(all_scores, best, axis=1),
            np.take_along_axis(all_owners, best, axis=1),
        )


def _grown(old: NDArray[T], count: int, capacity: int) -> NDArray[T]:
    new = np.empty((capacity, *old.shape[1:]), old.dtype)
    new[:count] = old[:count]
    return new


def _split(positions: Keys, size: int) -> list[Keys]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]
