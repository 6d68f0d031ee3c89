"""Small stores of made-up people, one fixture for every way in which a store is kept.

The tests of this folder ask only what `Store` promises, of each kind in `KINDS`; those in a
folder below it are about one of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.gallery.records import Binding, NewImages, Settings
from facever.gallery.store.postgres.address import GalleryAddress, parse_address
from facever.gallery.store.store import Store

DIMENSION = 6


class SqliteStores:
    """Makes and opens stores that are SQLite files, by their names."""

    holds_nul = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    def create(self, name: str, binding: Binding, settings: Settings) -> None:
        (self._folder / name).mkdir(mode=0o700)
        Store.create(self._folder / name, binding, settings)

    def open(self, name: str, wait: float) -> Store:
        return Store.open(self._folder / name, wait)


class PostgresStores:
    """Makes and opens stores in a database of PostgreSQL, by their names."""

    holds_nul = False  # PostgreSQL's texts hold no NUL character

    def __init__(self, database: str) -> None:
        self._database = database
        self._made: set[str] = set()

    def exists(self, name: str) -> bool:
        return name in self._made

    def create(self, name: str, binding: Binding, settings: Settings) -> None:
        Store.create(self.address(name), binding, settings)
        self._made.add(name)

    def open(self, name: str, wait: float) -> Store:
        return Store.open(self.address(name), wait)

    def address(self, name: str) -> GalleryAddress:
        return parse_address(f"{self._database}&gallery={name}")


Stores = SqliteStores | PostgresStores
KINDS = ("sqlite", "postgres")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """How the stores of a test are kept."""
    return request.param


@pytest.fixture
def stores(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Stores:
    """A place for the stores of a test."""
    if kind == "sqlite":
        return SqliteStores(tmp_path)
    return PostgresStores(request.getfixturevalue("postgres_emptied"))


@pytest.fixture
def make_store(stores: Stores) -> Iterator[Callable[..., Store]]:
    """Make a store with the settings given; one of a name that is there is opened once more."""
    opened: list[Store] = []

    def make(
        name: str = "gallery",
        *,
        binding: Binding = Binding("model-1", DIMENSION),  # noqa: B008 - it is frozen
        wait: float = 0.1,
        **settings: str,
    ) -> Store:
        if not stores.exists(name):
            stores.create(name, binding, Settings(**settings))  # type: ignore[arg-type]
        opened.append(stores.open(name, wait))
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
            columns.get("sources", [str(n) for n in numbers]),
            columns.get("hashes", [f"hash {n}" for n in numbers]),
            columns.get("qualities"),
            columns.get("times"),
            columns.get("photos"),
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
