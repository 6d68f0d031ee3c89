"""Size and time of image files, to detect files that changed after they were embedded."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from facever.embeddings.journal import Stamp

_TOGETHER = 1024
_THREADS = 16  # network file systems answer many requests in parallel


def stamps_of(rows: Sequence[int], file_of: Callable[[int], str]) -> Iterator[Stamp]:
    """Yield the stamp of each row's file, in order.

    Args:
        rows: Row numbers.
        file_of: Returns the file of a row; neighbouring rows can share a file.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = (rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER))
        yield from chain.from_iterable(pool.map(lambda part: _taken(part, file_of), parts))


def _taken(rows: Sequence[int], file_of: Callable[[int], str]) -> list[Stamp]:
    files = [file_of(row) for row in rows]
    known = {file: _stamp(file) for file in dict.fromkeys(files)}
    return [known[file] for file in files]


def _stamp(file: str) -> Stamp:
    try:
        status = os.stat(file)  # noqa: PTH116  (Path takes 10 us)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
