"""Arrays of MATLAB 5 files: mapped, bounded before anything is allocated, read when asked for."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from facever.data.mat_arrays import MatArray, UnreadArrayError, mat_arrays
from tests.mat_bytes import cell, compressed, element, mat_file, numbers, structure, text

MOST = 1_000_000


def arrays(path: Path, content: bytes, most: int = MOST) -> dict[str, MatArray]:
    path.write_bytes(content)
    return {one.name: one for one in mat_arrays(path, most)}


def test_numbers_of_their_own_type_stay_in_the_file(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    path = tmp_path / "x.mat"
    small = numbers(values.astype("<u1"), "small", "f8")
    found = arrays(path, mat_file(numbers(values, "v"), small))
    read = found["v"].numbers()
    np.testing.assert_array_equal(read, values)
    assert not read.flags.owndata
    assert not read.flags.writeable
    place = path.read_bytes().index(values.tobytes("F"))
    with path.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack("<f", 9))
    assert read[0, 0] == 9
    assert found["small"].numbers().dtype == np.float64


def test_kinds_and_their_content(tmp_path: Path) -> None:
    held = structure({"a": numbers([1, 2]), "b": text("xyz")}, "s")
    content = mat_file(held, compressed(cell([text(["ab", "c"]), numbers([7])], "c")))
    found = arrays(tmp_path / "x.mat", content)
    assert {name: one.kind for name, one in found.items()} == {"s": "struct", "c": "cell"}
    (fields,) = found["s"].structures()
    assert fields["a"].numbers().tolist() == [[1], [2]]
    assert fields["b"].texts() == ["xyz"]
    lines, number = found["c"].cells()
    assert lines.texts() == ["ab", "c "]
    assert number.numbers().tolist() == [[7]]
    with pytest.raises(UnreadArrayError, match="struct"):
        found["s"].numbers()


def test_limits_before_memory_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    bomb = zlib.compress(bytes(2 * MOST))
    with pytest.raises(ValueError, match="unpacks to more than"):
        arrays(path, mat_file(struct.pack("<II", 15, len(bomb)) + bomb))
    several = compressed(numbers(np.zeros((1, MOST // 20), "<f8"), "v"))
    assert arrays(path, mat_file(several, several))
    with pytest.raises(ValueError, match="unpacks to more than"):
        arrays(path, mat_file(several, several, several))
    wide = arrays(path, mat_file(numbers(np.zeros((1, MOST // 4), "u1"), "v", "f8")))
    with pytest.raises(ValueError, match="'v' is too large"):
        wide["v"].numbers()
    cut = zlib.compress(numbers([1.5] * 100, "v"))[:-2]  # of the checksum
    with pytest.raises(ValueError, match="truncated"):
        arrays(path, mat_file(struct.pack("<II", 15, len(cut)) + cut))


def test_arrays_in_each_other_are_bounded(tmp_path: Path) -> None:
    deep = numbers([1])
    for _ in range(40):
        deep = cell([deep])
    held = arrays(tmp_path / "x.mat", mat_file(cell([deep], "deep")))["deep"]
    with pytest.raises(ValueError, match="deep"):
        while True:
            (held,) = held.cells()
    many = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 2**20, 1))
    many = element(14, many + element(1, b"c") + numbers([1]))
    with pytest.raises(ValueError, match="1,048,576 arrays are announced"):
        list(arrays(tmp_path / "x.mat", mat_file(many))["c"].cells())


def test_empty_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a MATLAB 5 file"):
        arrays(tmp_path / "x.mat", b"")
    with pytest.raises(OSError, match=str(tmp_path)):
        list(mat_arrays(tmp_path, MOST))
