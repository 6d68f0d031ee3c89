"""Matrices of scores, and their trials listed by a loop."""

import struct

import numpy as np
import pytest


@pytest.fixture
def made():
    """A function (rows, columns, people, seed) -> float32 scores, row and column identities."""

    def make(rows=40, columns=50, people=8, seed=0):
        rng = np.random.default_rng(seed)
        first, second = (rng.integers(people, size=size) for size in (rows, columns))
        values = rng.standard_normal((rows, columns)) + 2 * (first[:, None] == second)
        return values.astype(np.float32), *(
            np.array([f"person {code}" for code in side]) for side in (first, second)
        )

    return make


@pytest.fixture
def bee():
    """A function (matrix, ...) -> the bytes of a BEE matrix, written from the description."""

    def write(values, kind=b"S2", targets=b"t.xml", queries=b"q.xml", order="<", end=b"\n"):
        mask = np.asarray(values).dtype == np.uint8
        lines = [kind, targets, queries]
        magic = struct.pack(f"{order}I", 0x12345678)
        shape = b"%d %d" % np.shape(values)
        lines.append((b"MB " if mask else b"MF ") + shape + b" " + magic)
        cells = b"".join(
            bytes([cell]) if mask else struct.pack(f"{order}f", cell)
            for row in values
            for cell in row
        )
        return end.join(lines) + end + cells

    return write


@pytest.fixture
def listed():
    """A function (values, rows, columns, keep) -> scores and identity pairs, cell by cell."""

    def by_loop(values, rows, columns, keep=lambda i, j: True):
        found = [
            (values[i, j], rows[i], columns[j])
            for i in range(len(rows))
            for j in range(len(columns))
            if keep(i, j)
        ]
        return np.array([one[0] for one in found]), [one[1:] for one in found]

    return by_loop


@pytest.fixture
def alike():
    """A function (result, other, but=()) that asserts that two verifications are equal.

    Thresholds may differ by the rounding of float32, which some files hold.
    """

    def compare(found, right, but=()):
        one, two = found.to_dict(), right.to_dict()
        for name in {*one} - {"worst_impostors", "worst_genuine", "curve", *but}:
            if name != "operating_points":
                assert one[name] == two[name], name
        for first, second in zip(one["operating_points"], two["operating_points"], strict=True):
            assert first.pop("threshold") == pytest.approx(second.pop("threshold"), rel=1e-5)
            assert first == second
        for name in ("fmr", "fnmr"):
            assert np.array_equal(getattr(found.curve, name), getattr(right.curve, name))

    return compare
