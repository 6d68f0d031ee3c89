"""Stores of made-up people, and the index over one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from facever.gallery.index.index import Index
from facever.gallery.records import Binding, NewImages
from facever.gallery.store.postgres.address import GalleryAddress, parse_address
from facever.gallery.store.store import Store


@pytest.fixture(params=["sqlite", "postgres"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | GalleryAddress:
    """Where the store of a test is."""
    if request.param == "sqlite":
        return tmp_path
    return parse_address(f"{request.getfixturevalue('postgres_emptied')}&cache={tmp_path}")


@pytest.fixture
def store(store_place: Path | GalleryAddress) -> Iterator[Store]:
    Store.create(store_place, Binding("model-1", 8))
    store = Store.open(store_place, wait=1)
    yield store
    store.close()


@pytest.fixture
def add() -> Callable[[Store, np.ndarray, list[str]], None]:
    def enroll(store: Store, vectors: np.ndarray, people: list[str]) -> None:
        none = [None] * len(people)
        store.enroll(NewImages(people, vectors, none, none, none), {}, "keep")

    return enroll


@pytest.fixture
def indexed() -> Iterator[Callable[[Store], Index]]:
    """Open the index of a store, which no thread writes."""
    with ExitStack() as stack:

        def open_index(store: Store) -> Index:
            index = Index(store, wait=1)
            stack.enter_context(index.held_off())
            return index

        yield open_index
