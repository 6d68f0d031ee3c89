"""LFW's layout, View 1 and who is held out."""

from pathlib import Path

import pytest

from facever.data.readers import lfw
from facever.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, count in (("Ann_Lee", 2), ("Bo", 1), ("Cy_Al-X", 3), ("Di", 1)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(1, count + 1):
            (tmp_path / "images" / name / f"{name}_{number:04d}.jpg").touch()
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "peopleDevTrain.txt").write_text("2\nAnn_Lee\t2\nBo\t1\n")
    (tmp_path / "protocol" / "peopleDevTest.txt").write_text("1\nCy_Al-X\t3\n")
    (tmp_path / "protocol" / "peopleDevHeldOut.txt").write_text("1\nBo\t1\n")
    return tmp_path


def test_names_numbers_and_subsets(root: Path) -> None:
    assert lfw.detect(root)
    manifest = lfw.read(root)
    assert manifest.frame.iloc[:3].to_dict("list") == {
        "path": [
            "images/Ann_Lee/Ann_Lee_0001.jpg",
            "images/Ann_Lee/Ann_Lee_0002.jpg",
            "images/Bo/Bo_0001.jpg",
        ],
        "identity": ["Ann_Lee", "Ann_Lee", "Bo"],
        "number": ["1", "2", "1"],
        "subset": ["train", "train", "held_out"],
    }
    subsets = dict(zip(manifest.frame["identity"], manifest.frame["subset"], strict=True))
    assert subsets == {"Ann_Lee": "train", "Bo": "held_out", "Cy_Al-X": "test", "Di": "none"}
    assert manifest.dataset == "lfw"


def test_without_lists_everyone_is_in_none(root: Path) -> None:
    for file in (root / "protocol").iterdir():
        file.unlink()
    assert not lfw.detect(root)
    assert set(lfw.read(root).frame["subset"]) == {"none"}


def test_people_without_images_are_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "protocol" / "peopleDevTest.txt").write_text("2\nCy_Al-X\t3\nEve\t1\n")
    lfw.read(root)
    assert "1 people of peopleDevTest.txt have no image, first Eve" in capsys.readouterr().err


def test_bad_input_is_one_line(root: Path, tmp_path: Path) -> None:
    (root / "protocol" / "peopleDevTest.txt").write_text("5\nCy_Al-X\t3\n")
    with pytest.raises(DataError, match=r"peopleDevTest.txt declares '5' people but lists 1$"):
        lfw.read(root)
    for name in ("face.jpg", "Ann_Lee_0001.jpg", "Bo_x.jpg"):
        wrong = root / "images" / "Bo" / name
        wrong.touch()
        with pytest.raises(DataError, match=rf"{name} is not named <Name>/<Name>_<number>$"):
            lfw.read(root)
        wrong.unlink()
    with pytest.raises(DataError, match=r"LFW: no images in .*/gone/images"):
        lfw.read(tmp_path / "gone")


def test_the_real_lfw(real_data: Path) -> None:
    manifest = lfw.read(real_data / "lfw")
    assert (len(manifest), len(manifest.identities)) == (13_233, 5_749)
    train, test = manifest.where(subset=["train", "held_out"]), manifest.where(subset="test")
    assert (len(train), len(train.identities)) == (9_525, 4_038)
    assert (len(test), len(test.identities)) == (3_708, 1_711)
    assert len(manifest.where(subset="held_out").identities) == 504
    assert not set(train.identities) & set(test.identities)
    images = train.frame["identity"].value_counts()
    assert ((images >= 2).sum(), (images >= 4).sum()) == (1_184, 430)
