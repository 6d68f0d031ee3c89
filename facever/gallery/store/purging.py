"""The bytes of what was removed leave a store's files."""

import sqlite3
import time

from facever.errors import GalleryError
from facever.gallery.store.migrating import Migrating
from facever.gallery.store.statements import explained

_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_STEP = 0.02  # seconds between two looks whether readers are done


class Purging(Migrating):
    """The store's files written anew."""

    def purge(self) -> None:
        """Write the file anew without what was removed, and empty its log.

        Raises:
            GalleryError: Another process keeps reading or writing, or the store cannot be written.
        """
        with self.writing():  # the connection is there, and nobody else writes now
            pass
        with self._write_lock, self._read_lock, explained(self.path, self._wait):
            assert self._writer is not None
            self._empty_log(self._writer)
            self._writer.execute("VACUUM")
            self._empty_log(self._writer)

    def _empty_log(self, db: sqlite3.Connection) -> None:
        until = time.monotonic() + self._wait
        while True:
            try:
                if not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return
            except sqlite3.OperationalError as error:
                if (
                    getattr(error, "sqlite_errorcode", 0) & 0xFF not in _IN_USE
                ):  # such as a full disk
                    raise
            if time.monotonic() > until:
                raise GalleryError(
                    f"{self.path}: another process keeps reading it (waited {self._wait:g} s), and "
                    "its log still holds what was removed; purge again when that process is done"
                )
            time.sleep(_STEP)
