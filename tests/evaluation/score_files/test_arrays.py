"""NumPy's matrices with identities, and damaged headers."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from facever.errors import DataError, EvaluationError
from facever.evaluate import scores

FAR = [0.1, 0.02]


def header(shape, kind="<f4"):
    """The bytes of an npy header, version 1.0, from the description of the format."""
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.fixture
def labels(tmp_path):
    """A function (name, identities) -> the path of a file with them."""

    def write(name, people):
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, people)
        elif path.suffix in (".csv", ".parquet"):
            frame = pd.DataFrame({"path": [f"{k}.jpg" for k in range(len(people))]})
            frame["identity"] = people
            frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        else:
            path.write_text("".join(f"{person}\n" for person in people))
        return path

    return write


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "<i2", "<i4"])
@pytest.mark.parametrize("suffix", [".npy", ".txt", ".csv", ".parquet"])
def test_matrices_of_any_real_type(made, listed, alike, labels, tmp_path, kind, suffix):
    values, rows, columns = made()
    values = (values * 1000 if "i" in kind else values).astype(kind)
    (tmp_path / "s.npy").write_bytes(header(values.shape, kind) + values.tobytes())
    one, pairs = listed(values, rows, columns)
    sides = {"rows": labels(f"r{suffix}", rows), "columns": labels(f"c{suffix}", columns)}
    found = scores(tmp_path / "s.npy", **sides, far=FAR)
    assert found.warnings == []
    kept = np.float64 if kind in ("<f8", "<i4") else np.float32
    alike(found, scores(one.astype(kept), identities=pairs, far=FAR))


def test_numbers_name_people_too(made, alike, tmp_path):
    values, rows, columns = made()
    codes = [np.array([int(name.split()[1]) for name in side]) for side in (rows, columns)]
    np.save(tmp_path / "r.npy", codes[0])
    by_name = scores(values, rows=rows, columns=columns, far=FAR)
    found = scores(values, rows=tmp_path / "r.npy", columns=codes[1].astype(float), far=FAR)
    alike(found, by_name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_file_with_matrix_and_identities(made, alike, tmp_path, save):
    values, rows, columns = made()
    save(tmp_path / "s.npz", scores=values, rows=rows, columns=columns)
    found = scores(tmp_path / "s.npz", far=FAR)
    alike(found, scores(values, rows=rows, columns=columns, far=FAR))
    save(tmp_path / "s.npz", scores=values, rows=rows, columns=columns, other=rows)
    with pytest.raises(EvaluationError, match="matrix 'scores' and 'other'"):
        scores(tmp_path / "s.npz")
    save(tmp_path / "s.npz", scores=values, rows=rows)
    with pytest.raises(EvaluationError, match="give the identities of the columns too"):
        scores(tmp_path / "s.npz")
    save(tmp_path / "s.npz", scores=values, rows=rows, columns=columns[1:])
    with pytest.raises(EvaluationError, match="49 identities for the 50 columns"):
        scores(tmp_path / "s.npz")


def test_a_square_matrix_of_one_set(made, listed, alike):
    values, rows, _ = made(30, 30)
    values = (values + values.T) / 2
    values[np.diag_indices(30)] = np.nan  # nobody is compared with himself
    one, pairs = listed(values, rows, rows, lambda i, j: i < j)
    right = scores(one, identities=pairs, far=FAR)
    found = scores(values, rows=rows, far=FAR)
    alike(found, right)
    assert found.warnings == []
    twice = scores(values, rows=rows, columns=rows, far=FAR)
    assert "taken as the same images" in twice.warnings[0]
    alike(twice, right, but=["warnings"])
    other = values + np.triu(np.ones((30, 30), np.float32), 1)
    other[np.diag_indices(30)] = 0
    apart = scores(other, rows=rows, columns=rows, far=FAR)
    assert apart.trials.genuine + apart.trials.impostor == 900
    assert "is not symmetric" in scores(other, rows=rows, far=FAR).warnings[0]


def test_damaged_arrays_are_one_line(made, labels, tmp_path):
    values, rows, columns = made(6, 4, people=2)
    path, raw = tmp_path / "s.npy", values.tobytes()
    objects = io.BytesIO()
    np.save(objects, np.array([{}, 1], object), allow_pickle=True)
    cases = [
        (header((6, 4)) + raw[:-1], "96 bytes, but holds 95: it is truncated"),
        (header((10**9, 10**9)) + raw, "is truncated or damaged"),
        (header((6, 4), "<c8") + 2 * raw, "must be a matrix of real numbers"),
        (header((6, 4), "|S4") + raw, "must be a matrix of real numbers"),
        (header((24,)) + raw, r"shape \(24,\)"),
        (header((0, 4)), "is empty"),
        (b"\x93NUMPY\x09\x00" + raw, "version"),
        (b"\x93NUMPY\x01\x00\x05\x00ab", "is not a .npy file"),
        (header((6, 4)).replace(b"(6, 4)", b"(6ape:") + raw, "is not a .npy file"),
        (objects.getvalue(), "holds Python objects"),
    ]
    for data, message in cases:
        path.write_bytes(data)
        with pytest.raises(EvaluationError, match=message) as raised:
            scores(path, rows=rows, columns=columns)
        assert str(path) in str(raised.value)
    path.write_bytes(header((6, 4)) + raw)
    sides = {"rows": rows, "columns": columns}
    bad = labels("bad.txt", ["a", "", *rows[2:]])
    binary = labels("r.npy", rows)
    binary.write_bytes(objects.getvalue())
    for options, message in (
        ({}, r"without identities: give those .*--rows"),
        ({**sides, "rows": bad}, r"bad\.txt: identity 2 is missing"),
        ({**sides, "rows": binary}, r"r\.npy holds Python objects"),
        ({**sides, "rows": tmp_path / "none.txt"}, r"no identities at .*none\.txt; accepted"),
        ({**sides, "columns": np.zeros((2, 2))}, r"identities of columns are of shape \(2, 2\)"),
        ({**sides, "labels": rows}, "omit labels"),
    ):
        with pytest.raises(EvaluationError, match=message):
            scores(path, **options)
    with pytest.raises(DataError, match="no column 'identity'"):
        wrong = tmp_path / "wrong.csv"
        wrong.write_text("name\na\n")
        scores(path, **sides | {"rows": wrong})
    with pytest.raises(EvaluationError, match=r"infinite|must be finite"):
        scores(np.where(values > 1, np.inf, values), **sides)


def test_a_zip_that_declares_more_than_it_has(made, tmp_path):
    values, rows, columns = made(6, 4, people=2)
    path = tmp_path / "s.npz"
    for shape, message in (((10**8, 10**6), "is truncated or damaged"), ((6, 5), "truncated")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("scores.npy", header(shape) + values.tobytes())
        with pytest.raises(EvaluationError, match=message):
            scores(path, rows=rows, columns=columns)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(EvaluationError, match="is not an npz"):
        scores(path)
    start = whole.rindex(b"PK\x01\x02") + 42  # where the only member lies
    path.write_bytes(whole[:start] + b"\xff" * 4 + whole[start + 4 :])
    with pytest.raises(EvaluationError, match="is not an npz"):
        scores(path)


def test_a_list_of_trials_takes_no_sides(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("score,label\n0.9,genuine\n0.1,impostor\n")
    assert scores(path, far=[0.5]).auc.value == 1
    with pytest.raises(EvaluationError, match="is a list of trials, not a matrix: omit rows"):
        scores(path, rows=["a", "b"])
    with pytest.raises(EvaluationError, match="omit them"):
        scores([0.1, 0.9], [0, 1], mask=[0, 1])
