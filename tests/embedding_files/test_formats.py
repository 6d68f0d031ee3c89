"""Each format, from files written by hand: the arrays as they are, and bad files in one line."""

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from facever.embedding_files.arrays import whole
from facever.embedding_files.formats import format_of, open_file
from facever.errors import DataError
from tests.embedding_files.hdf5_bytes import hdf5_file
from tests.embedding_files.parquet_bytes import parquet_file
from tests.embedding_files.written import (
    CAMERAS,
    PATHS,
    PEOPLE,
    VECTORS,
    D,
    N,
    archive,
    npy,
    npz,
    pickled,
    pickled_array,
    pickled_dict,
    pickled_list,
    pickled_text,
    torch_dict,
    torch_file,
    torch_tensor,
    zipped,
)
from tests.mat_bytes import cell, compressed, mat_file, numbers, structure, text


def read(path: Path) -> tuple[str, dict[str, Any]]:
    with open_file(path) as file:
        arrays = {name: whole(array, path) for name, array in file.arrays.items()}
        for name, array in file.arrays.items():
            assert tuple(array.shape) == arrays[name].shape
            parts = list(array.blocks(5)) or [np.empty(array.shape)]
            np.testing.assert_array_equal(np.concatenate(parts), arrays[name])
        return file.layout, arrays


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(DataError) as error, open_file(path) as file:
        for array in file.arrays.values():
            whole(array, path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert all(part in str(error.value) for part in parts), error.value


# .npy and .npz


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8"])
def test_npy(tmp_path: Path, version: int, kind: str) -> None:
    (tmp_path / "a.npy").write_bytes(npy(VECTORS.astype(kind), version))
    layout, arrays = read(tmp_path / "a.npy")
    assert layout == "embeddings-npy"
    np.testing.assert_array_equal(arrays["array"], VECTORS.astype(kind))


def test_npy_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(VECTORS))
    with open_file(tmp_path / "a.npy") as file:
        assert isinstance(file.arrays["array"].values, np.memmap)  # type: ignore[attr-defined]


@pytest.mark.parametrize("packed", [False, True])
def test_npz(tmp_path: Path, packed: bool) -> None:
    columns = {"turned": np.asfortranarray(VECTORS), "people": PEOPLE, "paths": np.array(PATHS)}
    layout, arrays = read(npz(tmp_path / "a.npz", packed, vectors=VECTORS, **columns))
    assert layout == "embeddings-npz"
    assert list(arrays) == ["vectors", "turned", "people", "paths"]
    for name, expected in {"vectors": VECTORS, **columns}.items():
        np.testing.assert_array_equal(arrays[name], expected)


def test_objects_in_numpy_files_are_refused(tmp_path: Path) -> None:
    header = npy(VECTORS).replace(b"'<f4'", b"'|O' ")
    (tmp_path / "a.npy").write_bytes(header)
    refused(tmp_path / "a.npy", "Python objects", "dtype=str")
    with open_file(archive(tmp_path / "a.npz", {"x.npy": header, "v.npy": npy(VECTORS)})) as file:
        assert list(file.arrays) == ["v"]
        assert "Python objects" in file.unread["x"]


def test_damaged_numpy_files(tmp_path: Path) -> None:
    whole_file = npy(VECTORS)
    for length in (4, 9, 40, len(whole_file) - 1):
        (tmp_path / "a.npy").write_bytes(whole_file[:length])
        refused(tmp_path / "a.npy")
    content = zipped({"v.npy": whole_file})
    for length in (4, 60, len(content) - 10):
        (tmp_path / "a.npz").write_bytes(content[:length])
        refused(tmp_path / "a.npz")
    place = content.index(VECTORS.tobytes()) + 7
    changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    (tmp_path / "a.npz").write_bytes(changed)
    refused(tmp_path / "a.npz", "CRC")
    refused(archive(tmp_path / "b.npz", {"v.npy": whole_file[:-4]}), "truncated")
    refused(archive(tmp_path / "c.npz", {"v.npy": whole_file + b"more"}), "more values")


