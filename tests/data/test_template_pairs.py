"""IJB's pair lists: read as they are, or refused with the line."""

from pathlib import Path

import numpy as np
import pytest

from facever.data import template_pairs
from facever.data.pairs import read_pairs
from facever.errors import DataError
from tests.ijb_tree import Tree


def told(path: Path) -> list[tuple[str, str, bool]]:
    frame = read_pairs(path).frame
    columns = (frame["a"].tolist(), frame["b"].tolist(), frame["same"].tolist())
    return list(zip(*columns, strict=True))


def by_hand(lines: list[str]) -> list[tuple[str, str, bool]]:
    rows = [line.split() for line in lines]
    return [(a, b, same == "1") for a, b, same in rows]


@pytest.mark.parametrize("name", ["ijbc_template_pair_label.txt", "renamed.txt"])
def test_each_line_is_a_pair_of_templates(tmp_path: Path, name: str) -> None:
    lines = Tree().lists["template_pair_label.txt"]
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines))
    pairs = read_pairs(path)
    assert (pairs.templates, pairs.repeats, len(pairs)) == (True, True, len(lines))
    assert told(path) == by_hand(lines)
    assert pairs.same.tolist() == [same for _, _, same in by_hand(lines)]
    names, a, b = pairs.coded()
    assert [(names[i], names[j]) for i, j in zip(a, b, strict=True)] == [
        (first, second) for first, second, _ in by_hand(lines)
    ]


@pytest.mark.parametrize(
    "text",
    ["1 20 1\n3 20 0", "1 20 1\r\n3 20 0\r\n", "1\t20\t1\n3\t20\t0\n", " 1  20 1 \n\n3 20 0\n"],
)
def test_any_spaces_and_line_ends(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ijbc_template_pair_label.txt"
    path.write_bytes(text.encode())
    assert told(path) == [("1", "20", True), ("3", "20", False)]


def test_blocks_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_pairs, "_BLOCK", 64)
    rng = np.random.default_rng(0)
    lines = [f"{a} {b} {same}" for a, b, same in rng.integers((1, 1, 0), (10**6, 99, 2), (200, 3))]
    path = tmp_path / "ijbb_template_pair_label.txt"
    path.write_text("\n".join(lines))
    assert told(path) == by_hand(lines)


def test_pairs_are_held_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "ijbc_template_pair_label.txt"
    path.write_text("1 20 1\n3 20 0\n" * 10_000)
    assert read_pairs(path).frame.memory_usage(index=False).sum() < 6 * 20_000


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1 20 1\n3 20\n", 2),
        ("1 20 1\n3 20 \n", 2),
        ("1 20 1\n3 20 0 1\n", 2),
        ("1 20 1\n3 20 2\n", 2),
        ("1 20 1\n3 20 -1\n", 2),
        ("1 20 1\n3 -20 1\n", 2),
        ("1 20 1\n3 x 1\n", 2),
        ("1 20 1\n3 2.5 1\n", 2),
        ("1 20 1\n3 20 1\n4 99999999999 1", 3),
        ("1.jpg 20 1\n", 1),
        ("1 20 1\n3 20 0\n1 2", 3),  # truncated
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "ijbc_template_pair_label.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"label\.txt, line {line}: .* two template numbers"):
        read_pairs(path)


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    empty = tmp_path / "ijbc_template_pair_label.txt"
    empty.touch()
    with pytest.raises(DataError, match=r"label\.txt is empty"):
        read_pairs(empty)
    other = tmp_path / "other.txt"
    for text in ("a b c\n", "", "1 2 3 4\n"):
        other.write_text(text)
        with pytest.raises(DataError, match=r"other\.txt is neither .* of LFW .* of IJB"):
            read_pairs(other)
    other.write_text("1\t1\nAda\t1\t2\nAda\t1\tBen\t1\n")
    assert not read_pairs(other).templates
