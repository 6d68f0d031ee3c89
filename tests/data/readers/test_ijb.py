"""IJB-B and IJB-C, in folders made from their description."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facever.data.acquisition import landmarks_of
from facever.data.readers import read
from facever.errors import DataError
from tests.ijb_tree import GALLERIES, Tree


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tree, Path]:
    tree = Tree()
    return tree, tree.write(tmp_path_factory.mktemp("ijb") / "IJBC")


@pytest.fixture
def edit(made: tuple[Tree, Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a copy of the folder with one list changed: a function of its lines."""

    def change(name: str, how: Callable[[list[str]], list[str]]) -> Path:
        root = tmp_path / "IJBC"
        shutil.copytree(made[1], root)
        path = root / "meta" / f"ijbc_{name}"
        path.write_text("".join(f"{line}\n" for line in how(path.read_text().splitlines())))
        return root

    return change


@pytest.mark.parametrize("prefix", GALLERIES)
def test_every_line_is_a_row(tmp_path: Path, prefix: str) -> None:
    tree = Tree(prefix)
    manifest = read(tree.write(tmp_path / "anything"))
    frame = manifest.frame
    assert (manifest.layout, manifest.dataset) == ("ijb", prefix)
    assert frame["path"].tolist() == [f"loose_crop/{image}" for image in tree.images]
    assert all(Path(manifest.locate(row)).is_file() for row in range(len(frame)))
    assert frame["template"].tolist() == [str(t) for t in tree.template_of]
    assert frame["media"].tolist() == [str(m) for m in tree.media_of]
    assert frame["identity"].tolist() == [str(tree.subject[t]) for t in tree.template_of]
    assert frame["subset"].tolist() == [tree.subset[t] for t in tree.template_of]
    assert set(frame["subset"]) == {*GALLERIES[prefix], "probe"}
    assert frame["detection_score"].tolist() == tree.scores
    given = np.array([landmarks_of(cell) for cell in frame["landmarks"]])
    assert given == pytest.approx(np.array(tree.points).reshape(-1, 5, 2))


def test_lines_may_be_in_any_order(edit: Callable[..., Path]) -> None:
    root = edit("name_5pts_score.txt", lambda lines: lines[::-1])
    frame = read(root).frame
    expected = Tree()
    assert frame["detection_score"].tolist() == expected.scores
    given = np.array([landmarks_of(cell) for cell in frame["landmarks"]])
    assert given == pytest.approx(np.array(expected.points).reshape(-1, 5, 2))


def test_without_lists_of_subjects_nobody_is_named(made: tuple[Tree, Path], tmp_path: Path) -> None:
    root = tmp_path / "IJBC"
    shutil.copytree(made[1], root, ignore=shutil.ignore_patterns("*1N*"))
    frame = read(root).frame
    assert frame["identity"].isna().all()
    assert "subset" not in frame
    (root / "meta" / "ijbc_1N_gallery_G1.csv").write_text("TEMPLATE_ID,SUBJECT_ID\n5,1\n")
    frame = read(root).frame
    assert set(frame["template"][frame["identity"].notna()]) == {"5"}
    assert set(frame["subset"].dropna()) == {"G1"}


def without(number: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: lines[:number] + lines[number + 1 :]


def changed(number: int, line: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:number], line, *lines[number + 1 :]]


def longer(line: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines, line]


POINTS = "1 2 3 4 5 6 7 8 9 10"


@pytest.mark.parametrize(
    ("name", "how", "text"),
    [
        ("face_tid_mid.txt", longer("1.jpg 5"), r"face_tid_mid\.txt, line \d+: 2 fields"),
        ("face_tid_mid.txt", changed(2, "3.jpg 5 6 7"), r"tid_mid\.txt, line 3: 4 fields"),
        ("face_tid_mid.txt", changed(1, "2.jpg five 6"), r"tid_mid\.txt, line 2: template 'five'"),
        ("face_tid_mid.txt", lambda lines: [lines[0], *lines], r"image 1\.jpg is twice in .* 5 "),
        ("face_tid_mid.txt", lambda _: [], r"face_tid_mid\.txt is empty"),
        ("face_tid_mid.txt", longer("99999.jpg 5 6"), r"1 images .* not in .*loose_crop: 99999"),
        ("face_tid_mid.txt", longer("../IJBC 5 6"), r"1 images .* not in .*loose_crop: \.\."),
        ("name_5pts_score.txt", without(3), r"name_5pts_score\.txt has no landmarks of 1 .*4\.jpg"),
        ("name_5pts_score.txt", changed(1, f"2.jpg {POINTS}"), r"score\.txt, line 2: 11 fields"),
        ("name_5pts_score.txt", changed(1, f"2.jpg {POINTS} x"), r"line 2: .* must be numbers"),
        ("name_5pts_score.txt", changed(1, f"2.jpg {POINTS} nan"), r"line 2: .* must be numbers"),
        ("name_5pts_score.txt", lambda lines: [lines[0], *lines], r"two lines of 1\.jpg"),
        ("1N_gallery_G1.csv", longer("99,7,a,1,2,3,4,5"), r"G1\.csv names 1 templates .*: 99"),
        ("1N_gallery_G1.csv", longer("5,8,a,1,2,3,4,5"), r"template 5 has two subjects, 100 and 8"),
        ("1N_gallery_G2.csv", longer("5,100,a,1,2,3,4,5"), r"template 5 is in the .* G1 and G2"),
        ("1N_probe_mixed.csv", longer("5,100,a,1,2,3,4,5"), r"template 5 is in .* G1 and probe"),
        ("1N_gallery_G1.csv", longer("5,100,a,1"), r"G1\.csv, line \d+: 4 fields; the header has"),
        ("1N_gallery_G1.csv", longer("x,100,a,1,2,3,4,5"), r"TEMPLATE_ID is 'x'"),
        ("1N_gallery_G1.csv", changed(0, "A,B,C,D,E,F,G,H"), r"no column 'TEMPLATE_ID'"),
    ],
)
def test_wrong_lists_are_one_line(
    edit: Callable[..., Path], name: str, how: Callable[[list[str]], list[str]], text: str
) -> None:
    root = edit(name, how)
    with pytest.raises(DataError, match=text) as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_missing_files_are_one_line(made: tuple[Tree, Path], tmp_path: Path) -> None:
    root = tmp_path / "IJBC"
    shutil.copytree(made[1], root)
    (root / "loose_crop" / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"names 1 images .*loose_crop: 3\.jpg"):
        read(root)
    shutil.rmtree(root / "loose_crop")
    with pytest.raises(DataError, match=r"no folder .*loose_crop"):
        read(root)
    (root / "meta" / "ijbc_name_5pts_score.txt").unlink()
    with pytest.raises(DataError, match=r"no list .*ijbc_name_5pts_score\.txt"):
        read(root)
    shutil.copy(root / "meta" / "ijbc_face_tid_mid.txt", root / "meta" / "ijbb_face_tid_mid.txt")
    with pytest.raises(DataError, match="IJB-B and IJB-C"):
        read(root)
    with pytest.raises(DataError, match=r"no list of templates .*ijbb_face_tid_mid"):
        read(tmp_path, "ijb")
