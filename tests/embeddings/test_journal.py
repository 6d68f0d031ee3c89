import json

import numpy as np
import pytest

from facever.embeddings.journal import JournalBlock, block_line, key_line, read_block

ROWS, FIRST = 8, 2
VECTORS = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
BLOCK = JournalBlock(np.array([1.5, 0, 0.1], np.float32), [None, "not an image", None])
LINE = block_line(FIRST, BLOCK, VECTORS[FIRST : FIRST + 3].tobytes())


def vectors(first: int, count: int) -> bytes:
    return VECTORS[first : first + count].tobytes()


def test_a_block_comes_back() -> None:
    found = read_block(LINE, ROWS, vectors)
    assert found is not None
    assert found[0] == FIRST
    assert found[1].norms.dtype == np.float32
    assert found[1].norms.tolist() == BLOCK.norms.tolist()
    assert found[1].errors == BLOCK.errors


def test_files_come_back_too() -> None:
    block = BLOCK._replace(files=[(5, 10**18), None, (0, 1)])
    line = block_line(FIRST, block, vectors(FIRST, 3))
    found = read_block(line, ROWS, vectors)
    assert found is not None
    assert found[1].files == block.files
    assert read_block(LINE, ROWS, vectors)[1].files is None  # type: ignore[index]
    assert read_block(line.replace(b"[5,", b"[6,"), ROWS, vectors) is None


def test_nothing_damaged_comes_back() -> None:
    """Whatever byte is another one, whatever end is missing: nothing, or just what was written."""
    for place in range(len(LINE)):
        assert read_block(LINE[:place], ROWS, vectors) is None
        for changed in range(256):
            line = LINE[:place] + bytes([changed]) + LINE[place + 1 :]
            found = read_block(line, ROWS, vectors)
            if found is not None:
                assert json.loads(line) == json.loads(LINE), line
    VECTORS[FIRST + 2, 2] += 1
    assert read_block(LINE, ROWS, vectors) is None
    VECTORS[FIRST + 2, 2] -= 1


@pytest.mark.parametrize(
    "line",
    [
        key_line("a key"),
        b"[]\n",
        b"4\n",
        b"[" * 100_000 + b"\n",
        b"1" * 5_000 + b"\n",
        b"\xff\xfe\n",
        b'{"first": 4}\n',
        b'{"first": "x", "norms": [], "errors": {}, "crc": 0}\n',
        b'{"first": true, "norms": [1.0], "errors": {}, "crc": 0}\n',
        b'{"first": 1.0, "norms": [1.0], "errors": {}, "crc": 0}\n',
        b'{"first": 1, "norms": 1, "errors": {}, "crc": 0}\n',
        b'{"first": 1, "norms": {}, "errors": {}, "crc": 0}\n',
        b'{"first": 1, "norms": [1.0], "errors": 3}\n',
        block_line(-1, BLOCK, vectors(0, 3)),
        block_line(ROWS - 2, BLOCK, vectors(ROWS - 2, 3)),
        block_line(10**30, BLOCK, b""),
    ],
)
def test_other_lines_are_no_blocks(line: bytes) -> None:
    assert read_block(line, ROWS, vectors) is None
