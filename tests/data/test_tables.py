"""Tables that cannot be read are one clear line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from facever.data.tables import read_table, shortened, to_numbers, write_table
from facever.errors import DataError


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty: a table must begin with the names of its columns"),
        ("t.csv", b"path,identity\na,b\nc,d,e,f\n", "line 3: 4 fields; the header has 2"),
        ("t.csv", b"path,identity\n\xff\xfe,a\n", "cannot be read as a table: 'utf-8' codec"),
        ("t.parquet", b"PAR1 no", "cannot be read as a table: "),
        ("t.txt", b"path,identity\n", r"is not a \.csv or \.parquet file"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_no_such_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no table at .*/t\.csv$"):
        read_table(tmp_path / "t.csv")


def test_empty_cells_are_missing_and_words_are_not(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("path,identity,score\nNA,null,1.5\nnan,,\n")
    frame = read_table(file)
    assert frame["path"].tolist() == ["NA", "nan"]
    assert frame["identity"].isna().tolist() == [False, True]
    assert frame["score"].isna().tolist() == [False, True]


@pytest.mark.parametrize("column", ["path", "identity", "template", "subset", "a", "identity_b"])
def test_names_keep_their_zeros(tmp_path: Path, column: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"{column},camera\n0002,01\n0003,02\n")
    frame = read_table(file)
    assert frame[column].tolist() == ["0002", "0003"]
    assert frame["camera"].tolist() == ["01", "02"]


def test_long_lists_are_cut() -> None:
    assert shortened(range(3)) == "0, 1, 2"
    assert shortened(range(20), most=2) == "0, 1, ... (20 in all)"


def test_a_type_never_depends_on_the_file(tmp_path: Path) -> None:
    """Cameras 01..04 in one file, and beside an entrance in another: the same text."""
    cameras = ["01", "02", "03", "04"]
    (tmp_path / "a.csv").write_text("camera\n" + "\n".join(cameras) + "\n")
    (tmp_path / "b.csv").write_text("camera\n" + "\n".join([*cameras, "entrance"]) + "\n")
    assert read_table(tmp_path / "a.csv")["camera"].tolist() == cameras
    assert read_table(str(tmp_path / "b.csv"))["camera"].tolist() == [*cameras, "entrance"]


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, 2, None], dtype="Int64"),
        np.array([1.0, 2.0, np.nan]),
        pd.array([1, 2, None], dtype="Int8"),
        np.array(["1", "2", None], dtype=object),
        pd.Categorical(["1", "2", None]),
    ],
)
def test_typed_files_give_plain_text(tmp_path: Path, values: object) -> None:
    pd.DataFrame({"camera": values}).to_parquet(tmp_path / "t.parquet")
    camera = read_table(tmp_path / "t.parquet")["camera"]
    assert camera.tolist()[:2] == ["1", "2"]
    assert camera.isna().tolist() == [False, False, True]


def test_large_whole_numbers_beside_empty_cells_stay_exact(tmp_path: Path) -> None:
    pd.DataFrame({"n": pd.array([2**53 + 1, None], dtype="Int64")}).to_parquet(
        tmp_path / "t.parquet"
    )
    assert read_table(tmp_path / "t.parquet")["n"].tolist()[0] == "9007199254740993"


def test_declared_columns_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("quality,width,blur,age\n0.5,10,-1e3,07\n,20,nan,08\n")
    frame = read_table(tmp_path / "t.csv", numbers=["blur"])
    assert frame["quality"].tolist()[0] == 0.5
    assert frame["quality"].isna().tolist() == [False, True]
    assert frame["width"].tolist() == [10, 20]
    assert frame["width"].dtype == np.int64
    assert frame["blur"].tolist()[0] == -1000
    assert frame["age"].tolist() == ["07", "08"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_of_numbers_holds_nothing_else(tmp_path: Path, suffix: str) -> None:
    write_table(pd.DataFrame({"width": ["1", "wide", "x"]}), tmp_path / f"t{suffix}")
    with pytest.raises(DataError, match=r"column 'width' must hold numbers; row 2 holds 'wide'"):
        read_table(tmp_path / f"t{suffix}")
    with pytest.raises(DataError, match=r"here: column 'x' must hold numbers; row 1 holds 'a'"):
        to_numbers(pd.Series(["a"], name="x"), "here")


@pytest.mark.parametrize("name", ["t.CSV", "t.Csv", "t.Parquet", "t.PARQUET"])
def test_the_letters_of_a_suffix_do_not_matter(tmp_path: Path, name: str) -> None:
    write_table(pd.DataFrame({"path": ["a"], "identity": ["01"]}), str(tmp_path / name))
    assert read_table(tmp_path / name)["identity"].tolist() == ["01"]


def test_parquet_with_bytes(tmp_path: Path) -> None:
    pd.DataFrame({"path": [b"caf\xc3\xa9.png"], "identity": [b"a"]}).to_parquet(
        tmp_path / "t.parquet"
    )
    assert read_table(tmp_path / "t.parquet")["path"].tolist() == ["caf\u00e9.png"]
    pd.DataFrame({"path": [b"\xff\xfe"], "identity": ["a"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet: column 'path' is not UTF-8 text"):
        read_table(tmp_path / "t.parquet")


def test_parquet_with_lists_and_two_columns_of_one_name(tmp_path: Path) -> None:
    pd.DataFrame({"box": [[1, 2], None]}).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["box"].tolist()[0] == "[1, 2]"
    twice = pa.table([["a"], ["b"]], names=["path", "path"])
    parquet.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="two columns called 'path'"):
        read_table(tmp_path / "t.parquet")


def test_what_pandas_noted_in_a_parquet_file_is_not_trusted(tmp_path: Path) -> None:
    deep = pa.table({"path": ["a"]}, metadata={"pandas": "[" * 100_000})
    parquet.write_table(deep, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["path"].tolist() == ["a"]
    pd.DataFrame({"path": ["a"]}, index=[7]).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet")) == ["path"]
