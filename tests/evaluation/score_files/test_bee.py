"""NIST (BEE) matrices, written byte by byte from the public description."""

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import scores

FAR = [0.1, 0.02]
SIGSET = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<biometric-signature-set xmlns="http://www.bee-biometrics.org/schemas/sigset/0.1">\n{}'
    "</biometric-signature-set>\n"
)
ONE = '<biometric-signature name="{}">{}</biometric-signature>\n'
IMAGE = '<presentation name="n" modality="face" file-name="x.jpg" file-format="jpeg"/>'


def sigset(people):
    return SIGSET.format("".join(ONE.format(person, IMAGE) for person in people))


@pytest.mark.parametrize(("order", "end"), [("<", b"\n"), (">", b"\n"), ("<", b"\r\n")])
def test_similarities_with_sigsets_beside_them(made, bee, listed, alike, tmp_path, order, end):
    values, rows, columns = made()
    (tmp_path / "s.mtx").write_bytes(bee(values, order=order, end=end))
    (tmp_path / "q.xml").write_text(sigset(rows))
    (tmp_path / "t.xml").write_text(sigset(columns))
    found = scores(tmp_path / "s.mtx", far=FAR)
    one, pairs = listed(values, rows, columns)
    by_loop = scores(one, identities=pairs, far=FAR)
    alike(found, by_loop)
    row, column, worst = found.worst_impostors[0]
    assert values[row, column] == worst
    assert rows[row] != columns[column]


def test_distances_say_so_themselves(made, bee, alike, tmp_path):
    values, rows, columns = made()
    (tmp_path / "s.mtx").write_bytes(bee(values))
    (tmp_path / "d.mtx").write_bytes(bee(-values, kind=b"D2"))
    (tmp_path / "w.mtx").write_bytes(bee(-values))
    sides = {"rows": rows, "columns": columns, "far": FAR}
    right = scores(tmp_path / "s.mtx", **sides)
    for found in (
        scores(tmp_path / "d.mtx", **sides),
        scores(tmp_path / "w.mtx", **sides, distances=True),
    ):
        assert found.distances
        alike(found, right, but=["distances"])


def test_a_mask_says_which_cells_are_trials(made, bee, listed, alike, tmp_path):
    values, rows, columns = made()
    rng = np.random.default_rng(1)
    same = rows[:, None] == columns[None, :]
    mask = np.where(rng.random(values.shape) < 0.6, np.where(same, 0xFF, 0x7F), 0).astype(np.uint8)
    values[mask == 0] = np.nan  # what is not compared does not matter
    (tmp_path / "s.mtx").write_bytes(bee(values))
    (tmp_path / "m.mtx").write_bytes(bee(mask, kind=b"M2"))
    np.save(tmp_path / "m.npy", mask)
    made_list, pairs = listed(values, rows, columns, lambda i, j: mask[i, j] != 0)
    by_loop = scores(made_list, identities=pairs, far=FAR)
    for given in (tmp_path / "m.mtx", tmp_path / "m.npy", mask):
        found = scores(tmp_path / "s.mtx", rows=rows, columns=columns, mask=given, far=FAR)
        alike(found, by_loop)
    alone = scores(tmp_path / "s.mtx", mask=mask, far=FAR)
    assert alone.trials == by_loop.trials
    assert alone.auc == by_loop.auc
    assert alone.at(0.02).false_accepts == by_loop.at(0.02).false_accepts
    assert alone.at(0.02).interval.method == "clopper-pearson"
    assert "--rows, --columns" in alone.warnings[0]


def test_one_sigset_on_both_sides_is_one_set_of_images(made, bee, listed, alike, tmp_path):
    values, rows, _ = made(30, 30)
    values = (values + values.T) / 2
    (tmp_path / "s.mtx").write_bytes(bee(values, targets=b"dir/all.xml", queries=b"dir/all.xml"))
    (tmp_path / "all.xml").write_text(sigset(rows))
    one, pairs = listed(values, rows, rows, lambda i, j: i < j)
    found = scores(tmp_path / "s.mtx", far=FAR)
    alike(found, scores(one, identities=pairs, far=FAR))
    values[3, 7] += 1
    (tmp_path / "s.mtx").write_bytes(bee(values, targets=b"all.xml", queries=b"all.xml"))
    assert "is not symmetric" in scores(tmp_path / "s.mtx", far=FAR).warnings[0]


