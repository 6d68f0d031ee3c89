"""Verification sets of insightface, written as Python 2 and Python 3 write them."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facever.data.decode import ImageError, decode
from facever.data.pairs import read_pairs
from facever.data.readers import read
from facever.errors import DataError


def encoded(value: int) -> bytes:
    pixels = np.random.default_rng(value).integers(0, 256, (12, 12, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


IMAGES = [encoded(i) for i in (0, 1, 2, 3, 1, 4, 5, 5)]
SAME = [True, False, True, True]


def by_python_2(images: list[bytes], same: list[bool]) -> bytes:
    """Protocol 2 byte by byte: a tuple of a list of str and one of bool, as cPickle writes it."""
    made = b"\x80\x02(]("
    for image in images:
        made += b"T" + struct.pack("<i", len(image)) + image
    made += b"e](" + b"".join(b"\x88" if one else b"\x89" for one in same) + b"et."
    return made


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to(content: bytes) -> Path:
        (tmp_path / "set.bin").write_bytes(content)
        return tmp_path / "set.bin"

    return to


WAYS = {
    "python 2": by_python_2(IMAGES, SAME),
    "protocol 4": pickle.dumps((IMAGES, SAME), 4),
    "protocol 5, arrays": pickle.dumps(
        [[np.frombuffer(one, np.uint8) for one in IMAGES], np.array(SAME)], 5
    ),
    "protocol 3, one object twice": pickle.dumps((IMAGES[:6] + [IMAGES[6]] * 2, SAME), 3),
}


@pytest.mark.parametrize("way", WAYS)
def test_images_pairs_and_identities(way: str, write) -> None:
    file = write(WAYS[way])
    manifest = read(file)
    assert manifest.layout == "verification_bin"
    kept = [image for number, image in enumerate(IMAGES) if image not in IMAGES[:number]]
    assert len(manifest) == len(kept) == 6
    for row, image in enumerate(kept):
        expected = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(decode(manifest.locate(row)), expected)
    listed = manifest.frame["identity"].tolist()
    people = [listed[kept.index(image)] for image in IMAGES]
    # 0 = 1 by the first pair, 1 = 4 by their bytes, 4 = 5 by the third; 2 and 3 are two people.
    assert people[0] == people[1] == people[4] == people[5]
    assert people[6] == people[7]
    assert len(set(people)) == 4
    paths = [manifest.frame["path"].iloc[kept.index(image)] for image in IMAGES]
    pairs = read_pairs(file)
    assert pairs.same.tolist() == SAME
    assert (pairs.frame["a"].tolist(), pairs.frame["b"].tolist()) == (paths[::2], paths[1::2])
    assert pairs.frame["identity_b"].tolist() == people[1::2]


def test_ten_folds_in_their_order(write) -> None:
    images = [encoded(i) for i in range(40)]
    pairs = read_pairs(write(pickle.dumps((images, [True, False] * 10))))
    assert pairs.frame["fold"].tolist() == [i // 2 for i in range(20)]


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this runs",)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (pickle.dumps((IMAGES, [_Runs()] * 4)), ("builtins.print", "nothing else")),
        (pickle.dumps(_Runs(), 0), ("print", "nothing else")),
        (b"cos\nsystem\n(S'true'\ntR.", ("os.system", "nothing else")),
        (pickle.dumps((IMAGES, SAME[:3])), ("8 images and 3 labels",)),
        (pickle.dumps((IMAGES, ["yes"] * 4)), ("true or false",)),
        (pickle.dumps(([*IMAGES[:7], "text"], SAME)), ("image 7", "str")),
        (pickle.dumps({"images": IMAGES}), ("a dict",)),
        (pickle.dumps(([], [])), ("0 images",)),
        (pickle.dumps((IMAGES, SAME))[:-40], ("not a verification set",)),
        (b"\x00\x01", ("not a verification set",)),
        (b"", ("not a verification set",)),
    ],
    ids=range(11),
)
def test_what_is_refused_in_one_line(
    content: bytes, parts: tuple[str, ...], write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(content)
    with pytest.raises(DataError) as refused:
        read(file)
    assert str(file) in str(refused.value)
    assert all(part in str(refused.value) for part in parts), refused.value
    assert "this runs" not in capsys.readouterr().out


def test_a_pickle_whose_images_are_texts_says_how_to_write_it(write) -> None:
    with pytest.raises(DataError, match=r"image 0 .*protocol 4"):
        read(write(pickle.dumps((IMAGES, SAME), 2)))


def test_a_set_that_was_replaced_is_refused(write) -> None:
    manifest = read(write(WAYS["protocol 4"]))
    write(pickle.dumps(([encoded(i) for i in range(8)], SAME), 4))
    with pytest.raises(ImageError, match=r"set\.bin"):
        decode(manifest.locate(5))
