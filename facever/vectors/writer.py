"""Writes an embedding set block by block, so that an interrupted extraction goes on.

The work happens in `<out>.partial`: `vectors.npy` grows by a block at a time, and for each block a
line of the journal holds its checksum, norms and errors. What the journal vouches for is kept
after a kill or a power cut, the rest is dropped. Only `finish` makes the folder readable.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.console import say, warn
from facever.errors import DataError
from facever.vectors.embedding_set import (
    UNFINISHED,
    VECTORS,
    EmbeddingMeta,
    EmbeddingSet,
    refuse_to_replace,
    with_outcome,
    write_tables,
)
from facever.vectors.unit import unit_rows


class EmbeddingWriter:
    """A resumable writer of one embedding set; use it in a `with` statement.

    Opening goes on where an interrupted writer of the same rows and meta stopped: embed the rows
    from `done` on. Leftovers of other rows or another model are dropped, and that is said.

    Args:
        path: Where the finished set will be; an embedding set that stands there is replaced then.
        rows: The manifest's rows, in order: `identity`, and any other column.
        meta: What makes the vectors.
        trained_on: `identity` and `dataset` of whom the model was trained on, where known.

    Raises:
        DataError: Something that is not an embedding set stands at `path`.

    Example:
        >>> with EmbeddingWriter(path, manifest.frame, meta) as writer:  # doctest: +SKIP
        ...     for images in batches(start=writer.done):
        ...         writer.append(embed(images))
        ...     faces = writer.finish()
    """

    def __init__(
        self,
        path: str | Path,
        rows: pd.DataFrame,
        meta: EmbeddingMeta,
        trained_on: pd.DataFrame | None = None,
    ) -> None:
        self.path = Path(path)
        refuse_to_replace(self.path)
        self.rows, self.meta, self.trained_on = rows, meta, trained_on
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        self._norms: list[NDArray[np.float32]] = []
        self._errors: list[str | None] = []
        key = _key(rows, meta)
        if self.partial.exists() and not self._recover(key):
            warn(f"{self.partial} is of other images or another model, and is begun anew")
            shutil.rmtree(self.partial)
        if not self.partial.exists():
            self._begin(key)
        elif self.done:
            say(f"going on at row {self.done} of {len(rows)} in {self.partial}")
        self._vectors: BinaryIO = (self.partial / VECTORS).open("ab")
        self._journal: BinaryIO = (self.partial / UNFINISHED).open("ab")

    @property
    def done(self) -> int:
        """The number of rows written, in this process and in those before it."""
        return len(self._errors)

    @property
    def failed(self) -> list[str]:
        """Why rows have no vector, of all that were written, here and in processes before."""
        return [reason for reason in self._errors if reason is not None]

    def append(
        self, embeddings: NDArray[np.floating], errors: Sequence[str | None] | None = None
    ) -> None:
        """Write the next block of rows.

        Args:
            embeddings: [B, D], not normalised; the rows after the first `done`, in order. What
                stands in the row of a failed image is ignored.
            errors: [B], why an image could not be embedded, or None where it was.

        Raises:
            DataError: Another dimension, more rows than there are, NaN, or a zero vector.
        """
        block = np.array(embeddings, dtype=np.float32)
        reasons = list(errors) if errors is not None else [None] * len(block)
        if block.ndim != 2 or block.shape[1] != self.meta.dimension or len(reasons) != len(block):
            raise DataError(
                f"a block of shape {block.shape} with {len(reasons)} errors for an embedding set "
                f"of dimension {self.meta.dimension}"
            )
        if self.done + len(block) > len(self.rows):
            raise DataError(f"more than the {len(self.rows)} rows of the embedding set")
        failed = np.array([reason is not None for reason in reasons], dtype=bool)
        block[failed] = 0
        wrong = ~failed & ~(np.isfinite(block).all(axis=1) & block.any(axis=1))
        if wrong.any():
            row = self.done + int(wrong.argmax())
            raise DataError(f"the embedding of row {row} ({self._name(row)}) is zero or not finite")
        units, norms = unit_rows(block)
        line = {
            "crc": zlib.crc32(units.tobytes()),
            "norms": norms.tolist(),
            "errors": {str(i): reason for i, reason in enumerate(reasons) if reason is not None},
        }
        for file, content in (
            (self._vectors, units.tobytes()),
            (self._journal, json.dumps(line).encode() + b"\n"),
        ):
            file.write(content)
            file.flush()
        self._norms.append(norms)
        self._errors.extend(reasons)

    def finish(self) -> EmbeddingSet:
        """Check that every row is there, flush to disk, rename into place and open.

        Raises:
            DataError: Rows are missing, or a column cannot be written.
        """
        if self.done != len(self.rows):
            raise DataError(f"{self.partial} has {self.done} of {len(self.rows)} rows")
        self.close()
        norms = np.concatenate([np.empty(0, np.float32), *self._norms])
        rows = with_outcome(self.rows, norms, self._errors)
        write_tables(self.partial, rows, self.meta, self.trained_on)
        for file in self.partial.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        (self.partial / UNFINISHED).unlink()
        refuse_to_replace(self.path)
        old = self.path.with_name(f".{self.path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.path.exists():
            self.path.replace(old)
        self.partial.replace(self.path)
        shutil.rmtree(old, ignore_errors=True)
        return EmbeddingSet.load(self.path)

    def close(self) -> None:
        """Close the files; what was written stays for the next time."""
        self._vectors.close()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _name(self, row: int) -> str:
        column = "path" if "path" in self.rows else "identity"
        return str(self.rows[column].iloc[row])

    def _begin(self, key: str) -> None:
        self.partial.mkdir(parents=True)
        shape = (len(self.rows), self.meta.dimension)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        with (self.partial / VECTORS).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
        (self.partial / UNFINISHED).write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")

    def _recover(self, key: str) -> bool:
        """Take over the blocks that an interrupted writer of the same key left whole."""
        journal, vectors = self.partial / UNFINISHED, self.partial / VECTORS
        if not journal.is_file() or not vectors.is_file():
            return False
        with journal.open("rb") as lines, vectors.open("rb") as data:
            first = lines.readline()
            if _parse(first).get("key") != key:
                return False
            try:
                np.lib.format.read_magic(data)
                np.lib.format.read_array_header_1_0(data)
            except ValueError:
                return False
            journal_end, vectors_end = len(first), data.tell()
            for line, block in _whole_blocks(lines, data, self.meta.dimension):
                errors = block["errors"]
                self._norms.append(np.array(block["norms"], np.float32))
                self._errors.extend(errors.get(str(i)) for i in range(len(block["norms"])))
                journal_end, vectors_end = journal_end + len(line), data.tell()
        os.truncate(journal, journal_end)
        os.truncate(vectors, vectors_end)
        return True


def _whole_blocks(
    lines: BinaryIO, data: BinaryIO, dimension: int
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield the journal's lines as long as the vectors have the checksum that they say."""
    for line in lines:
        block = _parse(line)
        if not line.endswith(b"\n") or not block:
            return
        content = data.read(4 * dimension * len(block["norms"]))
        if zlib.crc32(content) != block["crc"]:
            return
        yield line, block


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _key(rows: pd.DataFrame, meta: EmbeddingMeta) -> str:
    """Return what must be equal for a resume: the rows, and all that makes the vectors."""
    kept = {name: value for name, value in asdict(meta).items() if name != "versions"}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode())
    digest.update(rows.to_json(orient="split", default_handler=str).encode())
    return digest.hexdigest()
