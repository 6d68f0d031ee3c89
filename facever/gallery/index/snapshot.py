"""The snapshot of a gallery's index: one file, derived from the store and memory-mapped.

The file contains vectors (float32 [N, D]), entry numbers and people's keys (int64 [N]), the
vectors' checksums (uint32 [N]) and, for many vectors, what screened search needs (`codes.py`):
their codes (int8 [N, W]), the axis of a cone (float32 [D]) and the rows outside (int64 [M]). The
trailer (`sealed.py`) has the state of the store. The file is written under a temporary name and
renamed: a reader opens the old or the new file.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from facever.core.files import atomic_path
from facever.gallery.index.codes import (
    LEAST,
    SAMPLE,
    Codes,
    Encoder,
    Scale,
    sampled_rows,
)
from facever.gallery.index.sealed import CHUNK, Bytes, SealError, padding, said_by, seal, unseal
from facever.gallery.index.state import State
from facever.gallery.records import Entries

FILE = "index.snapshot"
MAGIC, _FORMER = b"FVINDEX4", (b"FVINDEX3", b"FVINDEX2", b"FVINDEX\0")
_SHARE = 0.05  # share of its entries: a snapshot further behind the store is written again
_LEAST = 1000  # entries: fewer are searched as fast without a snapshot


@dataclass(frozen=True)
class Snapshot:
    """The entries of a store at one state.

    Args:
        state: The store and change.
        entries: The entries in order of their numbers; vectors and numbers are memory-mapped.
        codes: The codes of the vectors, memory-mapped; None for few vectors, or if no scale fits.
    """

    state: State
    entries: Entries
    codes: Codes | None = None

    @classmethod
    def read(cls, path: Path, belongs: Callable[[State], bool] | None = None) -> Self:
        """Open a snapshot and verify all of it.

        Args:
            path: The file.
            belongs: Returns whether a state is one of the store's states; None accepts any state.

        Raises:
            SealError: The file is missing, truncated, damaged, or of another format or another
                state of the gallery.
        """
        content, said = unseal(path, MAGIC, _FORMER)
        count = int(said["count"])
        state = State.from_dict(said)
        if belongs is not None and not belongs(state):
            raise SealError("of another state of the gallery")
        size = 4 * count * state.dimension
        ends = np.cumsum([size, padding(size), 8 * count, 8 * count, 4 * count])
        vectors = content[: ends[0]].view("<f4").reshape(count, state.dimension)
        numbers = content[ends[1] : ends[2]].view("<i8")
        owners = content[ends[2] : ends[3]].view("<i8")
        checksums = content[ends[3] : ends[4]].view("<u4")
        return cls(
            state,
            Entries(numbers, np.array(owners, np.int64), vectors, np.array(checksums, np.uint32)),
            _codes_in(content[ends[4] + padding(ends[4]) :], said.get("codes"), vectors.shape),
        )


def write_snapshot(path: Path, state: State, batches: Iterable[Entries]) -> None:
    """Write entries, atomically and readable by the owner only.

    Args:
        path: The file.
        state: The state of the store that has these entries.
        batches: Entries in the order of their numbers; those with owner -1 are omitted.
    """
    numbers, owners = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    checksums = [np.empty(0, np.uint32)]
    with atomic_path(path, private=True) as temporary:
        with temporary.open("wb") as file:
            for batch in batches:
                step = max(1, CHUNK // (4 * state.dimension))
                for start in range(0, len(batch.numbers), step):
                    block = slice(start, start + step)
                    living = batch.owners[block] >= 0
                    file.write(batch.vectors[block][living].astype("<f4").tobytes())
                    numbers.append(batch.numbers[block][living])
                    owners.append(batch.owners[block][living])
                    checksums.append(batch.checksums[block][living])
            file.write(bytes(padding(file.tell())))
            count = 0
            for column in (numbers, owners):
                joined = np.concatenate(column)
                count = len(joined)
                file.write(joined.astype("<i8").tobytes())
            file.write(np.concatenate(checksums).astype("<u4").tobytes())
            file.write(bytes(padding(file.tell())))
        codes = _append_codes(temporary, count, state.dimension)
        seal(temporary, MAGIC, {**state.to_dict(), "count": count, "codes": codes})


def _append_codes(path: Path, count: int, dimension: int) -> dict[str, Any] | None:
    """Append the codes of the vectors at the beginning of a file, and return their trailer.

    Vectors are read in blocks: memory-mapped ones would fill the memory.
    """
    if count < LEAST:
        return None
    width = 4 * dimension
    with path.open("rb") as vectors, path.open("r+b") as file:
        sample = np.empty((min(count, SAMPLE), dimension), np.float32)
        for place, row in enumerate(sampled_rows(count).tolist()):
            vectors.seek(row * width)
            sample[place] = np.fromfile(vectors, "<f4", dimension)
        encoder = Encoder(sample)
        vectors.seek(0)
        begin = file.seek(0, 2)
        step = max(1, CHUNK // width)
        for start in range(0, count, step):
            block = np.fromfile(vectors, "<f4", dimension * min(step, count - start))
            file.write(encoder.encode(block.reshape(-1, dimension)).tobytes())
        fit = encoder.fit()
        if fit is None:
            file.truncate(begin)
            return None
        error, reach, outside = fit
        columns = (file.tell() - begin) // count
        for row in outside.tolist():
            file.seek(begin + row * columns)
            file.write(bytes(columns))
        file.seek(0, 2)
        scale = encoder.scale
        file.write(b"" if scale.axis is None else scale.axis.astype("<f4").tobytes())
        file.write(outside.astype("<i8").tobytes())
    return {
        "columns": columns,
        "step": scale.step,
        "cone": scale.axis is not None,
        "level": scale.level,
        "weight": scale.weight,
        "error": error,
        "reach": reach,
        "outside": len(outside),
    }


def _codes_in(
    content: Bytes, said: Mapping[str, Any] | None, shape: tuple[int, int]
) -> Codes | None:
    """Return the codes of a snapshot's vectors, whose bytes begin at `content`."""
    if said is None:
        return None
    (count, dimension), columns = shape, said["columns"]
    ends = np.cumsum([count * columns, 4 * dimension * said["cone"], 8 * said["outside"]])
    axis = np.frombuffer(content[ends[0] : ends[1]].tobytes(), "<f4").astype(np.float32)
    outside = np.frombuffer(content[ends[1] : ends[2]].tobytes(), "<i8").astype(np.int64)
    scale = Scale(said["step"], axis if said["cone"] else None, said["level"], said["weight"])
    codes = content[: ends[0]].view(np.int8).reshape(count, columns)
    return Codes(codes, scale, said["error"], said["reach"], outside)


def lacks_codes(path: Path) -> bool:
    """Return whether a file was written by a version without codes, by its trailer."""
    said = said_by(path)
    return bool(said) and "codes" not in said


def codes_size(path: Path) -> int:
    """Return the bytes of the codes in a file, by its trailer; 0 without codes."""
    said = said_by(path)
    with suppress(TypeError, ValueError, KeyError):
        return int(said["count"]) * int(said["codes"]["columns"])
    return 0


def count_in(path: Path) -> int:
    """Return the number of entries in a file's trailer, unverified; 0 without a file."""
    with suppress(TypeError, ValueError):
        return int(said_by(path).get("count", 0))
    return 0


def allowed_lag(count: int) -> int:
    """Return the number of entries that a snapshot of `count` entries may be behind the store."""
    return max(_LEAST, int(_SHARE * count))
