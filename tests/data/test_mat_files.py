"""MATLAB 5 files: made byte by byte and by SciPy, and damaged ones."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from facever.data import mat_arrays, mat_files
from facever.data.mat_files import read_mat
from facever.errors import DataError
from tests.mat_bytes import cell, compressed, element, mat_file, numbers, structure, text

GOOD = mat_file(
    numbers([3, 1, 2], "ids"),
    compressed(cell([text("a.jpg"), text("bc.jpg")], "names")),
    structure({"name": text("x_1"), "age": numbers([35])}, "person"),
)


def test_a_file_made_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(GOOD)
    held = read_mat(path, "a list", ["ids", "names", "person"])
    assert held["ids"].tolist() == [3, 1, 2]
    assert held["names"].tolist() == ["a.jpg", "bc.jpg"]
    assert (held["person"].name, held["person"].age) == ("x_1", 35)


@pytest.mark.parametrize("compression", [True, False])
def test_files_of_scipy_read_as_scipy_reads_them(tmp_path: Path, compression: bool) -> None:
    path = tmp_path / "x.mat"
    grid = np.arange(6).reshape(2, 3)
    kinds = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
    written = {f"k{kind}": grid.astype(kind) for kind in kinds} | {
        "names": np.array(["a.jpg", "Jos\u00e9.jpg"], dtype=object)[:, None],
        "lines": np.array(["ab", "c"]),
        "yes": np.array([[True, False]]),
        "empty": np.empty((0, 0)),
        "one": 7,
    }
    savemat(path, written, do_compression=compression)
    held, known = read_mat(path, "a list", list(written)), loadmat(path, squeeze_me=True)
    for name in written:
        assert np.array_equal(held[name], known[name]), name
        assert np.shape(held[name]) == np.shape(known[name]), name
    assert held["ku2"].dtype == np.uint16


def test_structures_of_scipy(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    pairs = np.array([[{"name": "a", "age": 1}, {"name": "b", "age": 2}]], dtype=object)
    savemat(path, {"split": {"pairs": pairs, "annot": [1, -1]}})
    split = read_mat(path, "a list", ["split"])["split"]
    assert [one.name for one in split.pairs] == ["a", "b"]
    assert [int(one.age) for one in split.pairs] == [1, 2]
    assert split.annot.tolist() == [1, -1]


def test_a_missing_variable_names_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match=r"x.mat is not a list: .*'labels'.*ids, names, person"):
        read_mat(path, "a list", ["ids", "labels"])


BOMB = zlib.compress(bytes(5_000_000))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a MATLAB 5 file"),
        (b"hello" * 100, "not a MATLAB 5 file"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF", "-v7"),
        (GOOD[:-8], "truncated"),
        (GOOD + b"123", "truncated"),
        (GOOD + bytes(8), "damaged: element of type 0"),
        (mat_file(struct.pack("<II", 14, 2**32 - 1)), "truncated: 4,294,967,295 bytes"),
        (mat_file(struct.pack("<II", 15, len(BOMB)) + BOMB), "unpacks to more than"),
        (mat_file(struct.pack("<II", 15, 8) + b"nozlib!!"), "x.mat is not a list"),
        (mat_file(struct.pack("<II", 14, 16) + bytes(16)), "x.mat is not a list"),
    ],
)
def test_damage_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    monkeypatch.setattr(mat_files, "MOST_BYTES", 1_000_000)
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_mat(path, "a list", ["ids"])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [0xFF, 0x01, 0x08, 0x80])
def test_a_changed_byte_is_read_or_refused(tmp_path: Path, change: int) -> None:
    path = tmp_path / "x.mat"
    messages = []
    for place in range(len(GOOD)):
        path.write_bytes(GOOD[:place] + bytes([GOOD[place] ^ change]) + GOOD[place + 1 :])
        try:
            read_mat(path, "a list", ["ids", "names", "person"])
        except DataError as error:
            messages.append(str(error))
    assert messages
    assert all(str(path) in message for message in messages)


def test_cell_arrays_in_each_other_and_of_many_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mat_arrays, "MOST_ARRAYS", 100)
    path = tmp_path / "x.mat"
    inner = cell([numbers([1])] * 9)
    path.write_bytes(mat_file(cell([inner] * 10, "ids")))
    assert read_mat(path, "a list", ["ids"])["ids"][9].tolist() == [1] * 9
    path.write_bytes(mat_file(cell([inner] * 11, "ids")))
    with pytest.raises(DataError, match="more than 100 arrays"):
        read_mat(path, "a list", ["ids"])
    monkeypatch.setattr(mat_arrays, "MOST_ARRAYS", 10**6)
    deep = numbers([1])
    for _ in range(1100):
        deep = cell([deep])
    path.write_bytes(mat_file(cell([deep], "ids")))
    with pytest.raises(DataError, match=r"x.mat is not a list"):
        read_mat(path, "a list", ["ids"])


def test_big_endian_files(tmp_path: Path) -> None:
    def part(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    array = part(6, struct.pack(">II", 6, 0)) + part(5, struct.pack(">ii", 1, 2)) + part(1, b"ids")
    array += part(9, struct.pack(">dd", 5, 6))
    header = b"MATLAB 5.0".ljust(116) + bytes(8) + struct.pack(">HH", 0x0100, 0x4D49)
    (tmp_path / "x.mat").write_bytes(header + part(14, array))
    assert read_mat(tmp_path / "x.mat", "a list", ["ids"])["ids"].tolist() == [5, 6]


def test_small_elements(tmp_path: Path) -> None:
    name = struct.pack("<HH", 1, 3) + b"ids\0"
    held = struct.pack("<HH", 2, 2) + bytes([5, 6, 0, 0])  # doubles, stored in bytes
    parts = element(6, struct.pack("<II", 6, 0)), element(5, struct.pack("<ii", 2, 1)), name, held
    (tmp_path / "x.mat").write_bytes(mat_file(element(14, b"".join(parts))))
    ids = read_mat(tmp_path / "x.mat", "a list", ["ids"])["ids"]
    assert ids.tolist() == [5, 6]
    assert ids.dtype == np.float64


@pytest.mark.parametrize(
    "array",
    [
        numbers([1], "ids").replace(struct.pack("<II", 6, 0), struct.pack("<II", 6 | 0x800, 0)),
        numbers([1], "ids").replace(struct.pack("<II", 6, 0), struct.pack("<II", 5, 0)),
        numbers([1], "ids").replace(struct.pack("<ii", 1, 1), struct.pack("<ii", 2**30, 2**30)),
        cell([], "ids", (2**31 - 1, 2**31 - 1)),
    ],
)
def test_arrays_that_are_not_read(tmp_path: Path, array: bytes) -> None:
    (tmp_path / "x.mat").write_bytes(mat_file(array))
    with pytest.raises(DataError, match="'ids'"):
        read_mat(tmp_path / "x.mat", "a list", ["ids"])
