"""AgeDB: names of images, and protocols made byte by byte."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from facever.data.pairs import read_pairs
from facever.data.readers import agedb, read
from facever.errors import DataError
from tests.data.readers.trees import tree
from tests.mat_bytes import cell, compressed, mat_file, numbers, structure, text

NAMES = "0_MariaCallas_35_f.jpg", "1_MariaCallas_40_f.jpg", "2_AlbertEinstein_7_m.jpg"


def test_images_hold_person_age_and_gender(tmp_path: Path) -> None:
    manifest = read(tree(tmp_path, *NAMES))
    assert (manifest.layout, manifest.dataset) == ("agedb", "agedb")
    assert manifest.frame.to_dict("list") == {
        "path": list(NAMES),
        "identity": ["MariaCallas", "MariaCallas", "AlbertEinstein"],
        "age": ["35", "40", "7"],
        "gender": ["f", "f", "m"],
    }


def test_images_of_the_protocols(tmp_path: Path) -> None:
    names = "1_MariaCallas_3_A_35.jpg", "1_MariaCallas_4_A_40.jpg"
    for root in (tmp_path, tmp_path / "03_Protocol_Images"):
        tree(tmp_path, *(f"03_Protocol_Images/{name}" for name in names))
        frame = read(root).frame
        assert frame["identity"].tolist() == ["MariaCallas"] * 2
        assert frame["age"].tolist() == ["35", "40"]


def test_other_names(tmp_path: Path) -> None:
    assert not agedb.detect(tree(tmp_path / "x", "face.jpg"))
    assert not agedb.detect(tree(tmp_path / "y", "a/0_MariaCallas_35_f.jpg"))
    with pytest.raises(DataError, match=r"face.jpg is not named like 0_MariaCallas_35_f.jpg"):
        read(tree(tmp_path / "z", *NAMES, "face.jpg"))


def pair(first: str, second: str) -> list[bytes]:
    ages = [float(name.rpartition("_")[2]) for name in (first, second)]
    return [
        structure({"name": text(name), "age": numbers([age])})
        for name, age in zip((first, second), ages, strict=True)
    ]


A, B, C = "1_MariaCallas_3_A_35", "1_MariaCallas_4_A_40", "2_AlbertEinstein_9_A_70"


def protocol(labels: tuple[float, ...] = (1, -1), names: tuple[str, ...] = (A, B, A, C)) -> bytes:
    """Two folds of the same pairs."""
    pairs = [one for a, b in zip(names[::2], names[1::2], strict=True) for one in pair(a, b)]
    fold = structure({"pairs": cell(pairs, shape=(2, len(pairs) // 2)), "annot": numbers(labels)})
    return mat_file(compressed(cell([fold, fold], "splits")))


def test_a_protocol(tmp_path: Path) -> None:
    path = tmp_path / "04_FINAL_protocol_30_years.mat"
    path.write_bytes(protocol())
    pairs = read_pairs(path)
    assert pairs.repeats
    assert pairs.frame.to_dict("list") == {
        "a": [A, A, A, A],
        "b": [B, C, B, C],
        "same": [True, False, True, False],
        "fold": [0, 0, 1, 1],
        "identity_a": ["MariaCallas"] * 4,
        "identity_b": ["MariaCallas", "AlbertEinstein"] * 2,
    }


def test_a_protocol_of_scipy(tmp_path: Path) -> None:
    path = tmp_path / "p.mat"
    pairs = np.empty((2, 2), object)
    for place, name in zip(np.ndindex(2, 2), (A, A, B, C), strict=True):
        pairs[place] = {"name": name, "age": 1}
    splits = np.empty((1, 1), object)
    splits[0, 0] = {"pairs": pairs, "annot": [1, -1]}
    savemat(path, {"splits": splits})
    frame = read_pairs(path).frame
    assert frame["a"].tolist() == [A, A]
    assert frame["b"].tolist() == [B, C]
    assert frame["same"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (protocol(labels=(1,)), "split 1 has 4 images and 1 labels"),
        (protocol(names=("face_1", B, A, C)), "face_1 or .* is not named like"),
        (mat_file(numbers([1], "splits")), "split 1 has no fields pairs and annot"),
        (mat_file(numbers([1], "other")), "no variable 'splits'"),
        (protocol()[:-20], "is not a protocol of AgeDB: it is truncated"),
    ],
)
def test_protocols_that_do_not_fit(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "p.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)
