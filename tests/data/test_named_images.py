"""Names of images, and lists against folders."""

import re
from pathlib import Path

import pytest

from facever.data.named_images import Names, check_listed, first_image, read_lines
from facever.errors import DataError

NAMES = Names(
    "Set", "01_c2.jpg", re.compile(r"(?P<identity>[0-9]+)_c(?P<camera>[0-9]+)"), ["camera"]
)


def test_columns_of_names(tmp_path: Path) -> None:
    assert NAMES.columns(tmp_path, ["a/01_c02.jpg", "12_c10.jpg"]) == {
        "identity": ["01", "12"],
        "camera": ["2", "10"],
    }
    with pytest.raises(DataError, match=r"Set: .*/a/x_c1.jpg is not named like 01_c2.jpg.*REGEX"):
        NAMES.columns(tmp_path, ["01_c02.jpg", "a/x_c1.jpg"])
    assert NAMES.fit("1_c1.jpg")
    assert not NAMES.fit(None)


def test_the_first_image_of_a_folder(tmp_path: Path) -> None:
    assert first_image(tmp_path / "none") is None
    for name in ("b.jpg", "a.PNG", "0.txt", ".0.jpg", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "0").mkdir()
    assert first_image(tmp_path) == "a.PNG"
    assert first_image(tmp_path / "0") is None


def test_lines(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbfone 1\r\n\r\n  two\n")
    assert read_lines(tmp_path / "l.txt", "Set") == ["one 1", "two"]
    with pytest.raises(DataError, match=r"Set: no list .*none.txt"):
        read_lines(tmp_path / "none.txt", "Set")


def test_lists_against_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_listed(tmp_path, ["a", "b"], ["b", "a"], "l.txt", "Set")
    assert capsys.readouterr().err == ""
    check_listed(tmp_path, ["c", "a", "b"], ["b"], "l.txt", "Set")
    assert "2 images" in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("first a")
    with pytest.raises(DataError, match=r"l.txt of .* name 2 images .* missing, first d"):
        check_listed(tmp_path, ["a"], ["d", "a", "c"], "l.txt", "Set")
    with pytest.raises(DataError, match=r"name a twice"):
        check_listed(tmp_path, ["a", "b"], ["b", "a", "a"], "l.txt", "Set")
