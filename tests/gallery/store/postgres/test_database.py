"""Writers on many connections, lost connections, conflicts, upgrades, and rewritten rows."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from facever.data.crops import KeptCrop
from facever.errors import GalleryError, UnavailableError
from facever.gallery.image_filters import ImageFilter
from facever.gallery.index.index import Index
from facever.gallery.records import Binding
from facever.gallery.store.postgres import galleries, schema
from facever.gallery.store.postgres.address import GalleryAddress, parse_address
from facever.gallery.store.postgres.database import PostgresDatabase
from facever.gallery.store.postgres.session import Session
from facever.gallery.store.store import Store
from tests.gallery.store.conftest import DIMENSION, PostgresStores
from tests.postgres.server import Server

psycopg = pytest.importorskip("psycopg")

SIZED = Binding("model-1", DIMENSION, preprocessing={"size": [9, 9]})
"""The binding to a model whose crops can be kept."""


@pytest.fixture
def admin(stores: PostgresStores):
    """Another connection to the database, with the gallery's tables."""
    with psycopg.connect(stores.address("gallery").conninfo, autocommit=True) as connection:
        connection.execute("SET search_path TO facever_gallery")
        yield connection


def test_writers_on_many_connections_leave_no_gap(make_store: Callable, some, admin) -> None:
    stores = [make_store(wait=30) for _ in range(4)]

    def write(at: int) -> None:
        for each in range(5):
            stores[at].enroll(some("ab", first=100 * at + 2 * each), {}, "keep")

    threads = [threading.Thread(target=write, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [number for (number,) in admin.execute("SELECT change FROM changes ORDER BY change")]
    assert numbers == list(range(1, 22))
    assert stores[0].counts() == (2, 40)
    assert stores[1].entries_after(0).numbers.tolist() == list(range(1, 41))
    assert list(stores[2].check()) == []


def test_an_undone_change_leaves_no_gap(make_store: Callable, some, admin) -> None:
    store = make_store(templates="quality_mean")
    with pytest.raises(GalleryError, match="no templates by"):
        store.enroll(some("ab", norms=[1.0, None]), {}, "keep")
    store.enroll(some("ab"), {}, "keep")
    assert admin.execute("SELECT array_agg(change) FROM changes").fetchone() == ([1, 2],)
    assert admin.execute("SELECT array_agg(image) FROM images").fetchone() == ([1, 2],)


def test_a_lost_connection_is_made_again(make_store: Callable, some, admin) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'facever'"
    )
    admin.execute(end)
    assert store.counts() == (1, 1)
    admin.execute(end)
    store.enroll(some("b", first=1), {}, "keep")
    with (
        pytest.raises(UnavailableError, match="connection was lost") as refusal,
        store.reading(),
    ):
        admin.execute(end)
        store.entries_after(0)
    assert "\n" not in str(refusal.value)
    assert store.counts() == (2, 2)

    def lose(found: list) -> list:
        admin.execute(end)
        return []

    with pytest.raises(UnavailableError, match="connection was lost"):
        store.enroll(some("c", first=2), {}, "keep", review=lose)
    assert store.counts() == (2, 2)


def test_a_change_that_lost_against_another_one_is_made_again(
    make_store: Callable, some, admin
) -> None:
    """The server ends a deadlock by undoing the store's change."""
    store = make_store(wait=30)
    store.enroll(some("ab"), {}, "keep")
    before, begun = store.change().number, []

    def lock(found: list) -> list:
        if not begun:
            begun.append(True)
            admin.execute("SET deadlock_timeout TO '60s'")
            admin.execute("BEGIN")
            admin.execute("SELECT * FROM people WHERE id = 'a' FOR UPDATE")
            waits = "SELECT last FROM numbers WHERE name = 'changes' FOR UPDATE"
            thread = threading.Thread(
                target=lambda: (admin.execute(waits), admin.execute("COMMIT"))
            )
            thread.start()
            begun.append(thread)
        return []

    store.enroll(some("a", first=9), {"a": {"site": "A"}}, "keep", review=lock)
    begun[1].join()
    assert store.metadata("a") == {"site": "A"}
    assert (store.change().number, store.counts()) == (before + 1, (2, 3))


def test_texts_with_a_nul_character_are_refused(make_store: Callable, some) -> None:
    store = make_store()
    for call in (
        lambda: store.add_person("a\0b", {}),
        lambda: store.enroll(some("a", sources=["a\0b"]), {}, "keep"),
        lambda: store.metadata("a\0b"),
    ):
        with pytest.raises(GalleryError, match="NUL") as refusal:
            call()
        assert not isinstance(refusal.value, UnavailableError)  # it is no use to try again
        assert "\n" not in str(refusal.value)
    store.add_person("a", {"k\0": "\0"})
    assert [one.person for one in store.people({"k\0": "\0"})] == ["a"]


@pytest.fixture
def lose_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let the connection be lost at the next commit, before or after the server has got it."""

    def lose(arrives: bool) -> None:
        def lost(session: Session) -> None:
            monkeypatch.undo()
            if arrives:
                session.commit()
            session.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(Session, "commit", lost)

    return lose


def test_a_commit_without_an_answer_is_looked_up(make_store: Callable, some, lose_commit) -> None:
    store = make_store(wait=2)
    store.enroll(some("a"), {}, "keep")
    lose_commit(arrives=True)
    assert store.enroll(some("b", first=1), {}, "keep")[:2] == (1, 1)
    assert (store.counts(), store.change().number) == ((2, 2), 3)
    lose_commit(arrives=False)
    with pytest.raises(UnavailableError, match=r"connection was lost.*; nothing was changed$"):
        store.remove("b")
    assert (store.counts(), store.change().number) == ((2, 2), 3)
    assert store.remove("b") == 1


def test_a_commit_that_cannot_be_looked_up(
    make_store: Callable, some, lose_commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    with monkeypatch.context() as patched:
        patched.setattr(PostgresDatabase, "_has_change", lambda *_: None)
        lose_commit(arrives=True)
        with pytest.raises(UnavailableError, match="may have been made: look before"):
            store.enroll(some("a"), {}, "keep")
    assert store.counts() == (1, 1)
    store.set_index("flat")
    lose_commit(arrives=True)  # of a step without a number
    with pytest.raises(UnavailableError, match="may have been made: look before"):
        store.set_index("flat")


def test_a_change_that_was_found_is_as_safe_as_one_that_was_committed(
    make_store: Callable, some, stores, postgres_server: Server
) -> None:
    """The server commits, waits for a replica that never comes, and the connection is lost."""
    make_store().close()
    address = stores.address("gallery")
    waits = "&options=-c%20synchronous_commit%3Don"
    store = Store.open(parse_address(f"{address.conninfo}{waits}&gallery=gallery"), 0.5)
    postgres_server.execute("ALTER SYSTEM SET synchronous_standby_names TO 'nobody'")
    postgres_server.reload()
    begun = threading.Thread(target=lambda: end_when_it_waits(postgres_server))
    try:
        begun.start()
        with pytest.raises(UnavailableError, match="may have been made: look before"):
            store.enroll(some("a"), {}, "keep")
    finally:
        postgres_server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        postgres_server.reload()
        begun.join()
        store.close()


def end_when_it_waits(server: Server) -> None:
    """Terminate the backends that wait for a replica."""
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    until = time.monotonic() + 2
    while time.monotonic() < until:
        server.execute(sql)
        time.sleep(0.05)


def test_filters_use_the_index(make_store: Callable, some, admin) -> None:
    store = make_store()
    people = [f"p{n}" for n in range(3000)]
    store.enroll(some(""), {"p7": {"site": "A"}}, "keep", nobody=people)
    admin.execute("VACUUM ANALYZE people")
    with store._database.reading() as read:
        condition, values = read.db.narrowed({"site": ["A"]})
        plan = read.db.execute(f"EXPLAIN SELECT person FROM people WHERE {condition}", values)
        assert "people_by_metadata" in str(plan.fetchall())


def test_purge_rewrites_the_tables(make_store: Callable, some, stores) -> None:
    store = make_store(wait=0.3)
    store.enroll(some("a" * 2000 + "b"), {}, "keep")
    full = store.size()
    store.remove("a")
    with psycopg.connect(stores.address("gallery").conninfo) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM pg_class")  # a snapshot, without a lock of the tables
        store.enroll(some("c", first=5000), {}, "keep")
        store.remove("c")
        with pytest.raises(UnavailableError, match="purge again when it has ended"):
            store.purge()
    store.purge()
    assert store.size() < 0.7 * full  # what is left are pages of empty tables and indexes
    assert [one.person for one in store.people()] == ["b"]
    assert list(store.check()) == []


def test_after_a_purge_no_file_of_the_database_has_what_was_removed(
    make_store: Callable, some, admin, postgres_server: Server
) -> None:
    store = make_store(binding=SIZED, keep_crops=True)
    names = ["Zacharias Quux", "Ada"]
    crops = [np.random.default_rng(row).bytes(50_000) for row in range(2)]
    new = some("ab", sources=["/photos/quuxone.jpg", "/photos/ada.jpg"], hashes=["cafe01", "cafe2"])
    new = replace(new, people=names, crops=lambda row: KeptCrop("none", crops[row]))
    store.enroll(new, {names[0]: {"badge": "BADGE-4711"}, names[1]: {"badge": "B-1"}}, "keep")
    admin.execute("ANALYZE")  # as autovacuum does: statistics are samples of the values

    def found(row: int) -> list[bytes]:
        admin.execute("CHECKPOINT")
        (oid,) = admin.execute("SELECT oid FROM pg_database WHERE datname = 'shared'").fetchone()
        files = (postgres_server.data / "base" / str(oid)).iterdir()
        held = b"\0".join(file.read_bytes() for file in files if file.is_file())
        traces = [
            (b"Quux", b"quuxone", b"cafe01", b"BADGE-4711"), (b"Ada", b"ada.jpg", b"cafe2", b"B-1")
        ][row]  # fmt: skip
        crop = crops[row][25_000:25_500]  # pages of PostgreSQL have 8 KiB
        return [trace for trace in (*traces, new.vectors[row].tobytes(), crop) if trace in held]

    assert len(found(0)) == len(found(1)) == 6
    store.remove(names[0])
    store.purge()
    admin.execute("VACUUM FULL pg_catalog.pg_statistic")
    assert (found(0), len(found(1))) == ([], 6)


def test_older_tables_are_upgraded(make_store: Callable, admin, monkeypatch) -> None:
    make_store().close()
    monkeypatch.setattr(schema, "SCRIPTS", (*schema.SCRIPTS, "CREATE TABLE newer (n bigint);\n"))
    monkeypatch.setattr(galleries, "FORMAT", schema.FORMAT + 1)
    assert make_store().counts() == (0, 0)
    assert make_store().counts() == (0, 0)
    assert admin.execute("SELECT format FROM facever.galleries").fetchone() == (schema.FORMAT + 1,)
    assert admin.execute("SELECT count(*) FROM newer").fetchone() == (0,)
    monkeypatch.undo()
    with pytest.raises(GalleryError, match=r"format 4, newer than this facever reads \(3\)"):
        make_store()


def test_images_of_older_tables_have_no_camera(make_store: Callable, some, admin) -> None:
    make_store().enroll(some("ab"), {}, "keep")
    admin.execute("ALTER TABLE facever_gallery.images DROP COLUMN camera, DROP COLUMN taken")
    admin.execute("DROP TABLE facever_gallery.crops")
    admin.execute("UPDATE facever.galleries SET format = 1")
    store = make_store()
    assert [(one.source, one.camera, one.taken) for one in store.images("a")] == [("0", None, None)]
    new = replace(some("a", first=2), cameras=["c1"], taken=["2026-11-01T08:00:00+00:00"])
    store.enroll(new, {}, "keep")
    numbers, owners = store.images_matching(ImageFilter(("c1",)))
    assert (len(numbers), store.ids(owners.tolist())) == (1, {1: "a"})
    assert list(store.check()) == []


def test_older_tables_get_one_of_crops(make_store: Callable, some, admin) -> None:
    make_store(binding=SIZED).enroll(some("ab"), {}, "keep")
    admin.execute("DROP TABLE facever_gallery.crops")
    admin.execute("DELETE FROM meta WHERE key = 'keep_crops'")
    admin.execute("UPDATE facever.galleries SET format = 2")
    store = make_store()
    assert (store.settings.keep_crops, store.images("a")[0].crop) == (False, False)
    store.set_keep_crops(True)
    new = replace(some("a", first=2), crops=lambda _: KeptCrop("none", b"crop"))
    store.enroll(new, {}, "keep")
    assert [one.crop for one in store.images("a")] == [False, True]
    assert store.crop("a", 3) == KeptCrop("none", b"crop")
    assert list(store.check()) == []


def test_a_gallery_is_made_once(make_store: Callable, stores) -> None:
    make_store()
    with pytest.raises(GalleryError, match="already exists"):
        Store.create(stores.address("gallery"), Binding("m", 2))


def test_a_schema_of_another_program_is_left_alone(stores, postgres_server: Server) -> None:
    postgres_server.execute("CREATE SCHEMA facever_taken", database="shared")
    with pytest.raises(GalleryError, match="is not a gallery of facever"):
        Store.create(stores.address("taken"), Binding("m", 2))


def test_a_trigger_is_a_finding(make_store: Callable, admin) -> None:
    store = make_store()
    admin.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    admin.execute("CREATE TRIGGER keep AFTER DELETE ON images EXECUTE FUNCTION keep()")
    assert [one.problem for one in store.check()] == ["unknown trigger, rule or view: 'keep'"]


def test_who_does_not_own_the_tables_cannot_purge(
    make_store: Callable, some, admin, stores
) -> None:
    make_store()
    admin.execute("CREATE ROLE other_writer LOGIN")
    for schema_ in ("facever", "facever_gallery"):
        admin.execute(f"GRANT USAGE ON SCHEMA {schema_} TO other_writer")
        admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema_} TO other_writer")
        admin.execute(f"REVOKE MAINTAIN ON ALL TABLES IN SCHEMA {schema_} FROM other_writer")
    try:
        other = Store.open(as_role(stores.address("gallery"), "other_writer"), wait=1)
        other.enroll(some("a"), {}, "keep")
        with pytest.raises(UnavailableError, match="purge as the owner"):
            other.purge()
        other.close()
    finally:
        admin.execute("DROP OWNED BY other_writer")
        admin.execute("DROP ROLE other_writer")


def test_a_role_that_only_reads(make_store: Callable, some, admin, stores, units) -> None:
    """It searches with an index of its own, and changes nothing."""
    make_store().enroll(some("ab" * 600), {}, "keep")
    admin.execute("CREATE ROLE other_reader LOGIN")
    for schema_ in ("facever", "facever_gallery"):
        admin.execute(f"GRANT USAGE ON SCHEMA {schema_} TO other_reader")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_} TO other_reader")
    try:
        store = Store.open(as_role(stores.address("gallery"), "other_reader"), wait=1)
        index = Index(store, wait=1)
        assert (index.search(units(2, dimension=6), 1, "max")[1] > 0).all()
        index.wait()
        assert (store.folder / "index.snapshot").is_file()
        with pytest.raises(UnavailableError, match="cannot be written by this user"):
            store.remove("a")
        index.close()
        store.close()
        assert not store.folder.exists()
    finally:
        admin.execute("DROP OWNED BY other_reader")
        admin.execute("DROP ROLE other_reader")


def as_role(address: GalleryAddress, role: str) -> GalleryAddress:
    return replace(address, conninfo=address.conninfo.replace("//postgres@", f"//{role}@"))
