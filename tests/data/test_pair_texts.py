"""Pair lists in text: two lines for each pair, and lines of two images and a label."""

from pathlib import Path

import pytest

from facever.data.pairs import PairList, read_pairs
from facever.errors import DataError


def read(tmp_path: Path, text: str) -> PairList:
    (tmp_path / "pairs.txt").write_text(text)
    return read_pairs(tmp_path / "pairs.txt")


def two(label: int, a: str, b: str) -> str:
    return f"{a} {label}\n{b} {label}\n"


def test_two_lines_with_folds_of_genuine_pairs(tmp_path: Path) -> None:
    genuine = "".join(two(k, f"Ann_{k:04d}.jpg", f"Ann_{k + 10:04d}.jpg") for k in (1, 2, 3))
    impostor = "".join(two(0, f"Ann_{k:04d}.jpg", f"Bo_Lee_{k:04d}.jpg") for k in range(6))
    pairs = read(tmp_path, genuine + impostor)
    assert pairs.repeats
    assert pairs.same.tolist() == [True] * 3 + [False] * 6
    assert pairs.frame["fold"].tolist() == [0, 1, 2, 0, 0, 1, 1, 2, 2]
    assert pairs.frame.iloc[3].tolist()[:2] == ["Ann_0000.jpg", "Bo_Lee_0000.jpg"]
    assert pairs.frame["identity_a"].unique().tolist() == ["Ann"]
    assert pairs.frame["identity_b"].tolist() == ["Ann"] * 3 + ["Bo_Lee"] * 6


@pytest.mark.parametrize("mixed", [True, False])
def test_two_lines_of_ones_and_zeros_are_ten_folds(tmp_path: Path, mixed: bool) -> None:
    genuine = [two(1, f"A_{k}.jpg", f"A_{k + 100}.jpg") for k in range(20)]
    impostor = [two(0, f"A_{k}.jpg", f"B_{k}.jpg") for k in range(20)]
    blocks = [genuine, impostor]
    if mixed:  # as in LFW: 2 genuine and 2 impostor pairs, ten times
        blocks = [part[k : k + 2] for k in range(0, 20, 2) for part in (genuine, impostor)]
    frame = read(tmp_path, "".join("".join(block) for block in blocks)).frame
    for same in (True, False):
        part = frame[frame["same"] == same]
        assert part["fold"].tolist() == [k // 2 for k in range(20)]


def test_counts_without_folds(tmp_path: Path) -> None:
    frame = read(tmp_path, two(1, "A_1.jpg", "A_2.jpg") + two(0, "A_1.jpg", "B_1.jpg")).frame
    assert "fold" not in frame
    assert "identity_a" not in read(tmp_path, two(1, "x.jpg", "y.jpg")).frame


def test_two_images_and_a_label(tmp_path: Path) -> None:
    a, b, c = "0_MariaCallas_35_f.jpg", "1_MariaCallas_70_f.jpg", "2_AlbertEinstein_7_m.jpg"
    lines = [f"{a} {b} 1"] * 20 + [f"{a} {c} 0"] * 10
    frame = read(tmp_path, "\n".join(lines)).frame
    assert frame["fold"].tolist() == [k // 2 for k in range(20)] + list(range(10))
    assert frame["same"].tolist() == [True] * 20 + [False] * 10
    assert frame["identity_b"].tolist() == ["MariaCallas"] * 20 + ["AlbertEinstein"] * 10
    frame = read(tmp_path, "a/1.jpg\tb/2.jpg\t-1\n").frame
    assert frame.to_dict("list") == {"a": ["a/1.jpg"], "b": ["b/2.jpg"], "same": [False]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A_1.jpg 1\nA_2.jpg 1\nB_1.jpg 0\n", "has 3 lines: a pair is two lines"),
        ("A_1.jpg 1\nA_2.jpg 0\n", "other labels: 'A_1.jpg 1', 'A_2.jpg 0'"),
        ("A_1.jpg 1\nA_2.jpg\n", "expected '<image> <label>', found 'A_2.jpg'"),
        (
            two(1, "A_1.jpg", "A_2.jpg")
            + two(2, "B_1.jpg", "B_2.jpg")
            + two(0, "A_1.jpg", "B_1.jpg"),
            "2 folds of genuine pairs and 1 impostor pairs",
        ),
        (
            "a.jpg b.jpg 1\na.jpg b.jpg\n",
            "expected '<image> <image> <label>' .*found 'a.jpg b.jpg'",
        ),
        ("a.jpg b.jpg 1\na.jpg b.jpg 2\n", "with the label 1, 0 or -1, found 'a.jpg b.jpg 2'"),
        (
            "a.jpg b.jpg\n",
            "neither a .csv or .parquet table nor .*CALFW.* first line is 'a.jpg b.jpg'",
        ),
        ("a b c d e\n", "first line is 'a b c d e'"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "pairs.txt") in str(caught.value)
