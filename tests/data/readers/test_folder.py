"""A folder per identity."""

import sys
from pathlib import Path

import pytest

from facever.data.manifest import Manifest
from facever.data.readers.folder import read
from facever.data.walking import images_below
from facever.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_the_first_folder_is_the_identity(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.JPG", "b/1.png", "a/clip/9.pgm", "a/notes.txt", ".git/x.jpg", "a/.x.jpg")
    manifest = read(tmp_path)
    assert manifest.frame.to_dict("list") == {
        "path": ["a/clip/9.pgm", "b/1.png", "b/2.JPG"],
        "identity": ["a", "b", "b"],
    }
    assert (manifest.root, manifest.dataset) == (tmp_path, tmp_path.name)
    assert Manifest.from_folder(tmp_path).frame.equals(manifest.frame)


def test_folders_that_are_all_subsets_become_a_column(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "Test/c/1.png")
    frame = read(tmp_path).frame
    assert frame["identity"].tolist() == ["c", "a", "b"]
    assert frame["subset"].tolist() == ["test", "train", "train"]
    touch(tmp_path, "d/1.png")
    assert "subset" not in read(tmp_path).frame


def test_strays_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "a/1.png", "stray.png")
    assert read(tmp_path).frame["path"].tolist() == ["a/1.png"]
    assert "1 images in" in capsys.readouterr().err


def test_bad_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no folder .*/gone$"):
        read(tmp_path / "gone")
    with pytest.raises(DataError, match=r"^no images in .* \(looked for \.avif \.bmp"):
        read(tmp_path)
    touch(tmp_path, "train/1.png", "test/2.png")
    with pytest.raises(
        DataError, match=r"^2 images lie directly in .*: put them into one folder per identity"
    ):
        read(tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
@pytest.mark.parametrize("name", ["a/caf\udce9.png", "caf\udce9/1.png"])
def test_names_that_are_not_in_utf8_are_one_line(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/caf\udce9.txt")
    assert len(read(tmp_path)) == 1
    touch(tmp_path, name)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    shown = name.replace("\udce9", r"\udce9")
    assert (
        str(error.value)
        == f"{tmp_path}: '{shown}' is not in UTF-8: rename it, or convert it to UTF-8"
    )


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "root/a/1.png")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root")
    assert images_below(tmp_path / "root") == ["a/1.png", "b/1.png"]


def test_orl(real_data: Path) -> None:
    manifest = read(real_data / "orl")
    assert (len(manifest), len(manifest.identities), manifest.dataset) == (400, 40, "orl")
    assert (manifest.frame["identity"].value_counts() == 10).all()
