"""A purge that another transaction holds back says so, and leaves no removed row otherwise."""

from collections.abc import Callable

import pytest

from facever.errors import UnavailableError
from facever.gallery.records import Binding, NewImages
from facever.gallery.store.postgres.address import parse_address
from facever.gallery.store.store import Store

psycopg = pytest.importorskip("psycopg")


def test_older_transaction(postgres_database: str, some: Callable[..., NewImages]) -> None:
    address = parse_address(postgres_database)
    Store.create(address, Binding("model-1", 6))
    store = Store.open(address, 0.2)
    store.enroll(some("ab"), {}, "skip")
    with psycopg.connect(address.conninfo) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1 FROM pg_class")
        store.remove("a")
        with pytest.raises(UnavailableError, match="purge again"):
            store.purge()
    store.purge()
    assert store.counts() == (1, 1)
    store.close()
