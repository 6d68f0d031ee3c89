"""Bob's columns: bytes written by hand, rates counted by a loop."""

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import scores

FIVE = b"""# made by hand
ada m1 ada p1 0.9
ada m1 ben p2 0.2
ben m2 ada p1 -0.1

ben\tm2  ben p2\t7e-1
ada m3 ada p1 0.3
cy  m4 ada p1 0.4
"""
GENUINE, IMPOSTOR = [0.9, 0.7, 0.3], [0.2, -0.1, 0.4]


@pytest.fixture
def write(tmp_path):
    """A function (bytes, name) -> the path of a file with them."""

    def made(data, name="scores.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return made


def test_five_columns_name_the_people(write):
    found = scores(write(FIVE), far=[0.4])
    assert (found.trials.genuine, found.trials.impostor) == (3, 3)
    wins = [(g > i) for g in GENUINE for i in IMPOSTOR]
    assert found.auc.value == pytest.approx(np.mean(wins))
    point = found.at(0.4)
    assert point.false_accepts == sum(score > point.threshold for score in IMPOSTOR) == 1
    assert point.true_accepts == sum(score > point.threshold for score in GENUINE)
    assert found.warnings == []
    assert point.far_interval.method.startswith(("dyadic", "clopper-pearson, effective"))


def test_four_columns_and_windows_line_ends(write):
    lines = [line.split() for line in FIVE.splitlines() if line and not line.startswith(b"#")]
    four = b"".join(b" ".join([a, b, c, d]) + b"\r\n" for a, _, b, c, d in lines)
    for data in (four, b"\xef\xbb\xbf" + four, four.rstrip()):
        found = scores(write(data), far=[0.4])
        assert found.to_dict() == scores(write(FIVE), far=[0.4]).to_dict()


def test_two_columns_have_labels_and_no_people(write):
    rows = [(1, s) for s in GENUINE] + [(-1, s) for s in IMPOSTOR]
    found = scores(write("".join(f"{label} {s}\n" for label, s in rows).encode()), far=[0.4])
    assert found.auc.value == scores(write(FIVE), far=[0.4]).auc.value
    assert "names no identities" in found.warnings[0]


def test_identities_are_compared_in_composed_form(write):
    data = "Jose\u0301 m José p1 0.9\nJosé m ben p2 0.1\n".encode()
    assert scores(write(data), far=[0.5]).trials.genuine == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"# nothing\n\n", "is empty"),
        (b"a m a p 0.9\na m b 0.1\n", r"line 2: 4 columns, but the first line has 5"),
        (b"a m a p 0.9\n#\na m b p x 0.1\n", r"line 3: 6 columns"),
        (b"a m a p 0.9\na m b p high\n", r"line 2: the score 'high' is not a number"),
        (b"0.9\n0.8\n", r"lines of 1 column .*accepted: CSV"),
        (b"a b 0.9\n", r"lines of 3 columns \(a b 0\.9\); accepted: "),
        (b"a m a p 0.9\na m \xff p 0.1\n", "line 2 is not UTF-8"),
        (b"\x00\x01\x02\x03\n", "neither text nor a known binary format"),
        (b"a m a p 0.9\nb m b q 0.8\n", "no impostor trials"),
        (b"a m b p 0.9\n", "no genuine trials"),
        (b"a m a p inf\na m b q 0.1\n", "scores are not finite"),
        (b"2 0.9\n1 0.3\n", "'label' is '2'"),
        (b"1 0.9\n0 0.3\n-1 0.2\n", "'label' is 0 and -1"),
    ],
)
def test_a_bad_file_is_one_line_with_its_path(write, data, message):
    with pytest.raises(EvaluationError, match=message) as raised:
        scores(write(data))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith((str(write(data)), "no "))