def test_an_array_that_its_archive_cannot_hold(tmp_path: Path) -> None:
    header = npy(VECTORS).replace(b"(12, 5)", b"(9999999999, 5)")
    refused(archive(tmp_path / "a.npz", {"v.npy": header}), "'v'", "cannot hold")


# MATLAB


def test_matlab_5(tmp_path: Path) -> None:
    cells = [text(one) for one in PATHS]
    content = mat_file(
        numbers(VECTORS, "features"),
        numbers(PEOPLE.astype("<f8")[None], "pids"),
        text(["Ada", "B", "Chi"], "names"),
        cell(cells, "paths"),
    )
    (tmp_path / "a.mat").write_bytes(content)
    layout, arrays = read(tmp_path / "a.mat")
    assert layout == "embeddings-matlab"
    np.testing.assert_array_equal(arrays["features"], VECTORS)
    assert arrays["pids"].tolist() == [PEOPLE.tolist()]
    assert arrays["names"].tolist() == ["Ada", "B", "Chi"]
    assert arrays["paths"].tolist() == PATHS


def test_matlab_7_struct_order_and_small_types(tmp_path: Path) -> None:
    fields = {"feat": numbers(VECTORS), "label": numbers(PEOPLE[None])}
    held = structure(fields, "data")
    doubles = numbers(PEOPLE[:, None].astype("u1"), "pids", "f8")  # MATLAB stores them smaller
    workspace = numbers(np.zeros((1, 8), "u1"))  # what MATLAB keeps for itself
    (tmp_path / "a.mat").write_bytes(mat_file(*map(compressed, (held, doubles, workspace))))
    arrays = read(tmp_path / "a.mat")[1]
    assert list(arrays) == ["data/feat", "data/label", "pids"]
    np.testing.assert_array_equal(arrays["data/feat"], VECTORS)
    assert arrays["pids"].dtype == np.float64
    assert arrays["pids"].ravel().tolist() == PEOPLE.tolist()
    (tmp_path / "b.mat").write_bytes(mat_file(numbers(VECTORS.astype(">f4"), "v"), order=">"))
    np.testing.assert_array_equal(read(tmp_path / "b.mat")[1]["v"], VECTORS)


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_of_scipy(tmp_path: Path, packed: bool) -> None:
    values = {
        "f": VECTORS.astype("f8"), "i": PEOPLE, "flag": PEOPLE > 4, "s": np.array(["Zoë", "b"]),
        "cells": np.array(["a", "", "ccc", 4], dtype=object), "one": 3.0, "empty": np.zeros((0, 3)),
        "d": {"x": VECTORS, "deep": {"y": PEOPLE}}, "z": VECTORS * 1j, "sparse": csc_array(VECTORS),
        "nested": np.array([np.zeros((2, 2)), "a"], dtype=object),
    }  # fmt: skip
    savemat(tmp_path / "a.mat", values, do_compression=packed)
    arrays = read(tmp_path / "a.mat")[1]
    expected = loadmat(tmp_path / "a.mat")
    for name in ("f", "i", "flag", "one", "empty"):
        np.testing.assert_array_equal(arrays[name], expected[name])
    assert arrays["s"].tolist() == ["Zoë", "b"]
    assert arrays["cells"].tolist() == ["a", None, "ccc", 4]
    np.testing.assert_array_equal(arrays["d/x"], VECTORS)
    assert arrays["d/deep/y"].tolist() == [PEOPLE.tolist()]
    with open_file(tmp_path / "a.mat") as file:
        assert sorted(file.unread) == ["nested", "sparse", "z"]


