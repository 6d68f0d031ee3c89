"""Writes an embedding set block by block, so that an interrupted extraction can continue.

One extraction at a time writes to `<out>.partial`. Each of its processes writes its blocks of rows
at their positions in `set/vectors.npy`, and a line for each into its journal. Blocks in a journal
are kept after a kill or a power cut; the others are written again, by any number of processes. Only
`finish` moves the set to its final path; the previous set is kept in `old`, and the journals are
kept, until that is done, so that a kill loses neither. Blocks of image files that have changed
since are written again, too.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.console import say, warn
from facever.core.files import alone, atomic_path, put_into_place, remove_leftovers
from facever.core.processes import from_main, gather_objects, is_main, rank, world
from facever.embeddings.embedding_set import (
    META,
    UNFINISHED,
    VECTORS,
    EmbeddingSet,
    refuse_to_replace,
    require_some,
    with_outcome,
    write_tables,
)
from facever.embeddings.journal import JournalBlock, Stamp, block_line, key_line, read_block
from facever.embeddings.meta import EmbeddingMeta
from facever.embeddings.stamps import stamps_of
from facever.embeddings.unit import unit_block
from facever.errors import DataError

JOURNAL = Path(UNFINISHED).stem  # names of other processes than the first have its number added


class EmbeddingWriter:
    """A resumable writer of one embedding set; use it in a `with` statement.

    It continues after interrupted writers of the same rows and meta: embed the rows that are
    `missing`. Leftovers of other rows or another model are deleted with a warning. Several
    processes (see `facever.core.processes`) open it together; each has its own missing rows.

    Args:
        path: Path of the finished set.
        rows: The manifest's rows, in order: `identity`, and any other column.
        meta: Origin of the vectors.
        trained_on: `identity` and `dataset` of the people in the model's training data, if known.
        overwrite: Whether an existing embedding set at `path` is replaced at the end.
        file_of: Returns the file of a row's image. Blocks of files that have changed since are
            missing again; without it, changes are not checked.

    Raises:
        DataError: Another extraction is writing to `path`, or `path` is not an embedding set or may
            not be replaced.

    Example:
        >>> with EmbeddingWriter(path, manifest.frame, meta) as writer:  # doctest: +SKIP
        ...     for first, images in batches(writer.missing(64)):
        ...         writer.write(first, embed(images))
        ...     faces = writer.finish()
    """

    def __init__(
        self,
        path: str | Path,
        rows: pd.DataFrame,
        meta: EmbeddingMeta,
        trained_on: pd.DataFrame | None = None,
        overwrite: bool = True,
        file_of: Callable[[int], str] | None = None,
    ) -> None:
        self.path = Path(path)
        refuse_to_replace(self.path)
        self.rows, self.meta, self.trained_on = rows, meta, trained_on
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        self._set, self._old = self.partial / "set", self.partial / "old"
        self._blocks: dict[int, JournalBlock] = {}
        self._file_of = file_of
        self._files = np.zeros((len(rows), 2), np.int64)  # size + 1 and time; 0 without a file
        key = _key(rows, meta)
        if set(gather_objects(key)) != {key}:
            raise DataError(
                "the processes have different images or models: give all processes the same data"
            )
        with ExitStack() as lock:
            if is_main():
                self._lock(lock)
                self._prepare(key, overwrite)
            here = sorted((first, len(block.norms)) for first, block in self._blocks.items())
            self._begun = from_main(here)
            self._vectors = (self._set / VECTORS).open("r+b")
            self._vectors_begin = _skip_header(self._vectors)
            journal = UNFINISHED if is_main() else f"{JOURNAL}-{rank()}.jsonl"
            self._journal: BinaryIO = (self.partial / journal).open("ab")
            self._locked = lock.pop_all()

    @property
    def done(self) -> int:
        """The number of rows written by earlier processes and by this one."""
        lengths = dict(self._begun) | {first: len(b.norms) for first, b in self._blocks.items()}
        return sum(lengths.values())

    def missing(self, block: int) -> list[range]:
        """Return the rows that this process must write, as ranges of complete blocks.

        The rows that were missing at opening are divided into contiguous parts. The stamps of their
        files are read here, so that the next writer notices later changes.

        Args:
            block: Rows that are embedded together; only the last block of all is smaller.
        """
        there = np.zeros(len(self.rows), bool)
        for first, length in self._begun:
            there[first : first + length] = True
        starts = np.flatnonzero(~there[::block]) * block
        mine = np.array_split(starts, world())[rank()]
        runs = np.split(mine, np.flatnonzero(np.diff(mine) != block) + 1)
        total = range(len(self.rows))
        shared = [total[int(run[0]) : int(run[-1]) + block] for run in runs if len(run)]
        if self._file_of is not None:
            for run in shared:
                for row, stamp in zip(run, stamps_of(run, self._file_of), strict=True):
                    self._files[row] = (0, 0) if stamp is None else (stamp[0] + 1, stamp[1])
        return shared

    def write(
        self,
        first: int,
        embeddings: NDArray[np.floating],
        errors: Sequence[str | None] | None = None,
        columns: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write a block of rows.

        Args:
            first: The first row of the block.
            embeddings: [B, D], not normalised, in order. Rows of failed images are ignored.
            errors: [B], the reason why an image could not be embedded, or None.
            columns: [B], values (JSON) by column name for the face in each photo; they become
                columns of the rows. Empty for crops.

        Raises:
            DataError: The dimension is wrong, there are too many rows, or a vector is NaN or zero.
        """
        block = np.array(embeddings, dtype=np.float32)
        reasons: list[str | None] = [None] * len(block) if errors is None else list(errors)
        if block.ndim != 2 or block.shape[1] != self.meta.dimension or len(reasons) != len(block):
            raise DataError(
                f"a block of shape {block.shape} with {len(reasons)} errors for an embedding set "
                f"of dimension {self.meta.dimension}"
            )
        if first + len(block) > len(self.rows):
            raise DataError(f"more than the {len(self.rows)} rows of the embedding set")
        units, norms = unit_block(
            block, reasons, lambda row: f"row {first + row} ({self._name(first + row)})"
        )
        made = JournalBlock(norms, reasons, self._stamps(first, len(block)), columns)
        self._vectors.seek(self._vectors_begin + 4 * self.meta.dimension * first)
        for file, content in (
            (self._vectors, units.tobytes()),
            (self._journal, block_line(first, made, units.tobytes())),
        ):
            file.write(content)
            file.flush()
        self._blocks[first] = made

    def finish(self) -> EmbeddingSet:
        """Check that no row is missing, flush to disk, rename to the final path and open.

        Raises:
            DataError: Rows are missing, a column cannot be written, or no image could be embedded;
                such an extraction is deleted.
        """
        self._vectors.flush()
        os.fsync(self._vectors.fileno())
        self._close_files()
        blocks = {k: block for part in gather_objects(self._blocks) for k, block in part.items()}
        norms = np.concatenate(
            [np.empty(0, np.float32), *(blocks[k].norms for k in sorted(blocks))]
        )
        errors = [error for first in sorted(blocks) for error in blocks[first].errors]
        if len(errors) != len(self.rows):
            raise DataError(f"{self.partial} has {len(errors)} of {len(self.rows)} rows")
        if errors and None not in errors and is_main():
            shutil.rmtree(self.partial)
        require_some(self.meta, errors)
        if is_main():
            found = [
                said
                for first in sorted(blocks)
                for said in blocks[first].columns or [{}] * len(blocks[first].norms)
            ]
            self._put_into_place(with_outcome(self.rows, norms, errors, found))
        from_main(None)  # the set exists now
        made = EmbeddingSet.load(self.path)
        self.close()
        return made

    def close(self) -> None:
        """Close the files and release the lock; written blocks are kept for the next call."""
        self._close_files()
        self._locked.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _stamps(self, first: int, count: int) -> list[Stamp] | None:
        if self._file_of is None:
            return None
        taken = self._files[first : first + count].tolist()
        return [(size - 1, time) if size else None for size, time in taken]

    def _name(self, row: int) -> str:
        column = "path" if "path" in self.rows else "identity"
        return str(self.rows[column].iloc[row])

    def _close_files(self) -> None:
        self._vectors.close()
        self._journal.close()

    def _lock(self, held: ExitStack) -> None:
        """Block other extractions while `held` is open."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f".{self.path.name}.lock")
        taken = DataError(
            f"{self.path}: another extraction is writing to it; wait until it has finished, or "
            "choose "
            "another path"
        )
        held.enter_context(alone(lock, taken))
        held.callback(lock.unlink, missing_ok=True)

    def _prepare(self, key: str, overwrite: bool) -> None:
        """Find the written blocks of these rows in `.partial`, or create it."""
        if self.partial.exists() and not self._set.exists():
            shutil.rmtree(self.partial)  # killed after the set was moved to its final path
        elif self._old.exists() and not self.path.exists():
            self._old.replace(self.path)  # or just before that
        if not overwrite and (self.path / META).is_file():
            raise DataError(
                f"{self.path} already contains an embedding set: choose another path, or "
                "overwrite it"
            )
        if self.partial.exists() and not self._recover(key):
            warn(f"{self.partial} belongs to another extraction: starting from the beginning")
            shutil.rmtree(self.partial)
        if not self.partial.exists():
            self._begin(key)
        for folder in (self.partial, self._set):
            folder.chmod(0o700)  # created by an older version
        if self._blocks:
            there = sum(len(block.norms) for block in self._blocks.values())
            say(f"resuming with {there} of {len(self.rows)} rows in {self.partial}")

    def _begin(self, key: str) -> None:
        self.partial.mkdir(0o700, parents=True)
        self._set.mkdir(0o700)
        shape = (len(self.rows), self.meta.dimension)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        with (self._set / VECTORS).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
        (self.partial / UNFINISHED).write_bytes(key_line(key))

    def _recover(self, key: str) -> bool:
        """Keep the intact blocks of interrupted writers with the same key.

        Their journals are merged into one with only these blocks.
        """
        journal, vectors = self.partial / UNFINISHED, self._set / VECTORS
        if not journal.is_file() or not vectors.is_file():
            return False
        others = sorted(self.partial.glob(f"{JOURNAL}-*.jsonl"))
        lines = [line for path in (journal, *others) for line in path.read_bytes().splitlines(True)]
        if lines[:1] != [key_line(key)]:
            return False
        kept: dict[bytes, tuple[int, JournalBlock]] = {}
        with vectors.open("rb") as data:
            try:
                begin = _skip_header(data)
            except ValueError:
                return False
            row = 4 * self.meta.dimension

            def content(first: int, count: int) -> bytes:
                data.seek(begin + row * first)
                return data.read(row * count)

            for line in lines[1:]:
                found = read_block(line, len(self.rows), content)
                if found is not None:
                    kept[line] = found
        if self._file_of is not None:
            kept = self._unchanged(kept, self._file_of)
        self._blocks = dict(kept.values())
        with atomic_path(journal) as temporary:
            temporary.write_bytes(b"".join([lines[0], *kept]))
        for path in others:
            path.unlink()
        return True

    def _unchanged(
        self, found: dict[bytes, tuple[int, JournalBlock]], file_of: Callable[[int], str]
    ) -> dict[bytes, tuple[int, JournalBlock]]:
        """Return the lines of blocks whose files are unchanged; warn of the others."""
        rows = [first + row for first, block in found.values() for row in range(len(block.norms))]
        now, kept, changed, unknown = stamps_of(rows, file_of), {}, 0, 0
        for line, (first, block) in found.items():
            current = list(islice(now, len(block.norms)))
            if block.files is None:
                unknown += len(current)
            elif current == block.files:
                kept[line] = first, block
            else:
                changed += sum(a != b for a, b in zip(current, block.files, strict=True))
        if changed:
            say(
                f"{changed:,} image files have changed since they were embedded: they are "
                "embedded again, with their batches"
            )
        if unknown:
            say(
                f"{unknown:,} rows in {self.partial} lack the stamps of their files (written by "
                "an older version): they are embedded again"
            )
        return kept

    def _put_into_place(self, rows: pd.DataFrame) -> None:
        remove_leftovers(self._set)  # from a kill during this call
        for leftover in set(self._set.iterdir()) - {self._set / VECTORS}:
            leftover.unlink()
        write_tables(self._set, rows, self.meta, self.trained_on)
        refuse_to_replace(self.path)
        shutil.rmtree(self._old, ignore_errors=True)
        put_into_place(self._set, self.path, self._old)
        shutil.rmtree(self.partial, ignore_errors=True)


def _skip_header(file: BinaryIO) -> int:
    """Seek to the first row of an .npy file, and return the position."""
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()


def _key(rows: pd.DataFrame, meta: EmbeddingMeta) -> str:
    """Return the key that must be equal to resume: the rows, and the origin of the vectors.

    For crops it is the same as in versions without photos, so that their extractions can be
    resumed.
    """
    said = asdict(meta)
    if said["acquisition"].get("images") != "photos":
        del said["acquisition"]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    digest.update(rows.to_json(orient="split", default_handler=str).encode())
    return digest.hexdigest()
