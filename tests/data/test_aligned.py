"""What a folder of aligned crops says of itself."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.data.aligned import alignment_in
from facever.data.readers import read
from facever.errors import DataError


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    (tmp_path / "ada").mkdir()
    cv2.imwrite(str(tmp_path / "ada" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    said = {"format": 1, "facever": "0.1.0", "alignment": "arcface-112"}
    (tmp_path / "alignment.json").write_text(json.dumps(said))
    return tmp_path


def test_all_images_of_the_folder_are_of_its_alignment(crops: Path) -> None:
    assert read(crops).alignment == "arcface-112"
    assert read(crops, "images").alignment == "arcface-112"
    (crops / "alignment.json").unlink()
    assert read(crops).alignment == "none"
    assert alignment_in(crops) is None


def test_a_file_of_that_name_by_someone_else(crops: Path) -> None:
    (crops / "alignment.json").write_text(json.dumps({"left": True}))
    assert read(crops).alignment == "none"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ('{"facever": "0.1.0", "format": 1}', "is damaged.*alignment"),
        ('{"facever": "9", "format": 2, "alignment": "arcface-112"}', "format 2.*update facever"),
    ],
)
def test_what_is_wrong_is_one_line(crops: Path, content: str, message: str) -> None:
    (crops / "alignment.json").write_text(content)
    with pytest.raises(DataError, match=rf"alignment\.json.*{message}") as caught:
        read(crops)
    assert "\n" not in str(caught.value)