def test_an_object_of_matlab_is_left_out(tmp_path: Path) -> None:
    opaque = struct.pack("<II", 6, 8) + struct.pack("<II", 17, 0)
    for part in (b"names\0\0\0", b"MCOS\0\0\0\0", b"string\0\0"):
        opaque += struct.pack("<II", 1, len(part.rstrip(b"\0"))) + part
    opaque = struct.pack("<II", 14, len(opaque)) + opaque
    (tmp_path / "a.mat").write_bytes(mat_file(opaque, numbers(VECTORS, "v")))
    with open_file(tmp_path / "a.mat") as file:
        assert (list(file.arrays), list(file.unread)) == (["v"], ["names"])


def test_every_changed_byte_of_a_matlab_file_is_read_or_refused(tmp_path: Path) -> None:
    """Some of these end scipy's reader with a segmentation fault."""
    cells = cell([text("ab")], "c")
    held = structure({"x": numbers(PEOPLE[None])}, "s")
    content = mat_file(numbers(VECTORS[:2], "v"), cells, held)
    for place in range(124, len(content)):
        for value in (0, 255, content[place] ^ 1, content[place] ^ 0x40):
            changed = content[:place] + bytes([value]) + content[place + 1 :]
            (tmp_path / "a.mat").write_bytes(changed)
            with suppress(DataError):
                read(tmp_path / "a.mat")


def test_damaged_matlab_files(tmp_path: Path) -> None:
    content = mat_file(numbers(VECTORS, "features"))
    for length in (60, 130, 150, len(content) - 30):
        (tmp_path / "a.mat").write_bytes(content[:length])
        refused(tmp_path / "a.mat")
    shape = struct.pack("<2i", N, D)
    huge = content.replace(shape, struct.pack("<2i", 2**30, 2**20))
    (tmp_path / "a.mat").write_bytes(huge)
    refused(tmp_path / "a.mat", "'features'", "cannot hold")


# HDF5


def hdf5(path: Path, fill: Callable[[Any], None], **options: Any) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", **options) as file:
        fill(file)
    return path


