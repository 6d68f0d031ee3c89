"""Check of the heaps in which HDF5 keeps texts: a damaged one is an endless loop in libhdf5 2.0.

Reference:
    The HDF Group, "HDF5 File Format Specification Version 3.0", III.E: Global Heap.
"""

import mmap
import struct
from pathlib import Path

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER = _OBJECT = 16  # bytes


def check_heaps(path: Path) -> None:
    """Refuse a file with a heap whose objects do not fill it one after the other.

    Raises:
        ValueError: A heap is damaged.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = content.find(_SIGNATURE)
        while begin >= 0:
            if begin + _HEADER > len(content):
                raise ValueError("it is truncated")
            _check_heap(content, begin, *struct.unpack_from("<Q", content, begin + 8))
            begin = content.find(_SIGNATURE, begin + len(_SIGNATURE))


def _check_heap(content: mmap.mmap, begin: int, size: int) -> None:
    place, end = begin + _HEADER, begin + size
    if end > len(content) or size < _HEADER:
        raise ValueError(f"the heap at byte {begin} is damaged")
    while place + _OBJECT <= end:
        index, _, _, length = struct.unpack_from("<HHIQ", content, place)
        if index == 0:  # free space, which counts its own header
            if length < _OBJECT:
                raise ValueError(f"the heap at byte {begin} is damaged")
            place += length
        else:
            place += _OBJECT + length + -length % 8
    if place > end:
        raise ValueError(f"the heap at byte {begin} is damaged")
