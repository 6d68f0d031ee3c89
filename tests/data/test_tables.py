"""Tables that cannot be read are one clear line."""

from pathlib import Path

import pytest

from facever.data.tables import read_table, shortened
from facever.errors import DataError


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty; a table begins with the names of its columns"),
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
