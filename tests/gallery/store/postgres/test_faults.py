"""Servers that stop, are killed, are full or refuse: no half change, no gap, and no answer from
what a node remembers. tools/soak/postgres.py does the same at random moments.
"""

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facever.errors import UnavailableError
from facever.gallery.gallery import Gallery
from facever.gallery.index.index import Index
from facever.gallery.records import Binding
from facever.gallery.store.postgres.address import GalleryAddress, parse_address
from facever.gallery.store.store import Store
from tests.gallery.store.conftest import DIMENSION, PostgresStores
from tests.postgres.server import Server, as_another

psycopg = pytest.importorskip("psycopg")

DURABLE = {"shared_buffers": "16MB", "synchronous_commit": "remote_apply"}


@pytest.fixture(scope="module")
def pair(postgres_server: Server) -> Iterator[list[Server]]:
    """A durable server, and a replica that it waits for at each commit."""
    folders = [Path(tempfile.mkdtemp(prefix="facever-postgres-")) for _ in range(2)]
    safe = DURABLE | {"synchronous_standby_names": "*"}
    with (
        Server.make(folders[0], safe) as first,
        first.make_standby(folders[1], {"synchronous_standby_names": ""}) as second,
    ):
        yield [first, second]


def either(pair: list[Server]) -> GalleryAddress:
    """Return the address of whichever of two servers is written to."""
    hosts = ",".join(str(server.folder) for server in pair)
    return parse_address(
        f"postgresql://postgres@/postgres?host={hosts}&port=5432,5432"
        "&target_session_attrs=read-write"
    )


def numbers(server: Server) -> list[int]:
    rows = server.execute("SELECT change FROM facever_gallery.changes ORDER BY change")
    return [number for (number,) in rows]


def test_a_server_ends_in_mid_transaction_and_another_takes_over(
    pair: list[Server], some: Callable, units: Callable
) -> None:
    first, second = pair
    address, ask = either(pair), {"fingerprint": "model-1"}
    Store.create(address, Binding("model-1", DIMENSION))
    store = Store.open(address, 5)
    store.enroll(some("ab"), {}, "keep")
    text = f"{address.conninfo}&gallery=gallery"
    with Gallery.open(text) as node:
        probe = some("ab").vectors[:1]
        (best,) = node.search(probe, 1, **ask)[0].candidates
        assert best.person == "a"

        def change(person: str, end: Callable[[], None]) -> None:
            """Enrol somebody while the server ends; the node gives no answer meanwhile."""

            def review(found: list) -> list:
                end()
                return []

            with pytest.raises(UnavailableError, match="connection was lost") as error:
                store.enroll(some(person, seed=9, first=9), {}, "keep", review=review)
            assert "\n" not in str(error.value)
            for question in (
                lambda: node.search(probe, 1, **ask),
                lambda: node.verify(probe, "a", **ask),
            ):
                with pytest.raises(UnavailableError):
                    question()

        for end in (first.stop, first.kill):
            change("x", end)
            first.start()
            assert store.counts() == (2, 2)
            assert node.search(probe, 1, **ask)[0].candidates[0].person == "a"
        store.enroll(some("c", seed=3, first=3), {}, "keep")
        change("y", first.kill)
        second.promote()
        assert [one.person for one in store.people()] == ["a", "b", "c"]  # all that was confirmed
        assert store.remove("a") == 1
        assert "a" not in [one.person for one in node.search(probe, 9, **ask)[0].candidates]
        assert numbers(second) == [1, 2, 3, 4]
        assert node.check() == []
    store.close()


def go_back(server: Server, database: str) -> None:
    """Let the database `earlier` take the place of another one."""
    for sql in (
        f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
        f"ALTER DATABASE {database} RENAME TO lost",
        f"ALTER DATABASE earlier RENAME TO {database}",
        "DROP DATABASE lost WITH (FORCE)",
    ):
        server.execute(sql)


def test_a_node_follows_a_database_that_went_back(
    postgres_server: Server, postgres_database: str, some: Callable
) -> None:
    """A backup was restored, or a replica took over without the last changes: the keys of people
    who are lost are given to others, and a node must not answer with their names.
    """
    address = parse_address(postgres_database)
    Store.create(address, Binding("model-1", DIMENSION))
    store = Store.open(address, 5)
    store.enroll(some("ab"), {}, "keep")
    store.close()
    database = psycopg.conninfo.conninfo_to_dict(postgres_database)["dbname"]
    postgres_server.execute(f"CREATE DATABASE earlier TEMPLATE {database}")
    with Gallery.open(postgres_database) as node:
        lost, new = some("x", seed=5, first=5), some("y", seed=6, first=6)
        store = Store.open(address, 5)
        store.enroll(lost, {}, "keep")
        found = node.search(lost.vectors, 1, fingerprint="model-1")[0].candidates
        assert (found[0].person, round(found[0].score, 3)) == ("x", 1)
        go_back(postgres_server, database)
        store.enroll(new, {}, "keep")
        with Gallery.open(postgres_database) as fresh:
            for probe in (lost, new):
                wanted, given = (
                    one.search(probe.vectors, 9, fingerprint="model-1")[0].candidates
                    for one in (fresh, node)
                )
                assert given == wanted
                assert {one.person for one in given} == {"a", "b", "y"}
        store.close()