def test_signatures_of_several_presentations(made, bee, alike, tmp_path):
    values, rows, columns = made(6, 4, people=2)
    (tmp_path / "s.mtx").write_bytes(bee(values))
    several = [ONE.format(rows[0], 2 * IMAGE), *(ONE.format(p, IMAGE) for p in rows[2:])]
    (tmp_path / "t.xml").write_text(sigset(columns))
    rows[1] = rows[0]
    (tmp_path / "q.xml").write_text(SIGSET.format("".join(several)))
    of_images = scores(tmp_path / "s.mtx", far=[0.5])
    alike(of_images, scores(values, rows=rows, columns=columns, far=[0.5]))
    of_people = SIGSET.format("".join(ONE.format(person, 3 * IMAGE) for person in rows))
    (tmp_path / "q.xml").write_text(of_people)
    alike(scores(tmp_path / "s.mtx", far=[0.5]), of_images)


def test_damaged_files_are_one_line(made, bee, tmp_path):
    values, rows, columns = made(6, 4, people=2)
    whole, path = bee(values), tmp_path / "s.mtx"
    mask = np.where(rows[:, None] == columns, 0xFF, 0x7F).astype(np.uint8)
    turned = np.where(mask == 0xFF, 0x7F, 0xFF).astype(np.uint8)
    sides = {"rows": rows, "columns": columns}
    cases = [
        (whole[:-1], sides, "declares 6 rows and 4 columns, 96 bytes, but holds 95: it is trunc"),
        (whole + b"\0", sides, "96 bytes, but holds 97"),
        (whole.replace(b"MF 6 4", b"MF 99999999999 99999999999"), sides, "is truncated"),
        (whole.replace(b"MF 6 4", b"MF 0 4"), sides, "is empty: 0 rows"),
        (whole.replace(b"MF 6 4", b"MF -6 4"), sides, "its header is damaged"),
        (whole.replace(b"MF", b"MI"), sides, "type 'MI'"),
        (whole.replace(b"\x78\x56\x34\x12", b"\x78\x56\x34\x13"), sides, "0x78563413"),
        (b"S2\nt.xml\n", sides, "its header is damaged"),
        (bee(mask, kind=b"M2"), sides, "is a mask: give the file of the scores"),
        (whole, {}, r"without identities: give .*--rows"),
        (whole, {"rows": rows}, r"give the identities of the columns too \(--columns"),
        (whole, {"columns": columns}, "without those of rows"),
        (whole, {**sides, "rows": rows[1:]}, "5 identities for the 6 rows"),
        (whole, {**sides, "mask": mask.T}, r"shape \(4, 6\)"),
        (whole, {**sides, "mask": mask + np.uint8(1)}, "has the value 0x00|has the value 0x80"),
        (whole, {**sides, "mask": turned}, r"mask contradicts the identities in row 0, column 0"),
        (whole, {**sides, "mask": np.full_like(mask, 0x7F)}, "mask contradicts the identities"),
        (whole, {**sides, "mask": np.full_like(mask, 0xFF)}, "mask contradicts the identities"),
        (whole, {**sides, "mask": tmp_path / "none"}, "no mask at"),
    ]
    for data, options, message in cases:
        path.write_bytes(data)
        with pytest.raises(EvaluationError, match=message) as raised:
            scores(path, **options)
        assert "\n" not in str(raised.value)
    path.write_bytes(whole)
    with pytest.raises(EvaluationError, match="is not a mask"):
        scores(path, **sides, mask=path)


def test_sigsets_that_do_not_fit(made, bee, tmp_path):
    values, rows, columns = made(6, 4, people=2)
    (tmp_path / "s.mtx").write_bytes(bee(values))
    (tmp_path / "t.xml").write_text(sigset(columns))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + sigset(rows)
    for text, message in (
        (sigset(rows[1:]), "5 signatures with 5 presentations, but .* has 6"),
        ("<biometric-signature-set>", "is not a BEE sigset"),
        ("<html></html>", "begins with <html>"),
        (bomb, "DTD or entities is refused"),
        (sigset(["", *rows[1:]]), "identity 1 is missing"),
    ):
        (tmp_path / "q.xml").write_text(text)
        with pytest.raises(EvaluationError, match=message):
            scores(tmp_path / "s.mtx")
