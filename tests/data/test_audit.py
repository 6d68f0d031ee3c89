"""What inspect finds in a data set whose every fault was put there on purpose."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.data.audit import inspect
from facever.data.manifest import Manifest
from facever.data.readers import read

Paint = Callable[..., Path]


@pytest.fixture
def faulty(tmp_path: Path, paint: Paint) -> Manifest:
    paint(tmp_path / "a/1.png", 1)
    paint(tmp_path / "a/2.png", 2)
    paint(tmp_path / "a/3.jpg", 3, (20, 10))
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/4.png")
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a/2.png", tmp_path / "b/1.png")
    cv2.imwrite(str(tmp_path / "b/2.pgm"), np.full((5, 7), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "b/3.png"), np.full((5, 7, 4), 9, np.uint8))
    (tmp_path / "b/4.jpg").write_bytes(b"")
    np.save(tmp_path / "c.npy", np.zeros((1, 5, 7), np.uint8))
    rows = [
        *(("a", f"a/{n}", camera) for n, camera in (("1.png", 1), ("2.png", 1), ("3.jpg", 2))),
        ("a", "a/4.png", 2),
        *(("b", f"b/{n}", 1) for n in ("1.png", "2.pgm", "3.png", "4.jpg", "gone.png")),
        ("c", "c.npy#0", 3),
    ]
    frame = pd.DataFrame(rows, columns=["identity", "path", "camera"])
    frame["subset"] = ["train"] * 4 + ["test"] * 6
    return Manifest(frame, tmp_path, "faulty")


def test_everything_is_found(faulty: Manifest) -> None:
    found = json.loads(json.dumps(inspect(faulty).to_dict()))
    assert found == {
        "dataset": "faulty",
        "root": str(faulty.root),
        "images": 10,
        "identities": 3,
        "per_identity": {"minimum": 1, "median": 4.0, "maximum": 5},
        "singletons": 1,
        "histogram": {"1": 1, "4-7": 2},
        "width": {"minimum": 6, "median": 6.5, "maximum": 10},
        "height": {"minimum": 5, "median": 8.0, "maximum": 20},
        "sizes": {"6 x 8": 4, "7 x 5": 3, "10 x 20": 1},
        "formats": {"PNG": 5, "JPEG": 1, "PNM": 1, "array": 1},
        "colours": {"colour": 5, "grey": 2, "transparent": 1},
        "subsets": {
            "test": {"images": 6, "identities": 2},
            "train": {"images": 4, "identities": 1},
        },
        "cameras": {
            "1": {"images": 7, "identities": 2},
            "2": {"images": 2, "identities": 1},
            "3": {"images": 1, "identities": 1},
        },
        "corrupt": [
            {"path": "b/4.jpg", "reason": "the file is empty (0 bytes)"},
            {"path": "b/gone.png", "reason": "no such file"},
        ],
        "duplicates_within": [["a/1.png", "a/4.png"]],
        "duplicates_across": [["a/2.png", "b/1.png"]],
        "layout": "",
        "doubt": None,
        "alignment": "none",
        "unnamed": 0,
        "templates": 0,
        "duplicates_unnamed": [],
    }


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(faulty: Manifest, threads: int) -> None:
    assert inspect(faulty, threads) == inspect(faulty)


def test_the_text_says_it_too(faulty: Manifest) -> None:
    text = re.sub(" {2,}", ": ", inspect(faulty).to_text())
    for line in (
        "faulty: 10 images of 3 identities in ",
        "images per identity: 1 to 5, median 4; 1 identities have one image",
        "sizes: 6 x 8 (4), 7 x 5 (3), 10 x 20 (1)",
        "formats: PNG (5), JPEG (1), PNM (1), array (1)",
        "corrupt images: 2\n: b/4.jpg: the file is empty (0 bytes)\n: b/gone.png: no such file\n",
        "equal files within an identity: 1\n: a/1.png = a/4.png\n",
        "equal files across identities: 1\n: a/2.png = b/1.png",
    ):
        assert line in text


def test_one_file_under_two_names_is_across_but_twice_under_one_is_nothing(
    tmp_path: Path, paint: Paint
) -> None:
    paint(tmp_path / "x.png")
    rows = {"path": ["x.png", "x.png"], "identity": ["a", "a"]}
    assert inspect(Manifest(pd.DataFrame(rows), tmp_path, "t")).duplicates_within == []
    rows["identity"] = ["a", "b"]
    found = inspect(Manifest(pd.DataFrame(rows), tmp_path, "t"))
    assert found.duplicates_across == [["x.png"]]


def test_a_data_set_without_one_good_image(tmp_path: Path) -> None:
    found = inspect(Manifest(pd.DataFrame({"path": ["p"], "identity": ["a"]}), tmp_path, "t"))
    assert found.width is None
    assert found.sizes == {}
    assert len(found.corrupt) == 1
    assert re.search(r"sizes +none\n", found.to_text())


def test_long_lists_are_cut_in_the_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(200)], "identity": "a"})
    text = inspect(Manifest(frame, tmp_path, "t")).to_text()
    assert "corrupt images: 200\n  0.png: no such file\n" in text
    assert "  9.png: no such file\n  ... 190 more\n" in text


def test_orl_is_clean(real_data: Path) -> None:
    found = inspect(Manifest.from_folder(real_data / "orl"))
    assert (found.images, found.identities, found.sizes) == (400, 40, {"92 x 112": 400})
    assert found.colours == {"grey": 400}
    assert found.corrupt == found.duplicates_within == found.duplicates_across == []


def test_a_misread_layout_is_doubted(tmp_path: Path, paint: Paint) -> None:
    for person in range(12):
        paint(tmp_path / f"photos/p{person}/1.png", person)
    found = inspect(read(tmp_path))
    assert found.identities == 1
    assert found.layout == "folder"
    assert found.doubt is not None
    for part in ("the first folder", "'photos'", f"{tmp_path}/photos", "--layout"):
        assert part in found.doubt
    assert found.to_text().count(found.doubt) == 1
    assert inspect(read(tmp_path / "photos")).doubt is None  # what the line said to give


def test_one_person_of_another_layout_is_doubted_too(tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "1.png")
    (tmp_path / "manifest.csv").write_text("path,identity\n1.png,a\n")
    doubt = inspect(read(tmp_path)).doubt
    assert doubt is not None
    assert "'table'" in doubt
    assert "'a'" in doubt


def test_names_with_control_characters_are_spelled_out(tmp_path: Path, paint: Paint) -> None:
    evil = "a/\x1b]0;owned\x07\n1.png"
    paint(tmp_path / "a/2.png")
    frame = pd.DataFrame(
        {"path": [evil, "a/2.png"], "identity": ["a", "b"], "camera": ["\x1b[2J", 1]}
    )
    found = inspect(Manifest(frame, tmp_path, "t\x1b"))
    assert found.corrupt[0].path == evil
    text = found.to_text()
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"a/\x1b]0;owned\x07\n1.png: no such file" in text


def test_six_thousand_rows_count_whole(tmp_path: Path) -> None:
    """203 columns, cameras 1, 2, 3, and a name in the last rows: no type is guessed by chunk."""
    names = [f"c{n}" for n in range(200)]
    lines = [",".join(["path", "identity", "camera", *names])]
    filler = "," + ",".join(["0"] * 200)
    for row in range(6000):
        camera = "entrance" if row >= 5980 else str(row % 3 + 1)
        lines.append(f"{row}.png,p{row % 50},{camera}{filler}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    made = Manifest.from_csv(tmp_path / "t.csv")
    assert {name: len(made.where(camera=name)) for name in (1, 2.0, "3", "entrance")} == {
        1: 1994,
        2.0: 1993,
        "3": 1993,
        "entrance": 20,
    }
    parts = inspect(made).cameras
    assert sum(part.images for part in parts.values()) == 6000


def test_jpegs_without_their_end_marker_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytes(cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1])
    for name, content in (("0", data), ("1", data[:-2]), ("2", data[:-2]), ("3", data[:-20])):
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "p" / f"{name}.jpg").write_bytes(content)
    found = inspect(read(tmp_path))
    assert [(one.path, "JPEG" in one.reason) for one in found.corrupt] == [("p/3.jpg", True)]
    said = capfd.readouterr().err
    assert said.count("end marker") == 1
    assert "pixels: 2," in said
    assert "1.jpg" in said
