"""MSMT17: both versions, their lists, and lists that do not fit."""

from pathlib import Path

import pytest

from facever.data.readers import msmt17, read
from facever.errors import DataError
from tests.data.readers.trees import tree

TRAIN = "0000/0000_000_01_0303morning_0008_0.jpg", "0001/0001_004_14_0113noon_0245_1_ex.jpg"
VAL = ("0000/0000_001_05_0114afternoon_0033_2.jpg",)
QUERY = ("0000/0000_000_03_0302noon_0001_0.jpg",)
GALLERY = "0000/0000_001_15_0302noon_0002_0.jpg", "0003/0003_000_03_0302noon_0007_0.jpg"
LISTS = {
    "list_train.txt": f"{TRAIN[0]} 0\n{TRAIN[1]} 1\n",
    "list_val.txt": f"{VAL[0]} 0\n",
    "list_query.txt": f"{QUERY[0]} 0\n",
    "list_gallery.txt": f"{GALLERY[0]} 0\n{GALLERY[1]} 3\n",
}


def make(root: Path, train: str = "train", test: str = "test", **lists: str) -> Path:
    tree(root, *(f"{train}/{name}" for name in TRAIN + VAL))
    tree(root, *(f"{test}/{name}" for name in QUERY + GALLERY))
    for name, text in (LISTS | lists).items():
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_both_versions(tmp_path: Path, folders: tuple[str, str]) -> None:
    manifest = read(make(tmp_path, *folders))
    assert (manifest.layout, manifest.dataset) == ("msmt17", "msmt17")
    train, test = folders
    assert manifest.frame.to_dict("list") == {
        "path": [
            *(f"{train}/{name}" for name in TRAIN + VAL),
            *(f"{test}/{name}" for name in QUERY + GALLERY),
        ],
        "identity": [
            *("train_0000", "train_0001", "train_0000"),
            *("test_0000", "test_0000", "test_0003"),
        ],
        "subset": ["train", "train", "val", "query", "gallery", "gallery"],
        "camera": ["1", "14", "5", "3", "15", "3"],
        "session": ["0303morning", "0113noon", "0114afternoon", "0302noon", "0302noon", "0302noon"],
        "frame": ["8", "245", "33", "1", "2", "7"],
    }


def test_a_version_in_a_folder(tmp_path: Path) -> None:
    make(tmp_path / "MSMT17_V1")
    manifest = read(tmp_path)
    assert (manifest.layout, manifest.root) == ("msmt17", tmp_path / "MSMT17_V1")
    make(tmp_path / "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    with pytest.raises(DataError, match=r"two versions: give .*/MSMT17_V1 or .*/MSMT17_V2"):
        read(tmp_path)


def test_images_in_no_list_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(make(tmp_path), "train/0009/0009_000_01_0303morning_0001_0.jpg")
    assert len(read(tmp_path)) == 6
    [line] = capsys.readouterr().err.splitlines()
    assert "1 images" in line
    assert "train/0009/0009_000_01_0303morning_0001_0.jpg" in line


def test_parts_of_the_data_set(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("list_train.txt", "list_val.txt"):
        (tmp_path / name).unlink()
    assert read(tmp_path).frame["subset"].unique().tolist() == ["query", "gallery"]


def test_lists_have_the_word_on_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, **{"list_val.txt": f"{VAL[0]} 1\n"})
    frame = read(tmp_path).where(subset="val").frame
    assert frame["identity"].tolist() == ["train_0001"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert VAL[0] in line


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("list_train.txt", f"{TRAIN[0]}\n", r"list_train.txt: expected '<image> <person>', found"),
        ("list_train.txt", f"{TRAIN[0]} {'1' * 5000}\n", r"list_train.txt: expected '<image> <per"),
        ("list_train.txt", f"{TRAIN[0]} x\n", r"list_train.txt: expected '<image> <person>'"),
        ("list_val.txt", "0000/none.jpg 0\n", r"name 1 image.* missing, first train/0000/none.jpg"),
        ("list_val.txt", LISTS["list_train.txt"], r"name train/0000/0000_000.* twice"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, name: str, text: str, reason: str) -> None:
    make(tmp_path, **{name: text})
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_other_names_and_other_folders(tmp_path: Path) -> None:
    root = tree(tmp_path / "other", "train/0/x.jpg")
    (root / "list_train.txt").write_text("0/x.jpg 0\n")
    with pytest.raises(DataError, match=r"x.jpg is not named like 0000_000_01_0303morning"):
        read(root, "msmt17")
    assert not msmt17.detect(tree(tmp_path / "people", "train/a/1.jpg", "test/b/1.jpg"))
    for text in LISTS:
        (root / text).write_text("\n")
    with pytest.raises(DataError, match="are empty"):
        read(root, "msmt17")
