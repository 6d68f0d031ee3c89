"""The manifest's contract, its narrowing and its files."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.errors import DataError


def manifest(root: Path, **columns: list[object]) -> Manifest:
    return Manifest(pd.DataFrame(columns), root, "toy")


@pytest.fixture
def toy(tmp_path: Path) -> Manifest:
    return manifest(
        tmp_path,
        path=["x/1.png", "b/1.png", "x/2.png", "a/1.png", "x/3.png"],
        identity=["x", "b", "x", "a", "x"],
        camera=[1, 2, 2, 1, 1],
    )


def test_identities_are_sorted_and_labels_point_into_them(toy: Manifest) -> None:
    assert toy.identities == ["a", "b", "x"]
    labels = toy.labels()
    assert labels.dtype == np.int64
    assert [toy.identities[label] for label in labels] == toy.frame["identity"].tolist()
    assert len(toy) == 5
    assert repr(toy) == "Manifest('toy', 5 images, 3 identities)"


def test_labels_of_numbers_as_text_keep_the_order_of_text(tmp_path: Path) -> None:
    numbers = manifest(tmp_path, path=["p", "q", "r"], identity=["10", "9", "2"])
    assert numbers.identities == ["10", "2", "9"]
    assert numbers.labels().tolist() == [0, 2, 1]


def test_the_frame_is_a_copy_with_a_fresh_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["p", "q"], "identity": [2, 10]}, index=[7, 7])
    made = Manifest.from_frame(frame, tmp_path, "toy")
    assert made.frame.index.tolist() == [0, 1]
    assert made.frame["identity"].tolist() == ["2", "10"]
    assert frame["identity"].tolist() == [2, 10]


def test_where_takes_values_and_lists(toy: Manifest) -> None:
    assert toy.where(identity="x").frame["path"].tolist() == ["x/1.png", "x/2.png", "x/3.png"]
    assert toy.where(identity=["a", "b"], camera=1).frame["path"].tolist() == ["a/1.png"]
    assert toy.where(camera=2).frame.index.tolist() == [0, 1]


def test_where_names_what_there_is(toy: Manifest) -> None:
    with pytest.raises(DataError, match=r"^toy: unknown column 'camra'; did you mean 'camera'\?"):
        toy.where(camra=1)
    with pytest.raises(DataError, match=r"^toy: no image has camera 3 \(there are: 1, 2\)$"):
        toy.where(camera=3)


def test_at_most_keeps_the_first_of_each_in_order(toy: Manifest) -> None:
    few = toy.at_most(2)
    assert few.frame["path"].tolist() == ["x/1.png", "b/1.png", "x/2.png", "a/1.png"]
    with pytest.raises(DataError, match="leaves none"):
        toy.at_most(0)


def test_select_takes_positions_and_masks(toy: Manifest) -> None:
    by_position = toy.select(np.array([3, 0]))
    assert by_position.frame["path"].tolist() == ["a/1.png", "x/1.png"]
    mask = np.array([True, False, False, True, False])
    assert toy.select(mask).frame["path"].tolist() == ["x/1.png", "a/1.png"]


def test_locate_joins_relative_and_keeps_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    made = manifest(Path("data"), path=["a/1.png", "/b/2.png", "c.npy#7"], identity=["a", "b", "c"])
    assert made.locate(0) == f"{tmp_path}/data/a/1.png"
    assert made.locate(1) == "/b/2.png"
    assert made.locate(2) == f"{tmp_path}/data/c.npy#7"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"identity": ["a"]}, r"no column 'path' \(found: identity\)"),
        ({"path": [], "identity": []}, "no rows"),
        ({"path": [None], "identity": ["a"]}, r"no path in 1 of 1 rows, first in row 1"),
    ],
)
def test_a_broken_contract_is_one_line(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        manifest(tmp_path, **columns)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("manifest 'toy': ")


def test_the_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^toy: no folder .*/nowhere$"):
        manifest(tmp_path / "nowhere", path=["p"], identity=["a"])


def test_single_identity_is_a_manifest_but_can_be_refused(toy: Manifest) -> None:
    single = toy.where(identity="x")
    with pytest.raises(DataError, match=r"toy has 1 identity \(x\); at least 2 are needed"):
        single.require_identities(2)
    assert toy.require_identities(3) is toy


def test_check_files_names_the_first_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "there.npy").touch()
    (tmp_path / "odd#name.png").touch()
    there = manifest(tmp_path, path=["there.npy#0", "odd#name.png"], identity=["a", "b"])
    assert there.check_files() is there
    partly = manifest(tmp_path, path=["there.npy#0", "gone.npy#1", "gone.npy#2"], identity=[*"abc"])
    with pytest.raises(DataError, match=r"toy: 1 image file is missing: .*/gone\.npy$"):
        partly.check_files()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_saved_in_its_root_it_reads_the_same(tmp_path: Path, suffix: str) -> None:
    made = manifest(
        tmp_path,
        path=["0/1.png", "NA/ä,1.png"],
        identity=["0002", "NA"],
        template=["007", "null"],
        camera=["01", 2],
        quality=[0.5, None],
        remark=["=cmd|' /C calc'!A0", "'=1"],
    )
    file = tmp_path / f"table{suffix}"
    made.save(file)
    again = Manifest.from_csv(file) if suffix == ".csv" else Manifest.from_parquet(file)
    pd.testing.assert_frame_equal(again.frame, made.frame)
    assert again.frame["identity"].tolist() == ["0002", "NA"]
    assert again.frame["camera"].tolist() == ["01", "2"]
    assert again.frame["remark"].tolist() == ["=cmd|' /C calc'!A0", "'=1"]
    assert (again.root, again.dataset) == (made.root, "toy")
    assert os.listdir(tmp_path) == [file.name]  # noqa: PTH208


def test_saved_elsewhere_it_still_finds_its_images(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    made = manifest(tmp_path / "data", path=["a/1.png", "/b/1.png"], identity=["a", "b"])
    made.save(tmp_path / "out" / "toy.csv")
    again = Manifest.from_csv(tmp_path / "out" / "toy.csv")
    assert [again.locate(i) for i in range(2)] == [made.locate(i) for i in range(2)]


def test_a_column_of_several_datasets_stays(tmp_path: Path) -> None:
    made = manifest(tmp_path, path=["p", "q"], identity=["a", "b"], dataset=["lfw", "orl"])
    made.save(tmp_path / "both.csv")
    again = Manifest.from_csv(tmp_path / "both.csv")
    assert again.dataset == "both"
    assert again.frame["dataset"].tolist() == ["lfw", "orl"]


def test_a_root_can_be_given_to_a_table(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "t.csv").write_text("\ufeffpath,identity\na.png,a\n", encoding="utf-8")
    made = Manifest.from_csv(tmp_path / "t.csv", tmp_path / "images")
    assert made.locate(0) == str(tmp_path / "images" / "a.png")


def test_only_a_csv_or_parquet_is_written(toy: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"out\.txt is not a \.csv or \.parquet file"):
        toy.save(tmp_path / "out.txt")


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_a_folder_whose_name_is_not_in_utf8_is_one_line(tmp_path: Path) -> None:
    root = tmp_path / "caf\udce9"
    root.mkdir()
    with pytest.raises(DataError) as error:
        manifest(root, path=["p"], identity=["a"])
    shown = str(root).replace("\udce9", r"\udce9")
    assert str(error.value) == (
        f"the folder of a data set: '{shown}' is not in UTF-8: rename it, or convert it to UTF-8"
    )


@pytest.mark.parametrize("wanted", [1, 1.0, "1", np.int8(1), [1], {"1"}])
def test_where_compares_as_text(toy: Manifest, wanted: object) -> None:
    assert len(toy.where(camera=wanted)) == 3
    assert toy.frame["camera"].tolist() == ["1", "2", "2", "1", "1"]


def test_where_finds_missing_cells_and_numbers(tmp_path: Path) -> None:
    made = manifest(
        tmp_path, path=["p", "q"], identity=["a", "b"], camera=["1", None], width=[5, 6]
    )
    assert made.where(camera=None).frame["path"].tolist() == ["q"]
    assert made.where(width=5.0).frame["path"].tolist() == ["p"]
    assert made.frame["width"].tolist() == [5, 6]


def test_a_caller_names_columns_of_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["p", "q"], "identity": ["a", "b"], "age": ["07", "8.5"]})
    assert Manifest(frame, tmp_path, "t").frame["age"].tolist() == ["07", "8.5"]
    aged = Manifest(frame, tmp_path, "t", numbers=["age"])
    assert aged.frame["age"].tolist() == [7, 8.5]
    assert aged.where(age=7).assign(camera=3).frame["age"].tolist() == [7]


def test_names_of_people_are_canonical_and_paths_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    made = manifest(
        tmp_path,
        path=[f"{composed}/1.png", f"{decomposed}/1.png", " p0/1.png", "p0/1.png"],
        identity=[composed, decomposed, " p0", "p0"],
    )
    assert made.identities == [composed, "p0"]
    assert made.frame["path"].tolist()[1:3] == [f"{decomposed}/1.png", " p0/1.png"]
    assert len(made.where(identity=f"{decomposed} ")) == 2
    assert "2 names differ" in capsys.readouterr().err
    written = made.select(np.array([1, 2, 3])).as_written()
    assert written.identities == [" p0", decomposed, "p0"]
    assert len(written.where(identity="p0")) == 1
    assert written.at_most(1).identities == written.identities


def test_paths_may_be_texts(toy: Manifest, tmp_path: Path) -> None:
    toy.save(f"{tmp_path}/t.csv")
    assert Manifest.from_csv(f"{tmp_path}/t.csv", str(tmp_path)).root == tmp_path
    assert Manifest.from_frame(toy.frame, str(tmp_path), "t").root == tmp_path
