"""DukeMTMC-reID: Market-1501's folders with other names."""

from pathlib import Path

import pytest

from facever.data.readers import market1501, read
from facever.errors import DataError
from tests.data.readers.trees import tree

NAMES = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "query/0005_c1_f0000001.jpg",
    "bounding_box_test/0005_c8_f0104912.jpg",
    "bounding_box_test/7139_c4_f0000012.jpg",
)


def test_identity_camera_and_frame_come_from_the_name(tmp_path: Path) -> None:
    manifest = read(tree(tmp_path, *NAMES))
    assert (manifest.layout, manifest.dataset) == ("dukemtmc", "dukemtmc")
    assert manifest.frame.to_dict("list") == {
        "path": list(NAMES),
        "identity": ["0001", "0005", "0005", "7139"],
        "camera": ["2", "1", "8", "4"],
        "frame": ["46182", "1", "104912", "12"],
        "subset": ["train", "query", "gallery", "gallery"],
    }


def test_market_and_duke_are_told_apart_by_the_names(tmp_path: Path) -> None:
    market = tree(tmp_path / "m", "bounding_box_train/0002_c1s1_000451_03.jpg")
    assert read(market).layout == "market1501"
    with pytest.raises(DataError, match=r"0002_c1s1_000451_03.jpg is not named like 0001_c2_f"):
        read(market, "dukemtmc")
    with pytest.raises(DataError, match=r"0001_c2_f0046182.jpg is not named like 0002_c1s1"):
        read(tree(tmp_path / "d", *NAMES), "market1501")


def test_other_names_in_these_folders_are_refused_with_the_remedy(tmp_path: Path) -> None:
    root = tree(tmp_path, "bounding_box_train/00012_c03.jpg", "query/00012_c04.jpg")
    assert market1501.detect(root)
    with pytest.raises(DataError, match=r"00012_c03.jpg is not named .* 'pattern:REGEX'"):
        read(root)


def test_a_system_file_does_not_decide(tmp_path: Path) -> None:
    root = tree(tmp_path, *NAMES, "bounding_box_train/.hidden.jpg", "bounding_box_train/Thumbs.db")
    assert read(root).layout == "dukemtmc"
