"""Pair lists: tables and LFW's text, and where their images stand."""

from pathlib import Path

import pandas as pd
import pytest

from facever.data.pairs import PairList, read_pairs
from facever.data.readers import lfw
from facever.errors import DataError


def pairs(**columns: list[object]) -> PairList:
    return PairList(pd.DataFrame(columns))


def test_view_1(tmp_path: Path) -> None:
    file = tmp_path / "pairsDevTest.txt"
    file.write_text("2\nAnn_Lee\t1\t4\nBo\t2\t10\nAnn_Lee\t1\tBo\t3\nCy\t12\tBo\t1\n\n")
    read = read_pairs(file)
    assert read.frame.to_dict("list") == {
        "a": [
            "images/Ann_Lee/Ann_Lee_0001.jpg",
            "images/Bo/Bo_0002.jpg",
            "images/Ann_Lee/Ann_Lee_0001.jpg",
            "images/Cy/Cy_0012.jpg",
        ],
        "b": [
            "images/Ann_Lee/Ann_Lee_0004.jpg",
            "images/Bo/Bo_0010.jpg",
            "images/Bo/Bo_0003.jpg",
            "images/Bo/Bo_0001.jpg",
        ],
        "same": [True, True, False, False],
        "identity_a": ["Ann_Lee", "Bo", "Ann_Lee", "Cy"],
        "identity_b": ["Ann_Lee", "Bo", "Bo", "Bo"],
    }
    assert read.same.dtype == bool


def test_view_2_has_folds(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    fold = "A\t1\t2\nA\t1\tB\t1\n"
    file.write_text("3\t1\n" + 3 * fold)
    frame = read_pairs(file).frame
    assert frame["fold"].tolist() == [0, 0, 1, 1, 2, 2]
    assert frame["same"].tolist() == [True, False] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a .csv or .parquet table nor"),
        ("hello\n", "neither a .csv or .parquet table nor"),
        ("\u00b2\n", "neither a .csv or .parquet table nor"),
        ("2\nA\t1\t2\nA\t1\tB\t1\n", "declares 4 pairs but contains 2"),
        ("1\nA\t1\tB\t1\nA\t1\t2\n", "expected '<Name> <number> <number>', found 'A 1 B 1'"),
        ("1\nA\t1\t2\nA\t1\tB\tx\n", "expected '<Name> <number> <Name> <number>', found"),
    ],
)
def test_a_broken_list_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(file)
    assert str(caught.value).startswith(str(file))


def test_no_such_list(tmp_path: Path) -> None:
    for name in ("pairs.txt", "pairs.csv"):
        with pytest.raises(DataError, match=rf"^no .* at .*{name}$"):
            read_pairs(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_read_as_they_were_saved(tmp_path: Path, suffix: str) -> None:
    made = pairs(a=["0.png", "1.png"], b=["NA", "2.png"], same=[1, 0], fold=[0, 1])
    made.save(tmp_path / f"pairs{suffix}")
    again = read_pairs(tmp_path / f"pairs{suffix}")
    pd.testing.assert_frame_equal(again.frame, made.frame, check_dtype=False)
    assert again.same.tolist() == [True, False]
    assert len(again) == 2


@pytest.mark.parametrize("words", [["True", "False"], ["1", "0"], [True, False], ["true", "FALSE"]])
def test_ways_to_say_same(words: list[object]) -> None:
    assert pairs(a=["p", "q"], b=["r", "s"], same=words).same.tolist() == [True, False]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": ["p"], "b": ["q"]}, r"pairs: no column 'same' \(found: a, b\)"),
        ({"a": [], "b": [], "same": []}, "pairs: no rows"),
        ({"a": ["p"], "b": [None], "same": [1]}, "pairs: no b in 1 of 1 rows, first in row 1"),
        ({"a": ["p"], "b": ["q"], "same": ["maybe"]}, "pairs: 'same' is 'maybe' .allowed: 1, 0"),
        (
            {"a": ["p"], "b": ["q"], "same": [1], "identity_a": [""], "identity_b": ["x"]},
            "pairs: no identity_a in 1 of 1 rows, first in row 1",
        ),
        ({"a": ["p"], "b": ["q"], "same": [1], "fold": [-1]}, "'fold' must hold whole numbers"),
        ({"a": ["p"], "b": ["q"], "same": [1], "fold": [0.5]}, "'fold' must hold whole numbers"),
    ],
)
def test_a_broken_table_is_one_line(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pairs(**columns)


def test_the_real_lists(real_data: Path) -> None:
    whom = lfw.read(real_data / "lfw").frame.set_index("path")["identity"]
    for name, count in (("pairs", 6000), ("pairsDevTrain", 2200), ("pairsDevTest", 1000)):
        read = read_pairs(real_data / "lfw" / "protocol" / f"{name}.txt")
        assert (len(read), int(read.same.sum())) == (count, count // 2)
        a, b = (whom.loc[read.frame[side]].to_numpy() for side in ("a", "b"))
        assert ((a == b) == read.same).all()
        if name == "pairs":
            assert (read.frame.groupby("fold")["same"].agg(["sum", "size"]) == [300, 600]).all(None)


def test_a_folder_of_folds_is_cfps(tmp_path: Path) -> None:
    fold = tmp_path / "Protocol" / "Split" / "FF" / "01"
    fold.mkdir(parents=True)
    (tmp_path / "Protocol" / "Pair_list_F.txt").write_text(
        "1 ../Data/Images/001/frontal/01.jpg\n2 ../Data/Images/001/frontal/02.jpg\n"
    )
    (fold / "same.txt").write_text("1,2\n2,1\n")
    (fold / "diff.txt").write_text("")
    read = read_pairs(fold.parent)
    assert (len(read), read.repeats, read.same.tolist()) == (2, True, [True, True])
    assert read.frame["a"].tolist()[0] == "Data/Images/001/frontal/01.jpg"


def test_tabs_separate_where_there_are_tabs(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("1\nAda Lovelace\t1\t4\nAda Lovelace\t1\tJos\u00e9 Mart\u00ed\t2\n")
    frame = read_pairs(str(file)).frame
    assert frame["a"].tolist() == ["images/Ada Lovelace/Ada Lovelace_0001.jpg"] * 2
    assert frame["identity_b"].tolist() == ["Ada Lovelace", "Jos\u00e9 Mart\u00ed"]
    assert frame["b"].tolist()[1] == "images/Jos\u00e9 Mart\u00ed/Jos\u00e9 Mart\u00ed_0002.jpg"


def test_a_row_with_a_field_too_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.CSV").write_text("a,b,same\nx,y,1,0\nz,w,0,1\n")
    with pytest.raises(DataError, match=r"p\.CSV, line 2: 4 fields; the header has 3"):
        read_pairs(tmp_path / "p.CSV")


def test_people_of_pairs_are_canonical_and_paths_are_not() -> None:
    name = "Jose\u0301"
    frame = pd.DataFrame({"a": [name], "b": ["y"], "same": ["1"], "identity_a": [f" {name}"]})
    made = PairList(frame).frame
    assert made["identity_a"].tolist() == ["Jos\u00e9"]
    assert made["a"].tolist() == [name]
