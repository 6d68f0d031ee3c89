"""Pickles of other tools: what is read of every protocol, and what hostile ones do not reach.

Hostile pickles are written opcode by opcode.
"""

import pickle
import struct
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.core.pickles import read_pickle
from facever.errors import DataError

VALUE = {
    "features": np.arange(6, dtype=np.float32).reshape(2, 3),
    "big": np.arange(3, dtype=">f8"),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "texts": np.array(["a", "bc"]),
    "objects": np.array(["a", None], dtype=object),
    "flags": np.array([True, False]),
    "numbers": [1, 2.5, True, None, np.float32(0.5), 2**70],
    "nested": ({"a": "é"}, OrderedDict(b=bytearray(b"x"))),
}


def written(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "a.pkl").write_bytes(content)
    return tmp_path / "a.pkl"


def refused(tmp_path: Path, content: bytes, part: str = "") -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_pickle(path, "a set")
    assert str(path) in str(error.value)
    assert "nothing else" in str(error.value)
    assert part in str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    read, content = read_pickle(written(tmp_path, pickle.dumps(VALUE, protocol)), "a set")
    assert content == pickle.dumps(VALUE, protocol)
    assert list(read) == list(VALUE)
    for name in ("features", "big", "columns", "texts", "objects", "flags"):
        assert read[name].dtype.newbyteorder("=") == VALUE[name].dtype.newbyteorder("="), name
        np.testing.assert_array_equal(read[name], VALUE[name])
    assert read["numbers"] == VALUE["numbers"]
    assert read["nested"] == VALUE["nested"]


def python_2(shape: bytes, kind: bytes, values: bytes, structure: bytes = b"NNN") -> bytes:
    """An array by protocol 2, as Python 2 writes it: str for bytes, `numpy.core.multiarray`."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\nU" + bytes([len(kind)]) + kind + b"K\x00K\x01\x87R"
        b"(K\x03U\x01<" + structure + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", len(values)) + values + b"tb."
    )


def test_an_array_of_python_2(tmp_path: Path) -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
    read, _ = read_pickle(
        written(tmp_path, python_2(b"K\x02K\x03\x86", b"f4", values.tobytes())), "a set"
    )
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.float32


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this runs",)


NAMES = [
    b"os\nsystem",
    b"posix\nsystem",
    b"builtins\neval",
    b"__builtin__\neval",
    b"builtins\ngetattr",
    b"builtins\nexec",
    b"subprocess\nPopen",
    b"numpy\nload",
    b"numpy.core.multiarray\nfromfile",
    b"numpy.core.numeric\nload",
    b"numpy._core.multiarray\ntypeinfo",
    b"numpy.core\n_reconstruct",
    b"collections\nnamedtuple",
    b"facever.core.pickles\nread_pickle",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.decode().replace("\n", "."))
def test_nothing_else_is_found(tmp_path: Path, name: bytes) -> None:
    refused(tmp_path, b"c" + name + b"\n(S'x'\ntR.", name.decode().replace("\n", "."))
    refused(tmp_path, b"(S'x'\ni" + name + b"\n.", name.decode().replace("\n", "."))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path: Path, protocol: int, capsys: pytest.CaptureFixture[str]) -> None:
    refused(tmp_path, pickle.dumps([1, _Runs()], protocol), "print")
    assert "this runs" not in capsys.readouterr().out


NDARRAY = b"cnumpy\nndarray\n"
DTYPE = b"cnumpy\ndtype\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
HUGE = b"\x8a\x06\x00\x00\x00\x00\x00\x01"  # 2 ** 40
MINUS = b"J\xff\xff\xff\xff"

HOSTILE = {
    "an array of any size": b"\x80\x02" + NDARRAY + HUGE + b"\x85\x85R.",
    "the same by NEWOBJ": b"\x80\x02" + NDARRAY + HUGE + b"\x85\x85\x81.",
    "an array that begins large": b"\x80\x02" + RECONSTRUCT + NDARRAY + HUGE + b"\x85U\x01b\x87R.",
    "a bytearray of any size": b"\x80\x02cbuiltins\nbytearray\n" + HUGE + b"\x85R.",
    "a memo of any size": b"\x80\x02]r\x00\xe1\xf5\x05.",
    "a memo of any size by text": b"]p4000000000\n.",
    "bytes longer than the file": b"\x80\x03B\x00\x00\x00\x7fabc.",
    "bytes of 2 ** 60": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"abc.",
    "fewer values than the shape": python_2(b"K\x02K\x03\x86", b"f4", b"\0" * 8),
    "a negative shape": python_2(MINUS + b"K\x03\x86", b"f4", b"\0" * 8),
    "objects from bytes": python_2(b"K\x01\x85", b"O8", b"\x10" * 8),
    "a structure": python_2(b"K\x01\x85", b"V8", b"\x10" * 8),
    "fields in a plain type": python_2(b"K\x01\x85", b"f8", b"\x10" * 8, b"NU\x01a\x85}"),
    "fewer objects than the shape": python_2(b"K\x03\x85", b"O8", b"").replace(
        b"T\0\0\0\0tb", b"]K\x01atb"
    ),
    "a scalar of objects": b"\x80\x02cnumpy.core.multiarray\nscalar\n"
    + DTYPE
    + b"U\x02O8K\x00K\x01\x87RU\x08\x10\x10\x10\x10\x10\x10\x10\x10\x86R.",
    "a buffer of objects": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(U\x08\x10\x10\x10\x10\x10"
    b"\x10\x10\x10" + DTYPE + b"U\x02O8K\x00K\x01\x87RK\x01\x85U\x01CtR.",
    "another codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    "a function that is changed": b"\x80\x02c_codecs\nencode\n}U\x05_callcnumpy\nndarray\nsb.",
    "a class that is changed": b"\x80\x02" + DTYPE + b"}U\x05dtypeK\x00sb.",
    "something outside": b"\x80\x02U\x01aQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "an out-of-band buffer": b"\x80\x05\x97.",
    "no end": b"\x80\x02]",
    "nothing": b"",
    "text": b"no pickle at all",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path: Path, name: str) -> None:
    refused(tmp_path, HOSTILE[name])


def test_structures_and_lists_of_another_length_are_named(tmp_path: Path) -> None:
    refused(tmp_path, HOSTILE["fields in a plain type"], "structures")
    refused(tmp_path, HOSTILE["fewer objects than the shape"], "shape (3,)")


def test_a_few_bytes_allocate_little(tmp_path: Path) -> None:
    """With 1 GB of address space left, a memo of 100,000,000 entries would be a MemoryError."""
    refused(tmp_path, HOSTILE["a memo of any size"], "memo")


def test_a_pickle_of_tensors_says_what_to_do(tmp_path: Path) -> None:
    content = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R."
    refused(tmp_path, content, "tensor.cpu().numpy()")


def test_every_truncation_is_one_line(tmp_path: Path) -> None:
    content = pickle.dumps(VALUE, 2)
    for length in range(0, len(content) - 1, 7):
        refused(tmp_path, content[:length])


def test_every_changed_byte_is_read_or_refused(tmp_path: Path) -> None:
    content = pickle.dumps(VALUE["features"], 2)
    for place in range(len(content)):
        for value in (0, content[place] ^ 1, content[place] ^ 0x80):
            changed = content[:place] + bytes([value]) + content[place + 1 :]
            with suppress(DataError):  # anything else would be an error of this test
                read_pickle(written(tmp_path, changed), "a set")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_pickle(path, "a set")
