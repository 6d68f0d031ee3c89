"""tools/postgres.sh: a server with pgvector until Ctrl-C, and data that a folder keeps."""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

psycopg = pytest.importorskip("psycopg")
PROJECT = Path(__file__).parents[2]


def tried(stop: signal.Signals, use: Callable[[str], None], *folder: Path) -> None:
    """Start a server, use the address that it prints without the gallery, and stop it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.postgres.trial", *folder],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        found = re.search(r"'(postgresql://.*)&gallery=gallery'", lines[2])
        assert found is not None, lines
        use(found[1])
        process.send_signal(stop)
        assert process.wait(60) == 0
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(found[1])


def test_data_are_kept_in_a_folder(postgres_server: object) -> None:
    folder = Path(tempfile.mkdtemp(prefix="facever-postgres-"))

    def write(address: str) -> None:
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE kept AS SELECT '[1]'::vector AS v")

    def read(address: str) -> None:
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT v::text FROM kept").fetchone() == ("[1]",)

    tried(signal.SIGINT, write, folder)
    tried(signal.SIGTERM, read, folder)
    shutil.rmtree(folder)
