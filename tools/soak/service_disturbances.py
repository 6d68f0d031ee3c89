"""What disturbs a service while clients ask: killed workers, a locked store, a full disk."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tools.soak.service_process import Server

DISK = "16m"


def kill_workers(server: Server, kills: int, seconds: float) -> list[str]:
    """Kill a worker (SIGKILL) again and again while clients ask; another must take its place."""
    until, began = time.monotonic() + seconds, time.monotonic()
    for kill in range(kills):
        time.sleep(max(0.0, began + (kill + 0.5) * seconds / (kills + 1) - time.monotonic()))
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        while before[0] in server.workers() or len(server.workers()) < len(before):
            if time.monotonic() > until + 60:
                return ["no worker took the place of the killed one"]
            time.sleep(0.05)
        time.sleep(1.5)  # a starting worker that is killed is missed only after a while
    return []


_HOLD = (
    "import sqlite3, sys, time;"
    "db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None);"
    "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(float(sys.argv[2]))"
)


def lock_store(server: Server, hold: float, seconds: float) -> list[str]:
    """Let another process hold the store's write lock for some seconds."""
    time.sleep(0.1 * seconds)
    command = [sys.executable, "-c", _HOLD, str(server.gallery / "gallery.db"), str(hold)]
    subprocess.run(command, check=True, capture_output=True, timeout=hold + 60)
    return []


def fill_disk(disk: Path, seconds: float) -> list[str]:
    """Fill a disk for a third of the time."""
    time.sleep(seconds / 3)
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        until = time.monotonic() + seconds / 3
        while time.monotonic() < until:
            with suppress(OSError):
                file.write(bytes(4096))
                continue
            time.sleep(0.01)
    filling.unlink()
    return []


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Yield a disk of its own, or None where this user may not mount one."""
    disk = folder / "disk"
    subprocess.run(["umount", "--lazy", str(disk)], capture_output=True, check=False)
    shutil.rmtree(disk, ignore_errors=True)
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def integrity(gallery: Path) -> list[str]:
    """Return what SQLite finds wrong with a gallery's store and log of uses."""
    faults = []
    for name in ("gallery.db", "uses.db"):
        with closing(sqlite3.connect(gallery / name)) as db:
            said = [line for (line,) in db.execute("PRAGMA integrity_check")]
            faults += [] if said == ["ok"] else [f"{name}: {line}" for line in said]
    return faults
