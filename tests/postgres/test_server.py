"""The servers of the tests: PostgreSQL with pgvector, a replica, a loss of power."""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.postgres.server import QUICK, Server, wait_until

psycopg = pytest.importorskip("psycopg")
PROJECT = Path(__file__).parents[2]


def test_database_is_empty_and_has_pgvector(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', %s)"
        assert connection.execute(tables, ["information_schema"]).fetchone() == (0,)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        connection.execute("CREATE EXTENSION vector")
        distance = connection.execute("SELECT '[1,2]'::vector <#> '[3,4]'::vector").fetchone()
        assert distance == (-11.0,)


@pytest.fixture
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="facever-postgres-"))


def test_server_ends_with_its_process(folder: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tests.postgres.server import Server; "
        "print(Server.make(Path(sys.argv[1])).address(), flush=True); "
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert done.returncode == -signal.SIGKILL
    files = [folder / ".s.PGSQL.5432", folder / "data" / "postmaster.pid"]
    wait_until(lambda: not any(file.exists() for file in files))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(done.stdout.strip())
    shutil.rmtree(folder)


def test_replica_takes_over_what_was_acknowledged(folder: Path) -> None:
    safe = QUICK | {"synchronous_commit": "remote_apply", "synchronous_standby_names": "*"}
    second = folder.with_name(f"{folder.name}-replica")
    with (
        Server.make(folder, safe) as server,
        server.make_standby(second, {"synchronous_standby_names": ""}) as replica,
    ):
        server.execute("CREATE TABLE t (n int)")
        server.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            replica.execute("INSERT INTO t VALUES (2)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            server.execute("SELECT 1")
        replica.promote()
        replica.execute("INSERT INTO t VALUES (2)")
        assert replica.execute("SELECT n FROM t ORDER BY n") == [(1,), (2,)]
        server.start()
        assert server.execute("SELECT n FROM t") == [(1,)]
    assert not folder.exists()
    assert not second.exists()
