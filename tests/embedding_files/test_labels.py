"""Labels of their own: lines, arrays and tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.embedding_files.labels import read_labels
from facever.errors import DataError
from tests.embedding_files.written import npy, npz


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffJosé\r\nAda Lovelace \r\n\r\n7".encode())
    found = read_labels(path)["identity"]
    assert found.isna().tolist() == [False, False, True, False]
    assert found.dropna().tolist() == ["José", "Ada Lovelace", "7"]
    path.write_bytes(b"a\nb\n")
    assert read_labels(path)["identity"].tolist() == ["a", "b"]


@pytest.mark.parametrize("values", [[3, 3, 5], [3.0, 3.0, 5.0], ["3", "3", "5"], [[3], [3], [5]]])
def test_an_array_is_the_text_of_its_values(tmp_path: Path, values: list[object]) -> None:
    (tmp_path / "a.npy").write_bytes(npy(np.array(values)))
    assert read_labels(tmp_path / "a.npy")["identity"].tolist() == ["3", "3", "5"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_have_other_columns(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"pid": [1, 2], "camids": [3, 4], "Filename": ["a", "b"], "age": [30, 40]})
    path = tmp_path / f"a.{suffix}"
    getattr(table, f"to_{suffix}")(path, index=False)
    found = read_labels(path)
    assert {name: found[name].tolist() for name in found} == {
        "identity": ["1", "2"], "camera": ["3", "4"], "path": ["a", "b"], "age": ["30", "40"]
    }  # fmt: skip
    assert read_labels(path, "age")["identity"].tolist() == ["30", "40"]


def test_a_single_column_is_the_identities(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who\nAda\nBo\n")
    assert read_labels(tmp_path / "a.csv")["identity"].tolist() == ["Ada", "Bo"]


def test_arrays_of_an_archive(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", labels=np.array([1, 2]), cams=np.array([3, 3]))
    found = read_labels(path)
    assert (found["identity"].tolist(), found["camera"].tolist()) == (["1", "2"], ["3", "3"])


def test_what_is_refused(tmp_path: Path) -> None:
    def refused(name: str, *parts: str, identities: str | None = None) -> None:
        with pytest.raises(DataError) as error:
            read_labels(tmp_path / name, identities)
        assert all(part in str(error.value) for part in (name, *parts)), error.value

    refused("none.txt")
    refused("none.csv")
    refused("none.npy")
    (tmp_path / "a.txt").write_bytes(b"")
    refused("a.txt", "empty")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    refused("a.txt", "UTF-8")
    (tmp_path / "a.csv").write_text("x,z\n1,2\n")
    refused("a.csv", "x, z", "--identities")
    refused("a.csv", "'w'", "x, z", identities="w")
    (tmp_path / "a.csv").write_text("pid,person\n1,2\n")
    refused("a.csv", "pid, person", "--identities")
    (tmp_path / "a.npy").write_bytes(npy(np.zeros((2, 3))))
    refused("a.npy", "array float64 [2, 3]")
    npz(tmp_path / "a.npz", labels=np.array([1, 2]), cams=np.array([3]))
    refused("a.npz", "one length")
