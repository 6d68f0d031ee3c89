"""The log of a store (SQLite's -wal): what was removed must not stay in it.

A damaged log is taken up to the damage. So a removal that is only in the log could be undone by one
wrong bit, and a log that holds what was before a removal could bring it back.
"""

import sqlite3
import stat
import threading
from contextlib import suppress
from pathlib import Path

from facever.core.console import warn
from facever.errors import GalleryError

INDEX_BYTES = 32768  # that SQLite keeps beside a log
_FILES = ("", "-wal", "-shm", "-journal")  # that SQLite opens
_TAKES_AWAY = ("remove", "remove images", "merge", "update", "migrate")  # changes
_PATIENCE = 1.0  # seconds that a removal waits for readers to let it out of the log


class Log:
    """What keeps removals out of a store's log.

    Args:
        path: The store.
        wait: Seconds that its connections wait for others.
        reading: Held by whatever reads in this process.
    """

    def __init__(self, path: Path, wait: float, reading: threading.RLock) -> None:
        self._path, self._wait, self._reading = path, wait, reading
        self._may_hold_removed = True  # a killed process does not tell

    def bring_home(self, db: sqlite3.Connection) -> None:
        """Bring a removal that was committed into the file and empty the log; else a warning."""
        if not self._empties(db, min(self._wait, _PATIENCE)):
            self._may_hold_removed = True
            warn(
                f"{self._path}: what was removed is in no answer any more, but its log still holds "
                "it, because somebody reads or the disk is full; the next change of the gallery "
                "finishes the removal"
            )

    def finish_removals(self, db: sqlite3.Connection) -> None:
        """Do what an earlier change could not; before another one begins."""
        if not log_bytes(self._path):
            self._may_hold_removed = False
            return
        newest = db.execute("SELECT action FROM changes ORDER BY change DESC LIMIT 1").fetchone()
        if self._may_hold_removed or (newest and newest[0] in _TAKES_AWAY):
            self._may_hold_removed = not self._empties(db, 0)

    def _empties(self, db: sqlite3.Connection, patience: float) -> bool:
        """Empty the log, and return whether readers and the disk allowed it."""
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
    """Bring home what is in the log, as far as readers and the disk allow."""
    with suppress(sqlite3.OperationalError):
        db.execute(f"PRAGMA wal_checkpoint({how})")


def log_bytes(path: Path) -> int:
    """Return the size of a store's log; 0 where there is none."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def require_regular(path: Path) -> None:
    """Refuse a store of which something is a FIFO or a device: to read it might never end.

    Raises:
        GalleryError: It is; the message names the file.
    """
    for suffix in _FILES:
        file = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(file.stat().st_mode):
                raise GalleryError(f"{file} is not a regular file: remove it")