def test_hdf5(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("query/features", data=VECTORS, chunks=(4, D), compression="gzip")
        file["query/labels"] = PEOPLE
        file["query/paths"] = PATHS
        file["fixed"] = np.array(PATHS, "S")

    layout, arrays = read(hdf5(tmp_path / "a.h5", fill))
    assert layout == "embeddings-hdf5"
    np.testing.assert_array_equal(arrays["query/features"], VECTORS)
    assert arrays["query/labels"].tolist() == PEOPLE.tolist()
    assert arrays["query/paths"].tolist() == PATHS
    assert arrays["fixed"].tolist() == PATHS


def test_an_hdf5_file_written_byte_by_byte(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    held = {"features": VECTORS, "labels": PEOPLE.astype("<i8")}
    (tmp_path / "a.h5").write_bytes(hdf5_file(held))
    layout, arrays = read(tmp_path / "a.h5")
    assert (layout, sorted(arrays)) == ("embeddings-hdf5", ["features", "labels"])
    np.testing.assert_array_equal(arrays["features"], VECTORS)
    assert arrays["labels"].tolist() == PEOPLE.tolist()


def test_other_files_are_not_followed(tmp_path: Path) -> None:
    """Links, external and virtual data sets would read any file of this machine."""
    h5py = pytest.importorskip("h5py")
    hdf5(tmp_path / "other.h5", lambda file: file.create_dataset("secret", data=VECTORS))
    (tmp_path / "raw").write_bytes(VECTORS.tobytes())

    def fill(file: Any) -> None:
        file["v"] = VECTORS
        file["link"] = h5py.ExternalLink("other.h5", "secret")
        file["soft"] = h5py.SoftLink("/v")
        raw = [(str(tmp_path / "raw"), 0, VECTORS.nbytes)]
        file.create_dataset("raw", VECTORS.shape, "f4", external=raw)
        layout = h5py.VirtualLayout(VECTORS.shape, "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "secret", VECTORS.shape)
        file.create_virtual_dataset("virtual", layout)

    with open_file(hdf5(tmp_path / "a.h5", fill)) as file:
        assert list(file.arrays) == ["v"]
        assert sorted(file.unread) == ["link", "raw", "soft", "virtual"]


def test_sizes_that_an_hdf5_file_cannot_hold(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", lambda file: file.create_dataset("v", (10**9, 512), "f4"))
    refused(path, "'v'", "cannot hold")


def test_damaged_hdf5_files(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("v", data=np.tile(VECTORS, (50, 1)), compression="gzip")

    content = hdf5(tmp_path / "a.h5", fill).read_bytes()
    for length in (20, 600, len(content) - 100):
        (tmp_path / "b.h5").write_bytes(content[:length])
        refused(tmp_path / "b.h5")
    place = content.index(b"\x78") if b"\x78\x5e" not in content else content.index(b"\x78\x5e")
    (tmp_path / "b.h5").write_bytes(content[:place] + b"\0" * 16 + content[place + 16 :])
    refused(tmp_path / "b.h5")


def test_a_heap_of_texts_that_libhdf5_would_read_for_ever(tmp_path: Path) -> None:
    """Objects of a heap: number (2 bytes), references (2), zero (4), length (8), text."""
    path = hdf5(tmp_path / "a.h5", lambda file: file.create_dataset("paths", data=PATHS))
    content = bytearray(path.read_bytes())
    place = content.index(b"GCOL") + 16
    assert struct.unpack_from("<HHIQ", content, place) == (1, 0, 0, 8)
    assert read(path)[1]["paths"].tolist() == PATHS
    for length in (255, 2**40):
        content[place + 8 : place + 16] = struct.pack("<Q", length)
        path.write_bytes(content)
        refused(path, "heap")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    refused(tmp_path / "a.h5", "facever[hdf5]")


def matlab_73(path: Path, fill: Callable[[Any], None]) -> Path:
    """HDF5 after MATLAB's 512 bytes: text, and version and byte order at the end of 128."""
    hdf5(path, fill, userblock_size=512)
    text = b"MATLAB 7.3 MAT-file, written by hand".ljust(116) + b"\0" * 8 + b"\x00\x02IM"
    with path.open("r+b") as file:
        file.write(text)
    return path


def test_matlab_73(tmp_path: Path) -> None:
    def put(file: Any, name: str, values: np.ndarray, kind: bytes) -> Any:
        file[name] = values
        file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        return file[name]

    def text(one: str) -> np.ndarray:
        return np.array([[ord(c)] for c in one], "<u2")

    def fill(file: Any) -> None:
        h5py = pytest.importorskip("h5py")
        put(file, "features", np.ascontiguousarray(VECTORS.T), b"single")
        put(file, "people", PEOPLE[:, None].astype("f8"), b"double")
        cells = [put(file, f"#refs#/{k}", text(one), b"char").ref for k, one in enumerate(PATHS)]
        put(file, "paths", np.array([cells], h5py.ref_dtype), b"cell")
        names = ["Ada", "B  ", "Chi"]
        put(file, "names", np.array([[ord(c) for c in one] for one in names], "<u2").T, b"char")
        put(file, "object", np.zeros((1, 6), "u4"), b"string")

    layout, arrays = read(matlab_73(tmp_path / "a.mat", fill))
    assert layout == "embeddings-matlab"
    np.testing.assert_array_equal(arrays["features"], VECTORS)
    assert arrays["people"].tolist() == [PEOPLE.tolist()]
    assert arrays["paths"].tolist() == PATHS
    assert arrays["names"].tolist() == ["Ada", "B", "Chi"]
    assert "object" not in arrays


def test_matlab_73_written_byte_by_byte(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    before = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384)
    held = {"features": np.ascontiguousarray(VECTORS.T), "people": PEOPLE[:, None].astype("<i8")}
    (tmp_path / "a.mat").write_bytes(hdf5_file(held, before))
    layout, arrays = read(tmp_path / "a.mat")
    assert layout == "embeddings-matlab"
    np.testing.assert_array_equal(arrays["features"], VECTORS)
    assert arrays["people"].tolist() == [PEOPLE.tolist()]


# Parquet


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), D)],
    ids=str,
)
def test_parquet_with_lists(tmp_path: Path, kind: pa.DataType) -> None:
    values = VECTORS.astype(kind.value_type.to_pandas_dtype())
    lists = pa.array([list(row) for row in values], kind)
    table = pa.table({"embedding": lists, "identity": PEOPLE, "path": PATHS})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    layout, arrays = read(tmp_path / "a.parquet")
    assert layout == "embeddings-parquet"
    np.testing.assert_array_equal(arrays["embedding"], values)
    assert arrays["identity"].tolist() == PEOPLE.tolist()
    assert arrays["path"].tolist() == PATHS


def test_a_parquet_file_written_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_file(VECTORS, PEOPLE))
    layout, arrays = read(tmp_path / "a.parquet")
    assert (layout, sorted(arrays)) == ("embeddings-parquet", ["embedding", "identity"])
    np.testing.assert_array_equal(arrays["embedding"], VECTORS)
    assert arrays["identity"].tolist() == PEOPLE.tolist()


