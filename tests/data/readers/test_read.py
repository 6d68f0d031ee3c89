"""Layouts are recognised, or named."""

import struct
from pathlib import Path

import pytest

from facever.cli.options import LAYOUTS as NAMED
from facever.data.readers import LAYOUTS, read
from facever.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_each_layout_is_recognised(tmp_path: Path) -> None:
    assert read(touch(tmp_path / "people", "a/1.jpg", "b/1.jpg")).dataset == "people"
    lfw = touch(tmp_path / "faces", "images/A/A_0001.jpg", "protocol/pairs.txt")
    assert read(lfw).dataset == "lfw"
    market = touch(tmp_path / "m", "bounding_box_train/0002_c1s1_000451_03.jpg")
    assert read(market).dataset == "market1501"
    digits = touch(tmp_path / "d")
    digits.mkdir()
    (digits / "x-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + struct.pack(">3I", 1, 1, 1) + b"5"
    )
    (digits / "x-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 1) + b"\x03")
    assert read(digits).frame["identity"].tolist() == ["3"]


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("calfw", ["pairs_CALFW.txt", "aligned images/Ann_0001.jpg"]),
        ("cplfw", ["pairs_CPLFW.txt", "images/Ann_1.jpg"]),
        ("agedb", ["0_MariaCallas_35_f.jpg"]),
        ("dukemtmc", ["bounding_box_train/0001_c2_f0046182.jpg"]),
        ("cuhk03", ["bounding_box_train/0001_c1_2.png"]),
        ("market1501", ["bounding_box_train/0002_c1s1_000451_03.jpg"]),
        ("veri776", ["image_train/0001_c001_00016450_0.jpg", "name_query.txt"]),
        ("folder", ["train/0001/1.jpg", "test/0002/1.jpg"]),
        ("folder", ["Ann/Ann_0001.jpg", "Bo/Bo_0001.jpg", "pairs.txt"]),  # XQLFW
        ("folder", ["0001_c2_f0046182.jpg"]),
        ("folder", ["train/a/1.jpg", "query/a/2.jpg", "gallery/a/3.jpg"]),
    ],
)
def test_data_sets_are_told_apart(tmp_path: Path, layout: str, names: list[str]) -> None:
    assert read(touch(tmp_path / "set", *names)).layout == layout


def test_help_names_every_layout() -> None:
    assert tuple(LAYOUTS) == NAMED


def test_tables_and_folders_that_hold_a_manifest(tmp_path: Path) -> None:
    table = touch(tmp_path, "set/a/1.jpg") / "set" / "manifest.csv"
    table.write_text("path,identity\na/1.jpg,someone\n")
    for root in (table, table.parent):
        manifest = read(root)
        assert manifest.frame["identity"].tolist() == ["someone"]
        assert manifest.locate(0) == str(table.parent / "a/1.jpg")
    manifest.save(tmp_path / "set.parquet")
    assert len(read(tmp_path / "set.parquet")) == 1
    assert read(table.parent, "folder").frame["identity"].tolist() == ["a"]


def test_bad_roots_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no such path: .*/gone$"):
        read(tmp_path / "gone")
    with pytest.raises(DataError, match=r"^unknown layout 'lwf'; did you mean 'lfw'\?"):
        read(tmp_path, "lwf")
    image = touch(tmp_path, "face.jpg") / "face.jpg"
    with pytest.raises(DataError, match=r"not a folder of images, a \.csv or \.parquet"):
        read(image)
    with pytest.raises(DataError, match=r"not a \.csv or \.parquet table .* no manifest"):
        read(tmp_path, "table")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_folder_is_an_error_in_every_layout(tmp_path: Path, layout: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, layout)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