def test_a_database_that_goes_back_in_the_middle_of_a_search(
    postgres_server: Server, postgres_database: str, some: Callable, monkeypatch
) -> None:
    """The entries are read again, as after a damaged one, and have somebody who is lost then."""
    address = parse_address(postgres_database)
    lost, new = some("x", seed=5, first=5), some("y", seed=6, first=6)
    Store.create(address, Binding("model-1", DIMENSION))
    store = Store.open(address, 5)
    store.enroll(some("ab"), {}, "keep")
    store.close()
    database = psycopg.conninfo.conninfo_to_dict(postgres_database)["dbname"]
    postgres_server.execute(f"CREATE DATABASE earlier TEMPLATE {database}")
    search, store = Index.search, Store.open(address, 5)

    def interrupted(index: Index, queries, k, rule, among, *_) -> tuple:
        monkeypatch.undo()
        store.enroll(lost, {}, "keep")
        found = search(index, queries, k, rule, among)
        go_back(postgres_server, database)
        store.enroll(new, {}, "keep")
        return found

    with Gallery.open(postgres_database) as node:
        monkeypatch.setattr(Index, "search", interrupted)
        found = node.search(lost.vectors, 1, fingerprint="model-1")[0].candidates
        assert found == node.search(lost.vectors, 1, fingerprint="model-1")[0].candidates
        assert found[0].score < 0.99
    store.close()


def test_a_reader_sees_whole_enrolments(
    make_store: Callable, some: Callable, stores: PostgresStores, units: Callable
) -> None:
    store, seen = make_store(wait=30), set()
    with Gallery.open(f"{stores.address('gallery').conninfo}&gallery=gallery") as node:

        def come_and_go() -> None:
            for each in range(20):
                store.enroll(some(20 * chr(97 + each), first=20 * each), {}, "keep")
                if each % 2:
                    store.remove(chr(96 + each))

        writer = threading.Thread(target=come_and_go)
        writer.start()
        while writer.is_alive():
            info = node.info()
            assert info.images == info.entries == 20 * info.people
            seen.add(info.people)
            found = node.search(units(1, 5, DIMENSION), 50, fingerprint="model-1")[0].candidates
            assert len({one.person for one in found}) == len(found)
        writer.join()
        assert len(seen) > 1
        assert node.info().people == 10
        assert node.check() == []


def test_a_full_disk(make_store: Callable, some: Callable, postgres_server: Server) -> None:
    store = make_store(wait=5)
    store.enroll(some("ab"), {}, "keep")
    disk = Path(tempfile.mkdtemp(prefix="facever-disk-"))
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        disk.rmdir()
        pytest.skip("only root can make a small disk")

    def execute(sql: str) -> None:
        postgres_server.execute(sql, database="shared")

    try:
        shutil.chown(disk, as_another()["user"])
        execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        execute("ALTER TABLE facever_gallery.images SET TABLESPACE small")
        with pytest.raises(UnavailableError, match=r"make room there; nothing was changed") as full:
            store.enroll(some("c" * 20_000, first=10), {}, "keep")
        assert "\n" not in str(full.value)
        assert store.counts() == (2, 2)
        execute("ALTER TABLE facever_gallery.images SET TABLESPACE pg_default")
        store.enroll(some("c", first=10), {}, "keep")
        assert store.change().number == 3
        assert list(store.check()) == []
    finally:
        execute("ALTER TABLE facever_gallery.images SET TABLESPACE pg_default")
        execute("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def test_a_role_without_further_connections(
    make_store: Callable, some: Callable, stores: PostgresStores, postgres_server: Server
) -> None:
    """A node that can read cannot write while the role's connections are in use."""
    make_store().enroll(some("ab"), {}, "keep")
    postgres_server.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
    for schema in ("facever", "facever_gallery"):
        for sql in (
            f"GRANT USAGE ON SCHEMA {schema} TO few",
            f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO few",
        ):
            postgres_server.execute(sql, database="shared")
    try:
        few = stores.address("gallery").conninfo.replace("//postgres@", "//few@")
        store = Store.open(parse_address(f"{few}&gallery=gallery"), 1)
        assert store.counts() == (2, 2)
        with pytest.raises(UnavailableError, match="close other connections") as error:
            store.remove("a")
        assert "\n" not in str(error.value)
        assert store.counts() == (2, 2)
        postgres_server.execute("ALTER ROLE few CONNECTION LIMIT 2")
        assert store.remove("a") == 1
        assert store.counts() == (1, 1)
        store.close()
    finally:
        postgres_server.execute("DROP OWNED BY few", database="shared")
        postgres_server.execute("DROP ROLE few")


def test_a_change_that_takes_longer_than_statement_timeout(
    make_store: Callable, some: Callable, stores: PostgresStores
) -> None:
    make_store().enroll(some("ab"), {}, "keep")
    limited = f"{stores.address('gallery').conninfo}&options=-c%20statement_timeout%3D200"
    store = Store.open(parse_address(f"{limited}&gallery=gallery"), 30)
    with psycopg.connect(stores.address("gallery").conninfo) as other:
        other.execute("SELECT last FROM facever_gallery.numbers FOR UPDATE")
        assert store.counts() == (2, 2)  # readers do not wait
        with pytest.raises(UnavailableError, match=r"statement_timeout.*nothing was changed"):
            store.remove("a")
    assert store.remove("a") == 1
    assert store.change().number == 3
    store.close()
