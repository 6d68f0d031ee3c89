"""VeRi-776: lists, labels with colour and type, and labels that do not fit."""

from pathlib import Path

import pytest

from facever.data.readers import read, veri776
from facever.errors import DataError
from tests.data.readers.trees import tree

TRAIN = "0001_c001_00016450_0.jpg", "0004_c019_00000007_1.jpg"
QUERY = ("0002_c002_00030600_0.jpg",)
TEST = "0002_c002_00030600_0.jpg", "0002_c011_00030700_0.jpg"


def xml(*items: str, number: int | None = None, encoding: str = "gb2312") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}" ?>\n<TrainingImages Version="1.0">\n'
    count = len(items) if number is None else number
    body = "".join(f"    <Item {item} />\n" for item in items)
    return f'{head}  <Items number="{count}">\n{body}  </Items>\n</TrainingImages>\n'.encode()


def item(name: str, color: int = 1, kind: int = 4) -> str:
    vehicle, camera = name.split("_")[:2]
    return (
        f'imageName="{name}" vehicleID="{vehicle}" cameraID="{camera}" colorID="{color}" '
        f'typeID="{kind}"'
    )


def make(root: Path) -> Path:
    tree(root, *(f"image_train/{name}" for name in TRAIN))
    tree(root, *(f"image_query/{name}" for name in QUERY))
    tree(root, *(f"image_test/{name}" for name in TEST))
    for file, names in (("train", TRAIN), ("query", QUERY), ("test", TEST)):
        (root / f"name_{file}.txt").write_text("\r\n".join(names) + "\r\n")
    (root / "train_label.xml").write_bytes(xml(item(TRAIN[0]), item(TRAIN[1], 5, 9)))
    (root / "test_label.xml").write_bytes(xml(*(item(name, 2, 1) for name in TEST)))
    (root / "list_color.txt").write_text("1 yellow\n2\torange\n")
    (root / "list_type.txt").write_text("4 hatchback\n1 sedan\n9 estate\n")
    return root


def test_names_and_labels(tmp_path: Path) -> None:
    manifest = read(make(tmp_path))
    assert (manifest.layout, manifest.dataset) == ("veri776", "veri776")
    assert manifest.frame.to_dict("list") == {
        "path": [f"image_train/{name}" for name in TRAIN]
        + [f"image_query/{QUERY[0]}", *(f"image_test/{name}" for name in TEST)],
        "identity": ["0001", "0004", "0002", "0002", "0002"],
        "camera": ["1", "19", "2", "2", "11"],
        "frame": ["16450", "7", "30600", "30600", "30700"],
        "box": ["0", "1", "0", "0", "0"],
        "subset": ["train", "train", "query", "gallery", "gallery"],
        "color": ["yellow", "5", "orange", "orange", "orange"],
        "type": ["hatchback", "estate", "sedan", "sedan", "sedan"],
    }


def test_queries_in_the_gallery_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read(make(tmp_path))
    [line] = capsys.readouterr().err.splitlines()
    assert "1 of 1 queries" in line
    assert "--camera camera" in line
    (tmp_path / "name_test.txt").write_text(TEST[1])
    (tmp_path / "image_test" / TEST[0]).unlink()
    read(tmp_path)
    assert "queries" not in capsys.readouterr().err


def test_without_lists_and_labels(tmp_path: Path) -> None:
    make(tmp_path)
    for file in tmp_path.glob("*.*"):
        file.unlink()
    manifest = read(tmp_path)
    assert (manifest.layout, len(manifest)) == ("veri776", 5)
    assert "color" not in manifest.frame


def test_labels_of_other_images_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    (tmp_path / "train_label.xml").write_bytes(
        xml(item(TRAIN[0]), item("0009_c001_00000001_0.jpg"))
    )
    frame = read(tmp_path).frame
    assert frame["color"].isna().tolist() == [False, True, False, False, False]
    _, line = capsys.readouterr().err.splitlines()
    assert "lack 1 images" in line
    assert "name 1 others" in line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (xml(item(TRAIN[0]), number=37778), "announces 37,778 items and has 1"),
        (xml(item(TRAIN[0]))[:-30], "cannot be read as labels"),
        (xml('vehicleID="0001"'), "has no <Item imageName"),
        (xml(), "has no <Item imageName"),
        (xml(item(TRAIN[0]), item(TRAIN[0])), "names an image twice"),
        (xml(encoding="nonsense"), "cannot be read as labels"),
        (xml(item(TRAIN[0]), encoding="utf-8") + b"\xff", "cannot be read as labels"),
        (
            xml(item(TRAIN[0])).replace(
                b"<TrainingImages", b'<!DOCTYPE x [<!ENTITY a "b">]><TrainingImages'
            ),
            "document type or entities",
        ),
        (xml(item(TRAIN[0]).replace('vehicleID="0001"', 'vehicleID="0007"')), "say vehicle 0007"),
        (xml(item(TRAIN[0]).replace('cameraID="c001"', 'cameraID="c002"')), "camera c002 of image"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, content: bytes, reason: str) -> None:
    make(tmp_path)
    (tmp_path / "train_label.xml").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_lists_that_do_not_fit(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "list_color.txt").write_text("yellow\n")
    with pytest.raises(DataError, match=r"list_color.txt: expected '<number> <name>'"):
        read(tmp_path)
    (tmp_path / "name_query.txt").write_text("0002_c002_00039999_0.jpg\n")
    with pytest.raises(DataError, match=r"name_query.txt .* missing, first image_query/0002_c002"):
        read(tmp_path)


def test_other_folders_are_not_veri(tmp_path: Path) -> None:
    assert not veri776.detect(tree(tmp_path, "image_train/a/1.jpg", "train.xml"))
