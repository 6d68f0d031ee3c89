"""A server for a person to try: what tools/postgres.sh runs."""

import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tests.postgres.server import Server

DATABASE = "faces"


def main(folder: Path | None) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        folder: Folder that keeps the data; None for a temporary one.
    """
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # until all is ready: then sigwait takes one
    if folder is not None and (folder / "data").exists():
        server = Server(folder)
        server.start()
    else:
        server = Server.make(folder or Path(tempfile.mkdtemp(prefix="facever-postgres-")))
        server.execute(f"CREATE DATABASE {DATABASE}")
        server.execute("CREATE EXTENSION vector", database=DATABASE)
    address = server.address(DATABASE, gallery="gallery")
    print(f"PostgreSQL is ready; Ctrl-C stops it. A gallery in it:\n\n  {shlex.quote(address)}\n")
    print(f"  facever gallery create {shlex.quote(address)} --model MODEL", flush=True)
    signal.sigwait(stops)
    if folder is None:
        server.__exit__()
    else:
        server.stop()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute() if sys.argv[1:] else None)
    except (OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
