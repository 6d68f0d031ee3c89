"""An approximate FAISS index of the snapshot: it proposes rows, and exact scores decide.

The file contains the FAISS index, the numbers of the indexed entries (int64 [N]), and the seal
(`sealed.py`), which is checked before FAISS reads a byte. Later entries are searched exactly;
removed ones are skipped. A file without FAISS bytes contains the reason why the index could not be
built: search is exact until the store has changed enough to try again.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from facever.core.console import say
from facever.core.files import atomic_path
from facever.errors import GalleryError
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.kinds import FLAT, build, reason
from facever.gallery.index.sealed import SealError, padding, seal, stamp_of, unseal
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.state import State
from facever.gallery.records import Keys, Vectors

FILE = "index.faiss"
MAGIC = b"FVFAISS1"
_NO_ROOM = 1 << 20  # bytes: a disk with less free space is treated as full
_UNREADABLE = (RuntimeError, MemoryError)  # raised by FAISS for bytes that are not an index


@dataclass(frozen=True)
class Approximate:
    """An index that proposes rows of a snapshot.

    Args:
        kind: A factory string, or "flat" on a GPU.
        index: The FAISS index.
        rows: Row of the snapshot for each row of the index, int64 [N]; -1 if removed.
        covered: The index has only entries of the first `covered` rows of the snapshot.
    """

    kind: str
    index: Any
    rows: Keys
    covered: int

    @classmethod
    def read(
        cls, path: Path, asked: str, snapshot: Snapshot, belongs: Callable[[State], bool]
    ) -> Self | str:
        """Open the file of an approximate index, or return why the index could not be built.

        Args:
            path: The file.
            asked: The gallery's setting for the kind of index.
            snapshot: The snapshot of the rows.
            belongs: Returns whether a state is one of the store's states.

        Raises:
            SealError: The file is missing, damaged, of another state of the gallery or of another
                kind.
        """
        faiss, stamp = import_faiss(), stamp_of(path)
        content, said = unseal(path, MAGIC)
        if not belongs(State.from_dict(said)):
            raise SealError("of another state of the gallery")
        if said["asked"] != asked:
            raise SealError(f"of kind '{said['asked']}'")
        if said["refused"]:
            return str(said["refused"])
        try:
            index = _opened(faiss, path)
        except _UNREADABLE as error:
            raise SealError(f"not readable by FAISS ({reason(error)})") from error
        if stamp_of(path) != stamp:  # FAISS opens by name: the file may have been replaced
            return cls.read(path, asked, snapshot, belongs)
        known = content[len(content) - 8 * said["count"] :].view("<i8")
        width = snapshot.entries.vectors.shape[1]
        if (index.d, index.ntotal) != (width, len(known)):
            raise SealError(f"of {index.ntotal} vectors of width {index.d}")
        rows = rows_among(np.asarray(known), snapshot.entries.numbers)
        last = int(known[-1]) if len(known) else 0
        covered = int(np.searchsorted(snapshot.entries.numbers, last, side="right"))
        return cls(str(said["kind"]), _on_gpu(faiss, index), rows, covered)

    @classmethod
    def flat_on_gpu(cls, snapshot: Snapshot) -> Self | None:
        """Return exact search of a snapshot on the GPU, if there is one."""
        faiss, vectors = import_faiss(), snapshot.entries.vectors
        if not faiss.get_num_gpus() or not len(vectors):
            return None
        index = _on_gpu(faiss, faiss.IndexFlatIP(vectors.shape[1]))
        index.add(np.ascontiguousarray(vectors, np.float32))
        return cls(FLAT, index, np.arange(len(vectors)), len(vectors))

    def propose(self, queries: Vectors, depth: int) -> Keys:
        """Return rows of the snapshot near each query, int64 [Q, depth]; -1 for missing ones.

        Args:
            queries: float32 [Q, D].
            depth: Number of rows per query, at least 1.
        """
        found: Keys = self.index.search(queries, min(depth, len(self.rows)))[1]
        return np.where(found >= 0, self.rows[found], -1)


def write_approximate(path: Path, kind: str, asked: str, snapshot: Snapshot) -> None:
    """Build an index of a snapshot's vectors and write it, atomically and for the owner only.

    If it cannot be built, print a message; the file then contains only the reason.

    Args:
        path: The file.
        kind: A factory string.
        asked: The gallery's setting for the kind of index; "auto" was resolved to `kind`.
        snapshot: A snapshot with at least one entry.
    """
    faiss, entries = import_faiss(), snapshot.entries
    numbers, refused = entries.numbers, ""
    with atomic_path(path, private=True) as temporary:
        try:
            index, note = build(kind, entries.vectors)
            _try(index, kind, entries.vectors)
            _write(faiss, index, kind, temporary)
        except GalleryError as error:
            numbers, refused = numbers[:0], f"{error}: search is exact until then"
            os.truncate(temporary, 0)
            say(refused)
        else:
            if note:
                say(note)
        with temporary.open("ab") as file:
            file.write(bytes(padding(file.tell())))
            file.write(np.asarray(numbers).astype("<i8").tobytes())
        said = {"kind": kind, "asked": asked, "refused": refused, "count": len(entries.numbers)}
        seal(temporary, MAGIC, {**snapshot.state.to_dict(), **said})


def rows_among(known: Keys, numbers: Keys) -> Keys:
    """Return the position of each known number in `numbers`, both ascending; -1 if not found."""
    if len(known) == len(numbers) and np.array_equal(known, numbers):
        return np.arange(len(known))
    if not len(numbers):
        return np.full(len(known), -1)
    at = np.minimum(np.searchsorted(numbers, known), len(numbers) - 1)
    return np.where(numbers[at] == known, at, -1)


def _opened(faiss: ModuleType, path: Path) -> Any:
    """Return the index, memory-mapped if FAISS can map its kind, else read."""
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:
        return faiss.read_index(str(path))


def _write(faiss: ModuleType, index: Any, kind: str, path: Path) -> None:
    """Write the index and check that it can be read.

    Raises:
        OSError: It cannot be written, for example to a full disk.
        GalleryError: FAISS cannot read an index of this kind again.
    """
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        free = shutil.disk_usage(path.parent).free
        code = errno.ENOSPC if free < _NO_ROOM else errno.EIO
        raise OSError(code, f"{os.strerror(code)} ({reason(error)})", str(path)) from error
    try:
        _opened(faiss, path)
    except _UNREADABLE as error:
        raise GalleryError(f"index '{kind}' cannot be read again ({reason(error)})") from error


def _on_gpu(faiss: ModuleType, index: Any) -> Any:
    """Return the index on the first GPU; the index itself without a GPU or if its kind cannot use
    one.
    """
    if not faiss.get_num_gpus():
        return index
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    except RuntimeError as error:
        say(
            f"this kind of index does not work on the GPU ({reason(error)}): it is searched on "
            "the CPU"
        )
        return index


def _try(index: Any, kind: str, vectors: Vectors) -> None:
    """Refuse an index that cannot search by cosine similarity."""
    try:
        index.search(np.ascontiguousarray(vectors[:1]), 1)
    except RuntimeError as error:
        raise GalleryError(
            f"index '{kind}' cannot search by cosine similarity ({reason(error)})"
        ) from error
