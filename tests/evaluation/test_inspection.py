"""`facever data inspect` of score files, lists of pairs and arrays, told apart by their content."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.errors import DataError, EvaluationError
from facever.evaluation.inspection import inspect
from facever.evaluation.path_kinds import kind_of
from tests.embedding_files.written import npy, npz
from tests.mat_bytes import cell, mat_file, numbers, structure, text

FIVE = "a m1 a p1 0.9\nb m2 a p1 nan\na m1 b p2 0.1\nb m2 b p2 0.8\na m1 c p3 0.2\n"
FOUR = "a a p1 0.9\nb a p1 0.3\nb c p3 0.2\n"


def found(path: Path, **options: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(json.dumps(inspect(str(path), **options).to_dict()))
    return said


def numbers_of(path: Path, **options: Any) -> tuple[Any, ...]:
    said = found(path, **options)
    names = ("layout", "images", "identities", "genuine", "impostor", "failed")
    return tuple(said[name] for name in names)


TEXTS = {
    FIVE: ("scores-bob5", 5, 3, 2, 3, 1),
    "# made by Bob\n\n" + FOUR: ("scores-bob4", 4, 3, 1, 2, 0),
    "1 0.9\n-1 0.3\n-1 0.1\n": ("scores-bob2", None, None, 1, 2, 0),
    "1 9\n-1 3\n": ("scores-bob2", None, None, 1, 1, 0),
    "2\nAda 1 2\nBo 1 2\nAda 1 Bo 2\nAda 2 Cy 1\n": ("pairs-lfw", 5, 3, 2, 2, None),
    "Ada_0001.jpg 1\nAda_0002.jpg 1\nAda_0001.jpg 0\nBo_0001.jpg 0\n": (
        *("pairs-calfw", 3, 2),
        *(1, 1, None),
    ),
    "x/a.jpg x/b.jpg 1\nx/a.jpg x/c.jpg 0\n": ("pairs-images", 3, None, 1, 1, None),
    "11 12 1\n11 13 0\n12 13 0\n": ("pairs-ijb", 3, None, 1, 2, None),
}


@pytest.mark.parametrize("content", TEXTS)
def test_texts(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.txt").write_text(content)
    assert numbers_of(tmp_path / "list.txt") == TEXTS[content]


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("score,label,identity_a,identity_b\n0.5,genuine,a,a\n0.1,impostor,a,b\n")
    assert numbers_of(path) == ("scores-table", None, 2, 1, 1, 0)
    path.write_text("a,b,same\n1.jpg,2.jpg,1\n1.jpg,3.jpg,0\n")
    assert numbers_of(path) == ("pairs-table", 3, None, 1, 1, None)


def test_a_pair_of_files(tmp_path: Path) -> None:
    (tmp_path / "genuine.txt").write_text("1\n2\nnan\n")
    (tmp_path / "impostor.txt").write_text("0\n0.5\n")
    assert numbers_of(tmp_path) == ("scores-split", None, None, 3, 2, 1)


def test_a_matrix_of_nist(tmp_path: Path) -> None:
    values = np.array([[0.9, 0.1, np.nan], [0.2, 0.8, 0.3]], "<f4")
    magic = b"\x78\x56\x34\x12"
    head = b"S2\nt.xml\nq.xml\nMF 2 3 " + magic + b"\n"
    (tmp_path / "m.mtx").write_bytes(head + values.tobytes())
    assert numbers_of(tmp_path / "m.mtx") == ("scores-bee", 5, None, None, None, 1)
    for name, people in (("t.xml", "abc"), ("q.xml", "ab")):
        rows = "".join(f'<biometric-signature name="{one}"/>' for one in people)
        (tmp_path / name).write_text(f"<biometric-signature-set>{rows}</biometric-signature-set>")
    assert numbers_of(tmp_path / "m.mtx") == ("scores-bee", 5, 3, 2, 4, 1)


def test_arrays_of_numpy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(0).normal(size=(4, 4)).astype("<f4")
    (tmp_path / "a.npy").write_bytes(npy(values))
    assert numbers_of(tmp_path / "a.npy") == ("scores-npy", 8, None, None, None, 0)
    assert "--layout embeddings" in capsys.readouterr().err
    assert found(tmp_path / "a.npy", layout="embeddings")["layout"] == "embeddings-npy"
    (tmp_path / "b.npy").write_bytes(npy(values[:3]))
    assert found(tmp_path / "b.npy")["layout"] == "embeddings-npy"
    assert "--layout scores" in capsys.readouterr().err
    assert found(tmp_path / "b.npy", layout="scores")["images"] == 7
    people = np.array(list("aabc"))
    npz(tmp_path / "s.npz", values=values, rows=people)
    assert numbers_of(tmp_path / "s.npz") == ("scores-npz", 4, 3, 1, 5, 0)
    npz(tmp_path / "t.npz", score=values[0], label=np.array([1, 0, 0, 1]))
    assert numbers_of(tmp_path / "t.npz") == ("scores-npz", None, None, 2, 2, 0)
    npz(tmp_path / "e.npz", features=values, pids=np.arange(4))
    assert found(tmp_path / "e.npz")["identities"] == 4
    npz(tmp_path / "f.npz", x=values, pids=np.arange(4))
    assert found(tmp_path / "f.npz")["layout"] == "embeddings-npz"
    npz(tmp_path / "g.npz", features=values)
    assert found(tmp_path / "g.npz")["layout"] == "embeddings-npz"
    npz(tmp_path / "d.npz", similarity=values[:3])
    assert found(tmp_path / "d.npz")["layout"] == "scores-npz"
    assert capsys.readouterr().err == ""


def test_matlab_files(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(mat_file(numbers(np.ones((3, 4), "<f4"), "feat")))
    with pytest.raises(DataError, match=r"facever embeddings import.*--vectors-in"):
        found(path)
    images = ["1_Ada_3_A_35", "2_Ada_4_A_40", "1_Ada_3_A_35", "3_Bo_5_A_50"]
    each = [structure({"name": text(one), "age": numbers([35])}) for one in images]
    fold = structure({"pairs": cell(each, shape=(2, 2)), "annot": numbers([1, -1])})
    path.write_bytes(mat_file(cell([fold], "splits")))
    assert numbers_of(path) == ("pairs-agedb", 3, 2, 1, 1, None)
    split = tmp_path / "cuhk03_new_protocol_config_labeled.mat"
    split.write_bytes(path.read_bytes())
    assert kind_of(split) == ("images", None)


def test_folders_of_pairs_and_of_images(tmp_path: Path) -> None:
    for name in ("same.txt", "diff.txt"):
        (tmp_path / "FP" / "01").mkdir(parents=True, exist_ok=True)
        (tmp_path / "FP" / "01" / name).write_text("1,2\n")
    assert kind_of(tmp_path / "FP") == ("pairs", None)
    (tmp_path / "set" / "ada").mkdir(parents=True)
    for name in ("positives.txt", "negatives.txt"):
        (tmp_path / "set" / name).write_text("1\n")
    assert kind_of(tmp_path / "set") == ("images", None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "accepted: a data set"),
        (b"\0\1\2" * 50, "Bob's columns"),
        (b"one two three four five six\n", "or pairs"),
        (b"1 0.9\n1 x\n", "line 2"),
        (b"1 0.9\nmaybe 0.3\n", "maybe"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises((DataError, EvaluationError)) as error:
        found(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
