"""Cross-Age and Cross-Pose LFW: images in one folder."""

from pathlib import Path

import pytest

from facever.data.readers import read
from facever.errors import DataError
from tests.data.readers.trees import tree

IMAGES = "AJ_Cook_0001.jpg", "AJ_Cook_0002.jpg", "Ann_0010.jpg"


def test_both_data_sets(tmp_path: Path) -> None:
    for name, folder in (("calfw", "aligned images"), ("cplfw", "images")):
        paths = [f"{folder}/{image}" for image in IMAGES]
        root = tree(tmp_path / name, *paths, f"pairs_{name.upper()}.txt")
        manifest = read(root)
        assert (manifest.layout, manifest.dataset) == (name, name)
        assert manifest.frame.to_dict("list") == {
            "path": paths,
            "identity": ["AJ_Cook", "AJ_Cook", "Ann"],
            "number": ["1", "2", "10"],
        }
        assert read(root / folder).layout == name


def test_one_of_several_folders_must_be_chosen(tmp_path: Path) -> None:
    tree(tmp_path, "pairs_CALFW.txt", f"aligned images/{IMAGES[0]}", f"images/{IMAGES[0]}")
    with pytest.raises(DataError, match=r"several folders \(aligned images, images\).*give one"):
        read(tmp_path)
    assert read(tmp_path / "images").frame["path"].tolist() == [IMAGES[0]]


def test_other_names_are_skipped_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree(
        tmp_path, "pairs_CPLFW.txt", f"images/{IMAGES[0]}", "images/Leni-2.jpg", "images/L_3jpg.jpg"
    )
    assert len(read(tmp_path)) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: CPLFW: 2 images")
    assert "images/L_3jpg.jpg" in line


def test_no_such_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images like Ada_Lovelace_0001.jpg in"):
        read(tree(tmp_path, "pairs_CALFW.txt", "images/a.jpg"))
