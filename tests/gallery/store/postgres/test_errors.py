"""Each error of a real server is one line with a remedy, and without the password."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from facever.errors import GalleryError, UnavailableError
from facever.gallery.store.postgres.address import GalleryAddress, parse_address
from facever.gallery.store.postgres.errors import connecting, explained, is_lost, require_utf8
from tests.postgres.server import Server

psycopg = pytest.importorskip("psycopg")
PASSWORD = "a secret"
Said = Callable[..., str]


@pytest.fixture(scope="module")
def server(postgres_server: Server) -> Iterator[Server]:
    """The server with roles: `ann` needs a password, `bob` has no rights, `closed` cannot log in,
    `busy` may have no connection.
    """
    for role in (
        "needs_password",
        f"ann LOGIN PASSWORD '{PASSWORD}' IN ROLE needs_password",
        "bob LOGIN",
        "closed",
        "busy LOGIN CONNECTION LIMIT 0",
    ):
        postgres_server.execute(f"CREATE ROLE {role}")
    postgres_server.execute("CREATE TABLE kept (n int PRIMARY KEY)")
    postgres_server.execute("INSERT INTO kept VALUES (1)")
    yield postgres_server
    postgres_server.execute("DROP TABLE kept")
    postgres_server.execute("DROP ROLE needs_password, ann, bob, closed, busy")


def one_line(error: pytest.ExceptionInfo[Any], address: GalleryAddress) -> str:
    said = str(error.value)
    assert said.startswith(f"{address.name}: ")
    assert "\n" not in said
    assert PASSWORD not in said
    return said


@pytest.fixture
def refused(server: Server) -> Said:
    """Connect in vain; return what is said. `place` replaces the server's address."""

    def connect(user: str = "postgres", place: str = "", **options: str) -> str:
        address = parse_address(place or server.address(user=user, **options))
        with pytest.raises(UnavailableError) as error, connecting(address):
            psycopg.connect(address.conninfo, connect_timeout=2)
        return one_line(error, address)

    return connect


@pytest.fixture
def failed(server: Server) -> Said:
    """Execute statements in vain; return what is said."""

    def execute(*statements: str, reading: bool = False, user: str = "postgres", **options) -> str:
        address = parse_address(server.address(user=user, **options))
        with (
            closing(psycopg.connect(address.conninfo)) as connection,
            pytest.raises(UnavailableError) as error,
            explained(address.name, 3, reading=reading),
        ):
            for statement in statements:
                connection.execute(statement)
        return one_line(error, address)

    return execute


def test_no_connection(refused: Said, server: Server, tmp_path: Any) -> None:
    assert "PGPASSFILE" in refused("ann", password=f"not {PASSWORD}")
    assert "PGPASSFILE or PGSERVICE" in refused("ann", passfile=str(tmp_path / "none"))
    assert 'role "zoe" does not exist; create it' in refused("zoe")
    assert 'database "none" does not exist; create it' in refused(database="none")
    assert "give a role that can log in" in refused("closed")
    assert "close other connections" in refused("busy")
    assert "start the server" in refused(place=f"postgresql:///x?host={tmp_path}")
    assert "start the server" in refused(place="postgresql://127.0.0.1:1/x")
    assert "start the server" in refused(place="postgresql://none.invalid/x")
    assert "promote a replica" not in refused(target_session_attrs="standby")
    assert "docs/postgres.md" in refused(target_session_attrs="standby")
    assert "docs/postgres.md" in refused(place="postgresql:///?service=none")


def test_no_right_to_connect(refused: Said, server: Server) -> None:
    server.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    try:
        assert "grant the right" in refused("bob")
    finally:
        server.execute("GRANT CONNECT ON DATABASE postgres TO PUBLIC")


def test_all_connections_in_use(refused: Said, server: Server) -> None:
    others = []
    try:
        with pytest.raises(psycopg.OperationalError):
            for _ in range(50):
                others.append(psycopg.connect(server.address(user="bob")))
        assert "use a pooler" in refused("bob")
    finally:
        for other in others:
            other.close()


