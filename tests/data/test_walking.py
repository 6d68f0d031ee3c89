"""What lies below a folder: images, what systems leave, and what is not read."""

import os
from pathlib import Path

import pytest

from facever.data import walking
from facever.data.readers import read
from facever.data.suffixes import HEIC, RAW, READABLE, UNREAD
from facever.data.walking import images_below, walk
from facever.errors import DataError

LEFT = (
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "a/@eaDir/1.jpg/x.jpg",
    "$RECYCLE.BIN/old.jpg",
    "#recycle/old.jpg",
    "lost+found/1.jpg",
    "__MACOSX/a/._1.jpg",
    "a/.thumbnails/1.jpg",
    "a/Thumbs.db",
    "a/._1.jpg",
    "a/SYNOFILE_THUMB_M.jpg",
    "a/.hidden.jpg",
    "System Volume Information/1.jpg",
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_what_systems_leave_is_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", *LEFT)
    manifest = read(tmp_path)
    assert manifest.frame["path"].tolist() == ["a/1.jpg", "b/1.jpg"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"skipped in {tmp_path}: ")
    for part in ("2 @eaDir", "2 hidden", "1 ._*", "1 SYNOFILE_THUMB_*", "1 Thumbs.db"):
        assert part in line


@pytest.mark.parametrize(
    ("layout", "kept"),
    [
        ("lfw", ["images/Ada/Ada_0001.jpg"]),
        ("cfp", ["Data/Images/001/frontal/01.jpg"]),
        ("market1501", ["bounding_box_train/0002_c1s1_000451_03.jpg"]),
        ("dukemtmc", ["bounding_box_train/0001_c2_f0046182.jpg"]),
        ("calfw", ["images/Ann_0001.jpg"]),
        ("agedb", ["0_MariaCallas_35_f.jpg"]),
    ],
)
def test_every_reader_skips_them(tmp_path: Path, layout: str, kept: list[str]) -> None:
    folder = str(Path(kept[0]).parent)
    touch(tmp_path, *kept, f"{folder}/@eaDir/x_0001.jpg", f"{folder}/._{Path(kept[0]).name}")
    if layout == "lfw":
        touch(tmp_path, "protocol/pairs.txt", "images/@eaDir/Ada/x.jpg")
    if layout == "cfp":
        touch(tmp_path, "Protocol/x")
    if layout == "calfw":
        touch(tmp_path, "pairs_CALFW.txt")
    manifest = read(tmp_path)
    assert manifest.layout == layout
    assert manifest.frame["path"].tolist() == kept


def test_images_that_are_not_read_are_counted_by_suffix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = ("a/1.CR2", "lost/1.dng", "lost/2.ARW", "lost/3.arw")
    touch(tmp_path, "a/1.jpg", "b/1.png", "b/2.avif", "b/notes.txt", *raw)
    assert read(tmp_path).identities == ["a", "b"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 4 images")
    for part in ("2 .arw", "1 .cr2", "1 .dng", "1 people or folders have no other images: lost"):
        assert part in line


def test_only_such_images_are_said_in_the_error(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.nef", "b/2.nef")
    with pytest.raises(DataError, match=r"no images in .*2 \.nef \(convert them"):
        read(tmp_path)


def test_heic_names_its_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "READABLE", READABLE - HEIC)
    monkeypatch.setattr(walking, "UNREAD", UNREAD | HEIC)
    touch(tmp_path, "a/1.jpg", "a/2.HEIC")
    walk(tmp_path).tell()
    assert "1 .heic (convert them to JPEG or PNG, or" in (told := capsys.readouterr().err)
    assert "facever[heif]" in told
    assert not UNREAD & READABLE
    assert ".avif" in READABLE
    assert RAW <= UNREAD


@pytest.fixture
def unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be read, for root too."""
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    touch(tmp_path, "a/1.jpg", "secret/1.jpg")
    return tmp_path


def test_an_unreadable_folder_is_named_and_left_out(
    unreadable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(unreadable).identities == ["a"]
    [line] = capsys.readouterr().err.splitlines()
    assert f"{unreadable}/secret cannot be read: permission denied" in line


def test_an_unreadable_folder_can_be_fatal_as_images_are(unreadable: Path) -> None:
    with pytest.raises(DataError, match=r"secret cannot be read: permission denied"):
        read(unreadable, on_error="raise")
    with pytest.raises(DataError, match=r"secret cannot be read"):  # nothing else was asked for
        images_below(unreadable / "secret")
