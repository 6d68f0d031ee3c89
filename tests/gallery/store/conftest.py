"""Small stores of made-up people."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.gallery.records import Binding, NewImages, Settings
from facever.gallery.store.store import Store

DIMENSION = 6


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Make a store with the settings given, or open it once more."""
    opened: list[Store] = []

    def make(**settings: str) -> Store:
        folder = tmp_path / "gallery"
        if not folder.exists():
            folder.mkdir(mode=0o700)
            Store.create(folder, Binding("model-1", DIMENSION), Settings(**settings))  # type: ignore[arg-type]
        opened.append(Store.open(folder, wait=0.1))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def some(units: Callable[..., NDArray[np.float32]]) -> Callable[..., NewImages]:
    """Make images of people; image n is from source n."""

    def make(people: str, seed: int = 0, first: int = 0, **columns: list) -> NewImages:
        numbers = range(first, first + len(people))
        return NewImages(
            list(people),
            units(len(people), seed, DIMENSION),
            columns.get("norms", [1.0 + n for n in numbers]),
            [str(n) for n in numbers],
            [f"hash {n}" for n in numbers],
            columns.get("qualities"),
            columns.get("times"),
        )

    return make


@pytest.fixture
def entries() -> Callable[[Store], list[tuple[str, bytes]]]:
    """Return what a store is searched by: whose each entry is, and its vector."""

    def read(store: Store) -> list[tuple[str, bytes]]:
        _, keys, vectors, _ = store.entries_after(0)
        ids = store.ids(keys.tolist())
        return sorted((ids[k], v.tobytes()) for k, v in zip(keys.tolist(), vectors, strict=True))

    return read


class Follower:
    """Follows a store as an index does: additions by number, removals by change."""

    def __init__(self, store: Store) -> None:
        self.store, self.generation = store, ""

    def refresh(self) -> dict[int, tuple[int, bytes]]:
        with self.store.reading():
            if self.generation != self.store.generation():
                self.generation = self.store.generation()
                self.entries: dict[int, tuple[int, bytes]] = {}
                self.last, self.change = 0, 0
            numbers, owners, vectors, _ = self.store.entries_after(self.last)
            for number, owner, vector in zip(
                numbers.tolist(), owners.tolist(), vectors, strict=True
            ):
                self.entries[number] = owner, vector.tobytes()
                self.last = number
            for number in self.store.entries_removed_after(self.change).tolist():
                self.entries.pop(number, None)
            self.change = self.store.change().number
        return self.entries


@pytest.fixture
def follower() -> type[Follower]:
    return Follower
