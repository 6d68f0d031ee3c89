"""docs/postgres.md: its roles can what they need and no more; its backups can be restored."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facever.errors import GalleryError, UnavailableError
from facever.gallery.records import Binding, NewImages, Settings
from facever.gallery.store.entry_search import ChosenEntries
from facever.gallery.store.postgres.address import parse_address
from facever.gallery.store.store import Store
from tests.postgres.server import QUICK, Server, as_another

psycopg = pytest.importorskip("psycopg")
GUIDE = (Path(__file__).parents[4] / "docs" / "postgres.md").read_text()
DIMENSION = 6
Some = Callable[..., NewImages]
Opened = Callable[[str], Store]


@pytest.fixture
def roles(postgres_server: Server) -> Iterator[Server]:
    """The server with the guide's database, roles, and gallery `staff`."""
    database, role, grants = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
    postgres_server.execute(database)
    try:
        postgres_server.execute(role, database="faces")
        admin = parse_address(postgres_server.address("faces", "facever_admin", gallery="staff"))
        settings = Settings(templates="mean")
        Store.create(admin, Binding("model-1", DIMENSION), settings)
        with psycopg.connect(admin.conninfo, autocommit=True) as connection:
            connection.execute(grants)
        yield postgres_server
    finally:
        postgres_server.execute("DROP DATABASE faces WITH (FORCE)")
        for name in ("admin", "enroller", "reader"):
            postgres_server.execute(f"DROP ROLE facever_{name}")


@pytest.fixture
def opened(roles: Server) -> Iterator[Opened]:
    """Open the gallery as one of the roles."""
    stores = []

    def open_as(role: str) -> Store:
        address = roles.address("faces", f"facever_{role}", gallery="staff")
        stores.append(Store.open(parse_address(address), 1))
        return stores[-1]

    yield open_as
    for store in stores:
        store.close()


def refused(call: Callable[..., object], *values: object) -> None:
    with pytest.raises(UnavailableError, match="permission denied"):
        call(*values)


def test_enroller_adds_and_removes_nothing(opened: Opened, some: Some) -> None:
    store = opened("enroller")
    assert not store.read_only
    store.enroll(some("ab"), {"a": {"site": "A"}}, "skip")
    store.enroll(some("ac", seed=1, first=5), {"a": {"site": "B"}}, "skip")
    store.add_person("d", {"site": "C"})
    assert store.counts() == (4, 4)
    assert store.metadata("a") == {"site": "B"}
    assert not list(store.check())
    refused(store.remove, "a")
    refused(store.update, "a", {}, (), "e")
    refused(store.set_templates, "all")
    refused(store.add_measured, "operating point", "p", "1:1 image", "{}")
    refused(store.begin_migration, Binding("model-2", DIMENSION))
    refused(store.purge)
    assert store.counts() == (4, 4)


def test_enroller_adds_to_what_the_database_searches(
    opened: Opened, some: Some, roles: Server
) -> None:
    roles.execute("CREATE EXTENSION vector", database="faces")
    admin, store = opened("admin"), opened("enroller")
    admin.set_index("pgvector:hnsw,ef_search=10")
    store.enroll(some("ab"), {}, "skip")
    store.enroll(some("ac", seed=1, first=5), {}, "skip")  # the template of a is another one
    assert not list(admin.search_problems())
    with store.reading():
        probe = some("c", seed=3, first=9).vectors[0]
        assert len(store.entry_search().nearest(probe, 9, ChosenEntries()).numbers) == 3
    refused(store.remake_search)
    assert not list(admin.search_problems())


def test_reader_changes_nothing(opened: Opened, some: Some, roles: Server) -> None:
    opened("admin").enroll(some("ab"), {}, "skip")
    store = opened("reader")
    assert store.read_only
    assert store.entry_count() == 2
    assert not list(store.check())
    with pytest.raises(UnavailableError, match="read-only"):
        store.enroll(some("c", first=5), {}, "skip")
    with psycopg.connect(roles.address("faces", "facever_reader")) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname LIKE 'facever%%'"
        ).fetchall()
        assert len(tables) > 12
        for (table,) in tables:
            rights = [
                right
                for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
                if connection.execute(
                    "SELECT has_table_privilege(%s, %s) OR %s = 'UPDATE'"
                    " AND has_any_column_privilege(%s, 'UPDATE')",
                    [table, right, right, table],
                ).fetchone()[0]
            ]
            assert rights == (["INSERT", "DELETE"] if table.endswith(".uses") else []), table


def test_only_the_admin_makes_galleries(opened: Opened, some: Some, roles: Server) -> None:
    store = opened("admin")
    store.enroll(some("ab"), {}, "skip")
    store.remove("a")
    store.purge()
    store.set_templates("all")
    for role in ("reader", "enroller"):
        address = parse_address(roles.address("faces", f"facever_{role}", gallery="other"))
        with pytest.raises(GalleryError, match="permission denied"):
            Store.create(address, Binding("model-1", DIMENSION))


def test_backups_are_whole_galleries(
    opened: Opened, some: Some, roles: Server, tmp_path: Path
) -> None:
    store = opened("admin")
    store.enroll(some("ab"), {"a": {"site": "A"}}, "skip")
    expected = store.change()
    before = roles.folder / "backups"
    before.mkdir()
    other = as_another()
    if other:
        os.chown(before, other["user"], other["group"])
    place = {"PGHOST": str(roles.folder), "PGPORT": "5432", "PGUSER": "postgres"}
    home = {"GNUPGHOME": str(before)}
    (before / "KEY").write_text("a key that is elsewhere\n")
    for block in re.findall(r"```bash\n(pg_.*?)```", GUIDE, re.DOTALL):
        if "gpg" in block and shutil.which("gpg") is None:
            continue
        words = re.sub(r"(?m)^facever .*\n", "", block)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", words],
            cwd=before,
            env={"PATH": f"{roles.programs}:{os.environ['PATH']}", **place, **home},
            capture_output=True,
            text=True,
            **other,
        )
        assert done.returncode == 0, done.stderr
    store.enroll(some("c", first=5), {}, "skip")
    for name in ["restored", "decrypted"][: 1 + (before / "faces.dump.gpg").exists()]:
        restored = Store.open(parse_address(roles.address(name, gallery="staff")), 1)
        assert (restored.change(), restored.metadata("a")) == (expected, {"site": "A"})
        assert not list(restored.check())
        restored.close()
        roles.execute(f"DROP DATABASE {name} WITH (FORCE)")
    if (before / "faces.dump.gpg").exists():
        assert b"PGDMP" not in (before / "faces.dump.gpg").read_bytes()

    (before / "BACKUP").rename(before / "data")
    with Server(before, QUICK) as copy:
        copy.start()
        restored = Store.open(parse_address(copy.address("faces", gallery="staff")), 1)
        assert (restored.change(), restored.counts()) == (expected, (2, 2))
        assert not list(restored.check())
        restored.close()
