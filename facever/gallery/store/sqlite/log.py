"""The log of a store (SQLite's -wal): removed data must not remain in it.

SQLite reads a damaged log up to the damage. So one wrong bit could undo a removal that is only in
the log, and a log with the state before a removal could restore the removed data.
"""

import sqlite3
import stat
import threading
from contextlib import suppress
from pathlib import Path

from facever.core.console import warn
from facever.errors import GalleryError

INDEX_BYTES = 32768  # size of SQLite's index of a log
_FILES = ("", "-wal", "-shm", "-journal")  # files that SQLite opens
_TAKES_AWAY = ("remove", "remove images", "merge", "update", "migrate")  # changes that remove data
_PATIENCE = 1.0  # seconds that a removal waits for readers before it leaves the log


class Log:
    """Keeps removed data out of a store's log.

    Args:
        path: The store.
        wait: Seconds that its connections wait for others.
        reading: Lock held by readers in this process.
    """

    def __init__(self, path: Path, wait: float, reading: threading.RLock) -> None:
        self._path, self._wait, self._reading = path, wait, reading
        self._may_hold_removed = True  # unknown after a killed process

    def bring_home(self, db: sqlite3.Connection) -> None:
        """Write a committed removal to the file and empty the log; warn if that fails."""
        if not self._empties(db, min(self._wait, _PATIENCE)):
            self._may_hold_removed = True
            warn(
                f"{self._path}: no answer contains the removed data any more, but the log still "
                "does, because another process is reading or the disk is full; the next change "
                "of the gallery finishes the removal"
            )

    def finish_removals(self, db: sqlite3.Connection) -> None:
        """Finish an earlier removal before the next change begins."""
        if not log_bytes(self._path):
            self._may_hold_removed = False
            return
        newest = db.execute("SELECT action FROM changes ORDER BY change DESC LIMIT 1").fetchone()
        if self._may_hold_removed or (newest and newest[0] in _TAKES_AWAY):
            self._may_hold_removed = not self._empties(db, 0)

    def _empties(self, db: sqlite3.Connection, patience: float) -> bool:
        """Empty the log; return whether readers and the disk allowed it."""
        if not self._reading.acquire(timeout=patience):
            return False
        try:
            db.execute(f"PRAGMA busy_timeout = {int(1000 * patience)}")
            return not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            return False
        finally:
            self._reading.release()
            db.execute(f"PRAGMA busy_timeout = {int(1000 * self._wait)}")


def checkpoint(db: sqlite3.Connection, how: str) -> None:
    """Write the log back to the file, as far as readers and the disk allow."""
    with suppress(sqlite3.OperationalError):
        db.execute(f"PRAGMA wal_checkpoint({how})")


def log_bytes(path: Path) -> int:
    """Return the size of a store's log in bytes; 0 if there is none."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def require_regular(path: Path) -> None:
    """Refuse a store with a FIFO or device, which could block reading forever.

    Raises:
        GalleryError: A file of the store is not a regular file; the message names it.
    """
    for suffix in _FILES:
        file = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(file.stat().st_mode):
                raise GalleryError(f"{file} is not a regular file: remove it")
