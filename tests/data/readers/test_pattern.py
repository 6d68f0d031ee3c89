"""Names of any kind, by a regular expression."""

from pathlib import Path

import pytest

from facever.data.readers import read, register_reader
from facever.data.sources import load
from facever.errors import ConfigError, DataError
from tests.data.readers.trees import tree

PATTERN = r"pattern:(?P<identity>\d{5})_c(?P<camera>\d{2})"


def test_five_digit_people_and_two_digit_cameras(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(tmp_path, "00012_c03_1.jpg", "sub/10012_c11_2.png")
    manifest = load(root, layout=PATTERN)
    assert manifest.layout == PATTERN
    assert manifest.frame.to_dict("list") == {
        "path": ["00012_c03_1.jpg", "sub/10012_c11_2.png"],
        "identity": ["00012", "10012"],
        "camera": ["03", "11"],
    }
    [line] = capsys.readouterr().err.splitlines()
    assert line == "00012_c03_1.jpg: identity 00012, camera 03"


def test_groups_may_span_folders_and_be_absent(tmp_path: Path) -> None:
    root = tree(tmp_path, "query/s1/a-x.jpg", "gallery/s2/b.jpg")
    text = r"pattern:^(?P<subset>\w+)/s(?P<camera>\d)/(?P<identity>\w)(-(?P<pose>\w))?\."
    frame = read(root, text).frame
    assert frame["subset"].tolist() == ["gallery", "query"]
    assert frame["identity"].tolist() == ["b", "a"]
    assert frame["pose"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("pattern:(?P<identity>", "is not a regular expression"),
        ("pattern:", "has no group identity"),
        (r"pattern:(\d+)_c(?P<camera>\d)", "has no group identity"),
        ("pattern:(?P<path>.*)(?P<identity>.)", "has a group path"),
        ("pattern", r"unknown layout 'pattern'; did you mean 'pattern:REGEX'\?"),
    ],
)
def test_patterns_that_cannot_be_used(tmp_path: Path, layout: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(tree(tmp_path, "1.jpg"), layout)


@pytest.mark.parametrize("name", ["face.jpg", "_c03.jpg"])
def test_a_name_that_does_not_match(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path, "00012_c03.jpg", f"x/{name}")
    with pytest.raises(DataError, match=rf"1 of 2 images in .* not match .*, first x/{name}"):
        read(root, r"pattern:(?P<identity>\d*)_c(?P<camera>\d{2})")


def test_no_images_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no images in {tmp_path}"):
        read(tmp_path, PATTERN)
    with pytest.raises(DataError, match=r"no folder .*1.jpg"):
        read(tree(tmp_path, "1.jpg") / "1.jpg", PATTERN)


def test_the_name_is_taken() -> None:
    with pytest.raises(ConfigError, match="pattern:x"):
        register_reader("pattern:x", lambda root, on_error: None)
