"""Market-1501's file names, the official folders and an own split."""

from pathlib import Path

import pytest

from facever.data.readers import market1501
from facever.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_official_layout_without_junk_and_with_distractors(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "query/0001_c6s4_123456_00.jpg",
        "bounding_box_test/0001_c3s2_000001_12.jpg",
        "bounding_box_test/0000_c3s2_000002_01.jpg",
        "bounding_box_test/-1_c3s2_000003_01.jpg",
        "bounding_box_test/Thumbs.db",
    )
    assert market1501.detect(tmp_path)
    manifest = market1501.read(tmp_path)
    assert manifest.dataset == "market1501"
    assert manifest.frame.to_dict("list") == {
        "path": [
            "bounding_box_train/0002_c1s1_000451_03.jpg",
            "query/0001_c6s4_123456_00.jpg",
            "bounding_box_test/0000_c3s2_000002_01.jpg",
            "bounding_box_test/0001_c3s2_000001_12.jpg",
        ],
        "identity": ["0002", "0001", "0000", "0001"],
        "camera": ["1", "6", "3", "3"],
        "sequence": ["1", "4", "2", "2"],
        "frame": ["451", "123456", "2", "1"],
        "box": ["3", "0", "1", "12"],
        "subset": ["train", "query", "gallery", "gallery"],
    }


def write_split(root: Path, identity: str = "0002") -> None:
    touch(root, "train/0002_c1s1_000451_03.jpg")
    (root / "split.csv").write_text(
        f"path,identity,camera,subset\ntrain/0002_c1s1_000451_03.jpg,{identity},1,query\n"
    )


def test_a_split_has_the_word(tmp_path: Path) -> None:
    write_split(tmp_path)
    assert market1501.detect(tmp_path)
    row = market1501.read(tmp_path).frame.iloc[0]
    assert row[["identity", "camera", "subset", "box"]].tolist() == ["0002", "1", "query", "3"]


def test_a_split_that_contradicts_a_file_name(tmp_path: Path) -> None:
    write_split(tmp_path, identity="0003")
    with pytest.raises(DataError, match=r"split.csv says identity 0003 of train/0002_c1s1_000451"):
        market1501.read(tmp_path)


def test_other_folders_are_not_market(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "split.csv")
    assert not market1501.detect(tmp_path)
    with pytest.raises(DataError, match=r"no images in .* \(looked for bounding_box_train, query"):
        market1501.read(tmp_path / "train")
    touch(tmp_path, "x/query/face.jpg")
    with pytest.raises(DataError, match=r"face.jpg is not named like 0002_c1s1_000451_03.jpg"):
        market1501.read(tmp_path / "x")


def test_the_real_market(real_data: Path) -> None:
    manifest = market1501.read(real_data / "market1501")
    assert manifest.frame["subset"].value_counts().to_dict() == {
        "train": 9_173,
        "query": 1_122,
        "gallery": 2_641,
    }
    assert len(manifest.where(subset="train").identities) == 500
    assert len(manifest.where(subset=["query", "gallery"]).identities) == 251
    cameras = manifest.frame.groupby("identity")["camera"].nunique()
    assert (len(cameras), cameras.min(), int((cameras >= 3).sum())) == (751, 2, 701)
