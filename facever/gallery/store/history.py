"""What happened to a store: its changes, and the audit log of what was removed."""

import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime

from facever.gallery.records import text
from facever.gallery.store.database import Transaction


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(db: sqlite3.Connection) -> str:
    """Return the time, or that of the newest change where the clock says an earlier one."""
    newest = db.execute("SELECT time FROM changes ORDER BY change DESC LIMIT 1").fetchone()
    return max(now(), newest[0]) if newest else now()


def record(db: sqlite3.Connection, action: str, *, people: int, images: int) -> int:
    """Add a row to the log of changes and return its number."""
    cursor = db.execute(
        "INSERT INTO changes (stamp, time, action, people, images) VALUES (?, ?, ?, ?, ?)",
        [secrets.token_hex(8), later(db), action, people, images],
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def mark_of(audit_key: bytes, person: str) -> str:
    """Return what stands for a person's id in the audit log."""
    return hmac.digest(audit_key, text(person, "a person id").encode(), "sha256").hex()


def note_removal(change: Transaction, number: int, action: str, images: Mapping[str, int]) -> None:
    """Add to the audit log how many images were removed with a change, by person id."""
    change.removes = True
    time, key = later(change.db), change.facts().audit_key
    change.db.executemany(
        "INSERT INTO audit (time, action, person, images, change) VALUES (?, ?, ?, ?, ?)",
        [(time, action, mark_of(key, person), count, number) for person, count in images.items()],
    )
