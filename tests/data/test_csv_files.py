"""CSV cells are text, rows have as many fields as the header, and no cell is run."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facever.data.csv_files import cell_for_people, read_csv, write_csv
from facever.errors import DataError


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    return tmp_path / "t.csv"


def test_cells_are_text_as_written(tmp_path: Path) -> None:
    frame = read_csv(written(tmp_path, '\n\ufeffa,b\r\n01,1.0\r\n\r\n," x,""y\ny"\n'[1:]))
    assert frame["a"].tolist()[0] == "01"
    assert frame["a"].isna().tolist() == [False, True]
    assert frame["b"].tolist() == ["1.0", ' x,"y\ny']


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("score,label\n0.3,0.7,1\n0.4,0.6,0\n", 2, "3 fields; the header has 2"),
        ("score,label\n0.3,1\n\n0.4\n", 4, "1 fields"),
        ('a,b\n"x\ny",1\n1,2,\n', 4, "3 fields"),
        ("a\n1\n2,3\n", 3, "2 fields"),
        ('a,b\n1,2\n3,"open\n4,5\n', 3, "unexpected end of data"),
        ('a,b\n1,"Ada\n2,Bob\n3,"Cy\n', 2, "',' expected"),
    ],
)
def test_a_row_of_another_length_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, part: str
) -> None:
    with pytest.raises(DataError, match=f"t.csv, line {line}: .*{part}"):
        read_csv(written(tmp_path, text))


def test_a_wrong_row_far_down_is_found(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(200_000))
    with pytest.raises(DataError, match="line 200002: 3 fields"):
        read_csv(written(tmp_path, f"a,b\n{rows}1,2,3\n"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two columns called 'a'"):
        read_csv(written(tmp_path, "a,b,a\n1,2,3\n"))


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    assert list(read_csv(written(tmp_path, ",a,\n1,2,3\n"))) == ["Unnamed: 0", "a", "Unnamed: 2"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+2", "'+1+2"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("-1", "-1"),
        ("+1.5e-3", "+1.5e-3"),
        ("O'Neill", "O'Neill"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_run(cell: str, shown: str) -> None:
    assert cell_for_people(cell) == shown


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("'=+-@\t a1,\"\n.e"), min_size=1), min_size=1, max_size=6))
def test_every_text_comes_back_and_none_is_run(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    frame = pd.DataFrame({"=name": cells, "n": range(len(cells))})
    write_csv(frame, path)
    again = read_csv(path)
    assert again["=name"].tolist() == cells
    assert again["n"].tolist() == [str(n) for n in range(len(cells))]
    with path.open(newline="") as file:
        for row in csv.reader(file):
            assert row[0][0] not in "=@\t"
            assert row[0][0] not in "+-" or float(row[0]) is not None