def test_parquet_with_missing_and_unequal_lists(tmp_path: Path) -> None:
    rows: list[Any] = [None, *VECTORS[1:].tolist()]
    parquet.write_table(
        pa.table({"e": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "a.parquet"
    )
    expected = VECTORS.copy()
    expected[0] = np.nan
    np.testing.assert_array_equal(read(tmp_path / "a.parquet")[1]["e"], expected)
    rows[4] = rows[4][:3]
    parquet.write_table(
        pa.table({"e": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "b.parquet"
    )
    refused(tmp_path / "b.parquet", "row 4", "'e'", "3 values")


def test_parquet_with_a_column_per_dimension(tmp_path: Path) -> None:
    columns = {f"f{k}": VECTORS[:, k] for k in reversed(range(D))}
    parquet.write_table(pa.table({**columns, "label": PEOPLE}), tmp_path / "a.parquet")
    arrays = read(tmp_path / "a.parquet")[1]
    assert list(arrays) == ["f", "label"]
    np.testing.assert_array_equal(arrays["f"], VECTORS)


def test_parquet_of_images_is_no_file_of_embeddings(tmp_path: Path) -> None:
    table = pa.table({"path": PATHS, "identity": PEOPLE, "score": CAMERAS.astype("f8")})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert format_of(tmp_path / "a.parquet") is None
    refused(tmp_path / "a.parquet", "not a file of embeddings", ".npz")


def test_damaged_parquet_files(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"e": pa.array(VECTORS.tolist())}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for length in (4, 50, len(content) - 4):
        (tmp_path / "b.parquet").write_bytes(content[:length])
        refused(tmp_path / "b.parquet")
    (tmp_path / "b.parquet").write_bytes(content[:30] + b"\xff" * 40 + content[70:])
    refused(tmp_path / "b.parquet")


# Pickles and torch


def items(values: np.ndarray) -> list[bytes]:
    return [b"K" + bytes([int(one)]) for one in values]


PICKLES = {
    "a dictionary": pickled_dict(
        {
            "features": pickled_array(VECTORS),
            "pids": pickled_list(items(PEOPLE)),
            "camids": pickled_array(CAMERAS.astype("<i8")),
        }
    ),
    "a tuple": b"("
    + pickled_array(VECTORS)
    + pickled_array(PEOPLE.astype("<i8"))
    + pickled_list(items(CAMERAS))
    + b"t",
    "batches": pickled_list(
        [
            pickled_dict(
                {
                    "features": pickled_array(VECTORS[part]),
                    "pids": pickled_array(PEOPLE[part].astype("<i8")),
                    "camids": pickled_array(CAMERAS[part].astype("<i8")),
                }
            )
            for part in (slice(0, 5), slice(5, 10), slice(10, 12))
        ]
    ),
    "lists of vectors and scalars": pickled_dict(
        {
            "features": pickled_list([pickled_array(row) for row in VECTORS]),
            "pids": pickled_list(items(PEOPLE)),
            "camids": pickled_list(items(CAMERAS)),
        }
    ),
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickled(PICKLES[name]))
    layout, arrays = read(tmp_path / "a.pkl")
    assert layout == "embeddings-pickle"
    assert list(arrays) == ["features", "pids", "camids"]
    np.testing.assert_array_equal(arrays["features"], VECTORS)
    assert arrays["pids"].tolist() == PEOPLE.tolist()
    assert arrays["camids"].tolist() == CAMERAS.tolist()


def test_a_pickle_by_image_and_one_of_two_tables(tmp_path: Path) -> None:
    by_image = {path: pickled_array(row) for path, row in zip(PATHS, VECTORS, strict=True)}
    (tmp_path / "a.pkl").write_bytes(pickled(pickled_dict(by_image)))
    arrays = read(tmp_path / "a.pkl")[1]
    assert arrays["path"].tolist() == PATHS
    np.testing.assert_array_equal(arrays["features"], VECTORS)
    sides = dict.fromkeys(("query", "gallery"), PICKLES["a tuple"])
    (tmp_path / "b.pkl").write_bytes(pickled(pickled_dict(sides)))
    names = ["query/features", "query/pids", "query/camids"]
    assert list(read(tmp_path / "b.pkl")[1]) == [*names, *(f"gallery{one[5:]}" for one in names)]


def test_what_a_pickle_must_not_hold(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cos\nsystem\nU\x04true\x85R.")
    refused(tmp_path / "a.pkl", "os.system", "nothing else")
    (tmp_path / "a.pkl").write_bytes(pickled(PICKLES["a tuple"])[:-50])
    refused(tmp_path / "a.pkl", "nothing else")
    (tmp_path / "a.pkl").write_bytes(pickled(pickled_dict({"model": pickled_text("r50")})))
    with open_file(tmp_path / "a.pkl") as file:
        assert (file.arrays, list(file.unread)) == ({}, ["model"])


def test_a_file_of_torch(tmp_path: Path) -> None:
    people = PEOPLE.astype("<i8")
    value = torch_dict(
        {
            "qf": torch_tensor("0", VECTORS),
            "q_pids": torch_tensor("1", people),
            "q_camids": pickled_list(items(CAMERAS)),
        }
    )
    path = torch_file(tmp_path / "a.pt", value, **{"0": VECTORS, "1": people})
    layout, arrays = read(path)
    assert layout == "embeddings-torch"
    np.testing.assert_array_equal(arrays["qf"], VECTORS)
    assert arrays["q_pids"].tolist() == PEOPLE.tolist()
    assert arrays["q_camids"].tolist() == CAMERAS.tolist()


def test_what_a_file_of_torch_must_not_hold(tmp_path: Path) -> None:
    refused(torch_file(tmp_path / "a.pt", b"cos\nsystem\nX\x04\0\0\0true\x85R"), "nothing else")
    (tmp_path / "b.pth").write_bytes(b"\x80\x02cos\nsystem\nU\x04true\x85R.")
    refused(tmp_path / "b.pth", "nothing else")


# Any file


def test_content_counts_before_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(npy(VECTORS))
    assert read(tmp_path / "a.dat")[0] == "embeddings-npy"
    assert read(npz(tmp_path / "b.npy", v=VECTORS))[0] == "embeddings-npz"
    (tmp_path / "set.bin").write_bytes(pickled(PICKLES["a tuple"]))
    assert format_of(tmp_path / "set.bin") is None  # a verification set of insightface


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "mat", "parquet", "pkl", "pt", "txt"])
def test_empty_files_and_others(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    refused(path, "no such file")
    path.write_bytes(b"")
    refused(path, "empty")
    path.write_bytes(b"these bytes are none of the formats" * 40)
    refused(path)
