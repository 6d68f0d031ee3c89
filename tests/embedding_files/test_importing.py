"""The import: units, norms, failures, columns, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facever
from facever.embedding_files import arrays
from facever.embeddings.meta import UNDECLARED
from facever.errors import DataError
from tests.embedding_files.written import CAMERAS, PATHS, PEOPLE, VECTORS, D, N, npy, npz

NAMES = [str(one) for one in PEOPLE]


def units(values: np.ndarray) -> np.ndarray:
    """Row by row, in Python."""
    rows = [[float(x) for x in row] for row in values]
    return np.array([[x / sum(y * y for y in row) ** 0.5 for x in row] for row in rows], np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def to(values: np.ndarray, **columns: Any) -> Path:
        if columns:
            return npz(tmp_path / "a.npz", features=values, **columns)
        (tmp_path / "a.npy").write_bytes(npy(values))
        return tmp_path / "a.npy"

    return to


@pytest.mark.parametrize("block", [1, 64, 10**6])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8"])
def test_units_norms_and_columns(
    tmp_path: Path, write: Any, kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_BLOCK", block)
    given = (3 * VECTORS).astype(kind)
    path = write(given, pids=PEOPLE, camids=CAMERAS, paths=np.array(PATHS), age=CAMERAS + 0.5)
    made = facever.import_embeddings(path, tmp_path / "out", space="r50 flip", dataset="small")
    np.testing.assert_allclose(made.vectors, units(given), rtol=3e-7, atol=1e-7)
    lengths = [sum(float(x) ** 2 for x in row) ** 0.5 for row in given]
    np.testing.assert_allclose(made.rows["norm"], lengths, rtol=1e-6)
    assert made.identities.tolist() == NAMES
    assert made.rows["camera"].tolist() == [str(one) for one in CAMERAS]
    assert made.rows["path"].tolist() == PATHS
    assert made.rows["age"].tolist() == [f"{one}.5" for one in CAMERAS]
    assert made.acquired.all()
    assert (made.meta.fingerprint, made.meta.dataset, made.meta.dimension) == (
        "r50 flip",
        "small",
        D,
    )
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_unit_vectors_stay_as_they_are(tmp_path: Path, write: Any) -> None:
    given = units(VECTORS) * np.float32(1 + 1e-6)
    made = facever.import_embeddings(write(given), tmp_path / "out")
    assert made.vectors.tobytes() == given.tobytes()
    assert made.meta.fingerprint == UNDECLARED
    assert made.meta.dataset == "a"
    assert not made.named.any()


def test_queries_and_gallery_are_one_set(tmp_path: Path) -> None:
    path = npz(
        tmp_path / "a.npz",
        qf=VECTORS[:4], q_pids=PEOPLE[:4], q_camids=CAMERAS[:4],
        gf=VECTORS[4:], g_pids=PEOPLE[4:], g_camids=CAMERAS[4:],
    )  # fmt: skip
    made = facever.import_embeddings(path, tmp_path / "out")
    assert made.rows["subset"].tolist() == ["query"] * 4 + ["gallery"] * 8
    assert made.identities.tolist() == NAMES
    np.testing.assert_allclose(made.vectors, units(VECTORS), rtol=3e-7, atol=1e-7)


def test_labels_replace_the_columns_of_the_file(tmp_path: Path, write: Any) -> None:
    rows = "".join(f"{path},Person {one}\n" for path, one in zip(PATHS, PEOPLE, strict=True))
    (tmp_path / "l.csv").write_text("path,identity\n" + rows)
    path = write(VECTORS, labels=PEOPLE, paths=np.array([f"/x/{one[2:]}" for one in PATHS]))
    made = facever.import_embeddings(path, tmp_path / "out", labels=tmp_path / "l.csv")
    assert made.identities.tolist() == [f"Person {one}" for one in PEOPLE]
    assert made.rows["path"].tolist() == PATHS
    assert made.rows["labels"].tolist() == NAMES
    (tmp_path / "l.csv").write_text(
        "path,identity\n" + "\n".join(reversed(rows.splitlines())) + "\n"
    )
    with pytest.raises(DataError, match=r"vector 0 .*a/11\.jpg.* order"):
        facever.import_embeddings(path, tmp_path / "o2", labels=tmp_path / "l.csv")


def test_norms_and_errors_of_a_table(tmp_path: Path, write: Any) -> None:
    given = units(VECTORS)
    given[4] = np.nan
    (tmp_path / "l.csv").write_text(
        "identity,norm,error\n"
        + "".join(
            f"{one},{k + 1}.5,{'no face' if k == 4 else ''}\n" for k, one in enumerate(PEOPLE)
        )
    )
    made = facever.import_embeddings(write(given), tmp_path / "out", labels=tmp_path / "l.csv")
    expected = [0 if k == 4 else k + 1.5 for k in range(N)]
    assert made.rows["norm"].tolist() == expected
    assert np.flatnonzero(~made.acquired).tolist() == [4]
    assert made.rows["error"][4] == "no face"
    assert not made.vectors[4].any()
    (tmp_path / "a.npy").write_bytes(npy(2 * np.where(np.isnan(given), 1, given)))
    with pytest.raises(DataError, match=r"vector 0 has length 2.*'norm' says 1\.5"):
        facever.import_embeddings(tmp_path / "a.npy", tmp_path / "o2", labels=tmp_path / "l.csv")


@pytest.mark.parametrize(("failures", "value"), [("nan", np.nan), ("zero", 0.0)])
def test_failures(tmp_path: Path, write: Any, failures: str, value: float) -> None:
    given = VECTORS.copy()
    given[[0, 7]] = value
    path = write(given, pids=PEOPLE)
    made = facever.import_embeddings(path, tmp_path / "out", failures=failures)
    assert np.flatnonzero(~made.acquired).tolist() == [0, 7]
    assert made.failures == 2
    assert failures in made.rows["error"][7]
    assert made.rows["norm"][7] == 0
    keep = made.acquired
    np.testing.assert_allclose(made.vectors[keep], units(given[keep]), rtol=3e-7, atol=1e-7)
    with pytest.raises(DataError, match=r"a\.npz: vector 0 .*2 such.*--failures " + failures):
        facever.import_embeddings(path, tmp_path / "o2")
    assert not (tmp_path / "o2").exists()


def altered(row: int, column: int, value: float) -> np.ndarray:
    made = VECTORS.astype("<f8")
    made[row, column] = value
    return made


@pytest.mark.parametrize(
    ("given", "options", "parts"),
    [
        (altered(9, 2, np.nan), {"failures": "nan"}, ("vector 9", "NaN")),
        (altered(9, 2, np.inf), {}, ("vector 9", "infinity")),
        (altered(9, 2, 1e200), {}, ("vector 9", "too large")),
        (VECTORS * np.arange(N)[:, None].astype("f4"), {}, ("vector 0", "zero")),
        (VECTORS * np.float64(1e-60), {}, ("vector 0", "zero")),
        (np.full((3, 4), np.nan), {"failures": "nan"}, ("all 3 rows",)),
        (VECTORS.astype("i1"), {}, ("int8 [12, 5]", "astype('float32')")),
        (VECTORS.astype("c8"), {}, ("complex64",)),
        (VECTORS[:0], {}, ("no vectors",)),
        (VECTORS[0], {}, ("array float32 [5]",)),
        (VECTORS, {"failures": "skip"}, ("'skip'", "nan")),
        (VECTORS, {"vectors_in": "both"}, ("'both'", "rows")),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, write: Any, given: np.ndarray, options: Any, parts: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as error:
        facever.import_embeddings(write(given), tmp_path / "out", **options)
    assert all(part in str(error.value) for part in parts), error.value
    assert "\n" not in str(error.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.npy"]


def test_labels_of_another_length(tmp_path: Path, write: Any) -> None:
    (tmp_path / "l.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"l\.txt has 2 rows.*a\.npy.*12 vectors"):
        facever.import_embeddings(write(VECTORS), tmp_path / "out", labels=tmp_path / "l.txt")


def test_an_existing_output(tmp_path: Path, write: Any) -> None:
    path, out = write(VECTORS), tmp_path / "out"
    facever.import_embeddings(path, out)
    before = (out / "vectors.npy").read_bytes()
    path.write_bytes(npy(VECTORS[:, ::-1].copy()))
    with pytest.raises(DataError, match=r"out already contains.*--overwrite"):
        facever.import_embeddings(path, out)
    path.write_bytes(npy(altered(11, 0, np.nan)))
    with pytest.raises(DataError, match="vector 11"):
        facever.import_embeddings(path, out, overwrite=True)
    assert (out / "vectors.npy").read_bytes() == before
    path.write_bytes(npy(VECTORS[:3]))
    assert len(facever.import_embeddings(path, out, overwrite=True)) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(DataError, match="mine exists and is not an embedding set"):
        facever.import_embeddings(path, tmp_path / "mine", overwrite=True)


def test_damage_in_a_later_block_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_BLOCK", 60)
    content = npz(tmp_path / "a.npz", v=VECTORS).read_bytes()
    place = content.index(VECTORS.tobytes()) + VECTORS.nbytes - 2
    (tmp_path / "a.npz").write_bytes(content[:place] + b"\x41" + content[place + 1 :])
    with pytest.raises(DataError, match=r"a\.npz cannot be read.*CRC"):
        facever.import_embeddings(tmp_path / "a.npz", tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["a.npz"]


def test_what_was_read_is_kept(tmp_path: Path, write: Any) -> None:
    path = write(VECTORS, pids=PEOPLE, centre=VECTORS[:2].astype("i4"))
    facever.import_embeddings(path, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "meta.json").read_text())["options"]["imported"]
    assert said == {
        "file": "a.npz",
        "layout": "embeddings-npz",
        "vectors": ["features float32 [12, 5]"],
        "columns": {"identity": "pids"},
        "labels": None,
        "unused": ["centre int32 [2, 5]"],
    }
