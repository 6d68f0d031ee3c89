"""CFP's images, and its folds of same and different pairs."""

from pathlib import Path

import pytest

from facever.data.readers import LAYOUTS, cfp, read
from facever.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three people with two frontal images and one profile image, and two folds."""
    lists: dict[str, list[str]] = {"F": [], "P": []}
    for person in ("001", "002", "003"):
        for view, count in (("frontal", 2), ("profile", 1)):
            for number in range(1, count + 1):
                image = tmp_path / "Data" / "Images" / person / view / f"{number:02d}.jpg"
                image.parent.mkdir(parents=True, exist_ok=True)
                image.touch()
                lists[view[0].upper()].append(f"../Data/Images/{person}/{view}/{number:02d}.jpg")
    protocol = tmp_path / "Protocol"
    protocol.mkdir()
    for name, images in lists.items():
        lines = [f"{number} {image}" for number, image in enumerate(images, 1)]
        (protocol / f"Pair_list_{name}.txt").write_text("\r\n".join(lines) + "\r\n")
    for experiment, folds in {
        "FF": [("1,2", "1,3\n5,2"), ("5,6", "4,6")],
        "FP": [("1,1\n4,2", "1,2"), ("6,3", "5,1")],
    }.items():
        for number, (same, diff) in enumerate(folds, 1):
            fold = protocol / "Split" / experiment / f"{number:02d}"
            fold.mkdir(parents=True)
            (fold / "same.txt").write_text(same + "\n")
            (fold / "diff.txt").write_text(diff + "\n")
    return tmp_path


def test_images_with_their_view(root: Path) -> None:
    assert cfp.detect(root)
    manifest = read(root)
    assert (manifest.dataset, len(manifest), manifest.identities) == (
        "cfp",
        9,
        ["001", "002", "003"],
    )
    assert manifest.frame.iloc[2].to_dict() == {
        "path": "Data/Images/001/profile/01.jpg",
        "identity": "001",
        "view": "profile",
        "number": "1",
    }
    assert list(LAYOUTS).index("cfp") < list(LAYOUTS).index("folder")
    assert not cfp.detect(root / "Data")


def test_frontal_against_profile(root: Path) -> None:
    pairs = cfp.read_folds(root / "Protocol" / "Split" / "FP")
    short = [
        (a.removeprefix("Data/Images/"), b.removeprefix("Data/Images/"), same, fold)
        for a, b, same, fold in zip(
            pairs["a"], pairs["b"], pairs["same"], pairs["fold"], strict=True
        )
    ]
    assert short == [
        ("001/frontal/01.jpg", "001/profile/01.jpg", True, 0),
        ("002/frontal/02.jpg", "002/profile/01.jpg", True, 0),
        ("001/frontal/01.jpg", "002/profile/01.jpg", False, 0),
        ("003/frontal/02.jpg", "003/profile/01.jpg", True, 1),
        ("003/frontal/01.jpg", "001/profile/01.jpg", False, 1),
    ]
    assert pairs["identity_a"].tolist() == ["001", "002", "001", "003", "003"]
    assert pairs["identity_b"].tolist() == ["001", "002", "002", "003", "001"]
    assert set(pairs["a"]) | set(pairs["b"]) <= set(read(root).frame["path"])


def test_frontal_against_frontal(root: Path) -> None:
    pairs = cfp.read_folds(root / "Protocol" / "Split" / "FF")
    assert all("/frontal/" in path for side in "ab" for path in pairs[side])
    assert pairs["same"].tolist() == [True, False, False, True, False]
    assert ((pairs["identity_a"] == pairs["identity_b"]) == pairs["same"]).all()


def test_broken_lists_are_one_line(root: Path) -> None:
    folder = root / "Protocol" / "Split" / "FP"
    same, images = folder / "01" / "same.txt", root / "Protocol" / "Pair_list_P.txt"
    cases = [
        (same, "1;1\n", "expected '<number>,<number>', found '1;1'"),
        (same, "1,4\n", "same.txt refers to image 4, but the list of images has 3"),
        (images, "a/b.jpg\n", "expected '<number> <path>', found 'a/b.jpg'"),
    ]
    for path, text, message in cases:
        before = path.read_text()
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            cfp.read_folds(folder)
        path.write_text(before)
    (folder / "02" / "diff.txt").unlink()
    with pytest.raises(DataError, match=r"^CFP: no list .*02/diff\.txt$"):
        cfp.read_folds(folder)
    with pytest.raises(DataError, match=r"is not a CFP experiment: give Protocol/Split/FF or /FP$"):
        cfp.read_folds(root / "Protocol")
    (root / "Protocol" / "Split" / "FF" / "01").rename(root / "x")
    (root / "Protocol" / "Split" / "FF" / "02").rename(root / "y")
    with pytest.raises(DataError, match=r"^CFP: no folds in .*; 01/same\.txt and 01/diff\.txt are"):
        cfp.read_folds(root / "Protocol" / "Split" / "FF")


def test_broken_images_are_one_line(root: Path) -> None:
    (root / "Data" / "Images" / "001" / "frontal" / "me.jpg").touch()
    with pytest.raises(DataError, match=r"me\.jpg is not named <person>/frontal\|profile/<number>"):
        cfp.read(root)
    (root / "Empty" / "Data" / "Images").mkdir(parents=True)
    with pytest.raises(DataError, match=r"^CFP: no images in .*Images$"):
        cfp.read(root / "Empty")
