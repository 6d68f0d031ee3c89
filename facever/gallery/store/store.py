"""The store of a gallery: one SQLite file, the truth about people, images and their vectors."""

from facever.gallery.store.checking import Checking
from facever.gallery.store.file import FILE

__all__ = ["FILE", "Store"]


class Store(Checking):
    """An open store. Use `create` or `open`.

    Threads may share one: reading and writing have a connection each, and each is used by one
    thread at a time.
    """