def test_rights(failed: Said) -> None:
    said = failed("SELECT * FROM kept", user="bob", reading=True)
    assert "permission denied for table kept" in said
    assert "grant" in said
    assert "nothing was changed" not in said
    assert "nothing was changed" in failed("INSERT INTO kept VALUES (2)", user="bob")


def test_read_only(failed: Said) -> None:
    said = failed("INSERT INTO kept VALUES (2)", options="-c default_transaction_read_only=on")
    assert "read-only replica" in said
    assert "target_session_attrs=read-write" in said


def test_limits_of_time(failed: Said, server: Server) -> None:
    said = failed("SELECT pg_sleep(9)", options="-c statement_timeout=50", reading=True)
    assert "statement_timeout" in said
    with psycopg.connect(server.address()) as other:
        other.execute("LOCK TABLE kept")
        said = failed("SELECT * FROM kept", options="-c lock_timeout=50", reading=True)
        assert "another process is writing to it (waited 3 s)" in said
    said = failed("SELECT 1", "SELECT pg_sleep(0.1)", options="-c transaction_timeout=50")
    assert "transaction_timeout" in said
    assert said.endswith("nothing was changed")


def test_conflict(server: Server) -> None:
    address = parse_address(server.address())
    with closing(psycopg.connect(address.conninfo)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT * FROM kept")
        server.execute("UPDATE kept SET n = n")
        with pytest.raises(UnavailableError, match="others keep changing"), explained(address.name):
            connection.execute("UPDATE kept SET n = n")


def test_tables_and_extensions(failed: Said) -> None:
    assert "restore them from a backup" in failed("SELECT * FROM none")
    assert "restore them from a backup" in failed("SELECT * FROM none.kept")
    assert "CREATE EXTENSION vector" in failed("SELECT '[1]'::\"vector\"")
    assert "CREATE EXTENSION vector" in failed("CREATE EXTENSION vector", user="bob")


def test_no_row_is_quoted(failed: Said) -> None:
    said = failed("INSERT INTO kept VALUES (1)")
    assert "kept_pkey" in said
    assert "(1)" not in said


def test_lost_connection(server: Server) -> None:
    address = parse_address(server.address(password=PASSWORD))
    for how, end in (
        ({"reading": True}, "try again"),
        ({}, "nothing was changed"),
        ({"commits": True}, "may have been made: look before you repeat it"),
    ):
        connection = psycopg.connect(address.conninfo, autocommit=True)
        server.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        for _ in range(2):  # terminated, then closed
            with pytest.raises(UnavailableError) as error, explained(address.name, **how):
                connection.execute("SELECT 1")
            said = one_line(error, address)
            assert "the connection was lost" in said
            assert said.endswith(end)
            assert is_lost(error.value.__cause__)


def test_encoding(server: Server, failed: Said) -> None:
    server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    address = parse_address(server.address("latin"))
    try:
        with psycopg.connect(address.conninfo, client_encoding="utf8") as connection:
            encoding = connection.info.parameter_status("server_encoding")
            with pytest.raises(GalleryError, match=r"LATIN1.*ENCODING 'UTF8'"):
                require_utf8(encoding, address)
            with pytest.raises(GalleryError, match="ENCODING 'UTF8'"), explained(address.name):
                connection.execute("SELECT %s::text", ["\u4e2d"])
    finally:
        server.execute("DROP DATABASE latin WITH (FORCE)")
    require_utf8("UTF8", address)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("53100", "disk of the server is full"),
        ("53200", "no memory left"),
        ("57P03", "starting again"),
        ("58030", "cannot read or write its files"),
        ("XX001", "restore it from a backup"),
        ("40001", "try again"),
    ],
)
def test_states_that_a_test_cannot_bring_about(failed: Said, state: str, words: str) -> None:
    raising = f"DO $$ BEGIN RAISE 'said' USING ERRCODE = '{state}'; END $$"
    assert words in failed(raising)
