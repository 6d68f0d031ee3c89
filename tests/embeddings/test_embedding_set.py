import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facever.core.text import canonical
from facever.embeddings.embedding_set import UNDECLARED, EmbeddingMeta, EmbeddingSet, with_outcome
from facever.errors import DataError


@pytest.fixture
def faces() -> EmbeddingSet:
    """Seven rows of four identities; row 3 failed."""
    vectors = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1)
    vectors /= norms[:, None]
    vectors[3] = norms[3] = 0
    rows = pd.DataFrame(
        {"path": [f"{i}.jpg" for i in range(7)], "identity": list("aabbccd"), "camera": range(7)}
    )
    errors = [None, None, None, "truncated", None, None, None]
    meta = EmbeddingMeta("f" * 64, 4, "dot", "toy", {"size": [8, 8]}, {"flip": True}, root="/x")
    trained_on = pd.DataFrame({"identity": ["e"], "dataset": ["toy"]})
    return EmbeddingSet(vectors, with_outcome(rows, norms, errors), meta, trained_on)


def test_what_is_saved_is_loaded(faces: EmbeddingSet, tmp_path: Path) -> None:
    faces.save(tmp_path / "faces")
    loaded = EmbeddingSet.load(tmp_path / "faces")
    assert isinstance(loaded.vectors, np.memmap)
    assert np.array_equal(loaded.vectors, faces.vectors)
    pd.testing.assert_frame_equal(loaded.rows, faces.rows)
    pd.testing.assert_frame_equal(loaded.trained_on, faces.trained_on)
    assert loaded.meta == faces.meta
    assert loaded.root == "/x"
    assert loaded.acquired.tolist() == [True, True, True, False, True, True, True]
    assert (len(loaded), loaded.failures) == (7, 1)
    assert loaded.identities.tolist() == list("aabbccd")


def test_saving_replaces_an_embedding_set_and_nothing_else(
    faces: EmbeddingSet, tmp_path: Path
) -> None:
    faces.save(tmp_path / "faces")
    faces.select([0]).save(tmp_path / "faces")
    assert len(EmbeddingSet.load(tmp_path / "faces")) == 1
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("years")
    with pytest.raises(DataError, match="exists and is not an embedding set"):
        faces.save(precious)
    assert (precious / "chapter.txt").read_text() == "years"


def test_select_by_mask_and_by_indices(faces: EmbeddingSet) -> None:
    by_mask = faces.select(faces.identities == "b")
    by_index = faces.select([3, 2])
    assert by_mask.rows["path"].tolist() == ["2.jpg", "3.jpg"]
    assert by_index.rows["path"].tolist() == ["3.jpg", "2.jpg"]
    assert np.array_equal(by_index.vectors, faces.vectors[[3, 2]])
    assert len(faces.select([])) == 0
    with pytest.raises(DataError, match="mask"):
        faces.select([True])
    with pytest.raises(DataError, match="row 9 of an embedding set of 7 rows"):
        faces.select([0, 9])


def test_from_arrays_normalises_and_keeps_the_norm() -> None:
    faces = EmbeddingSet.from_arrays([[3, 4], [0, 2]], ["x", 7], camera=[1, 2])
    assert np.allclose(faces.vectors, [[0.6, 0.8], [0, 1]])
    assert faces.rows["norm"].tolist() == [5, 2]
    assert faces.identities.tolist() == ["x", "7"]
    assert faces.rows["camera"].tolist() == [1, 2]
    assert faces.meta.fingerprint == UNDECLARED
    assert EmbeddingSet.from_arrays([[1]], ["x"], fingerprint="m").meta.fingerprint == "m"


@pytest.mark.parametrize(
    ("vectors", "identities", "options", "message"),
    [
        ([[1, np.nan]], ["a"], {}, "vector 0 contains NaN or infinity"),
        ([[1, 0], [0, 0]], ["a", "b"], {}, "vector 1 has zero length"),
        ([1, 0], ["a", "b"], {}, r"must be a matrix \[N, D\], not of shape \(2,\)"),
        ([["x"]], ["a"], {}, "must be a matrix of numbers"),
        ([[1, 0]], ["a", "b"], {}, "column 'identity' has 2 values for 1 vectors"),
        ([[1, 0]], ["a"], {"camera": [1, 2]}, "column 'camera' has 2 values for 1 vectors"),
        ([[1, 0]], ["a"], {"norm": [1]}, "column 'norm' is reserved"),
        ([[2, 0]], ["a"], {"normalize": False}, "vector 0 has length 2, not 1"),
    ],
)
def test_from_arrays_refuses(
    vectors: list[object], identities: list[object], options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        EmbeddingSet.from_arrays(vectors, identities, **options)


def _change_meta(folder: Path, **changes: object) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, **changes}))


def _scale_vectors(folder: Path) -> None:
    np.save(folder / "vectors.npy", 2 * np.load(folder / "vectors.npy"))


def _spoil_a_letter(folder: Path) -> None:
    """Make a text of the rows something that is not UTF-8, under a page that is whole."""
    rows = pd.read_parquet(folder / "rows.parquet")
    rows.loc[2, "identity"] = "needle"
    rows.to_parquet(folder / "rows.parquet", compression=None)
    content = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").write_bytes(content.replace(b"needle", b"needl\xff"))


def _say_a_strange_shape(folder: Path) -> None:
    content = (folder / "vectors.npy").read_bytes()
    (folder / "vectors.npy").write_bytes(content.replace(b"(7, 4)", b"('',4)"))


def _break(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "vectors.npy").unlink(), "not an embedding set: it has no vectors.npy"),
        (lambda f: (f / "meta.json").unlink(), "it has no meta.json"),
        (lambda f: _break(f, "vectors.npy"), "damaged .*create it again"),
        (lambda f: _break(f, "rows.parquet"), "damaged .*create it again"),
        (lambda f: _break(f, "meta.json"), "meta.json is damaged"),
        (lambda f: _change_meta(f, dimension=5), "float32 .7, 4., but its rows"),
        (lambda f: _change_meta(f, dimension=True), "meta.json: its dimension cannot be True"),
        (lambda f: _change_meta(f, fingerprint=None), "meta.json: its fingerprint cannot be None"),
        (lambda f: _change_meta(f, options=[]), r"meta.json: its options cannot be \[\]"),
        (_spoil_a_letter, "is damaged"),
        (_say_a_strange_shape, "is damaged"),
        (lambda f: _change_meta(f, format=99), "format 99, newer than this facever reads"),
        (lambda f: pd.DataFrame({"a": range(7)}).to_parquet(f / "rows.parquet"), "no column"),
        (lambda f: pd.DataFrame({"a": [1]}).to_parquet(f / "rows.parquet"), "is damaged"),
        (_scale_vectors, "is not of unit length"),
        (lambda f: (f / "unfinished.jsonl").touch(), "unfinished extraction"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(
    faces: EmbeddingSet, tmp_path: Path, damage: object, message: str
) -> None:
    faces.save(tmp_path / "faces")
    damage(tmp_path / "faces")  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as refusal:
        EmbeddingSet.load(tmp_path / "faces")
    assert str(tmp_path / "faces") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no embedding set at"):
        EmbeddingSet.load(tmp_path / "nothing")


def test_a_column_that_parquet_cannot_hold_is_refused_and_nothing_is_written(
    faces: EmbeddingSet, tmp_path: Path
) -> None:
    mixed = replace(faces, rows=faces.rows.assign(odd=[1, "a", 2.0, None, b"x", {}, []]))
    with pytest.raises(DataError, match="cannot be written as Parquet"):
        mixed.save(tmp_path / "faces")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_identity_survives(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("names") / "faces"
    EmbeddingSet.from_arrays(np.ones((len(names), 2)), names).save(path)
    read = EmbeddingSet.load(path).rows["identity"]
    assert [None if pd.isna(name) else name for name in read] == [
        canonical(name) or None for name in names
    ]


def test_the_room_knows_nothing_of_torch() -> None:
    script = (
        "import sys, facever.embeddings.embedding_set, facever.embeddings.writer; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_people_are_canonical_wherever_they_come_from(tmp_path: Path) -> None:
    spelled = ["Jose\u0301", "Jos\u00e9 ", 3.0]
    faces = EmbeddingSet.from_arrays(np.eye(3), spelled)
    assert faces.identities.tolist() == ["Jos\u00e9", "Jos\u00e9", "3"]
    old = replace(faces, rows=faces.rows.assign(identity=["Jose\u0301", " p", "p"]))
    assert old.identities.tolist() == ["Jos\u00e9", "p", "p"]
    trained_on = pd.DataFrame({"identity": ["Jose\u0301"], "dataset": ["d"]})
    replace(old, trained_on=trained_on).save(tmp_path / "old")
    loaded = EmbeddingSet.load(tmp_path / "old")
    assert loaded.rows["identity"].tolist() == ["Jos\u00e9", "p", "p"]
    assert loaded.trained_on is not None
    assert loaded.trained_on["identity"].tolist() == ["Jos\u00e9"]


def test_columns_of_numbers_of_existing_sets_stay_numbers(tmp_path: Path) -> None:
    faces = EmbeddingSet.from_arrays(np.eye(2), ["a", "b"], camera=[1, 2], age=[0.5, 1.5])
    faces.save(tmp_path / "faces")
    rows = EmbeddingSet.load(tmp_path / "faces").rows
    assert rows["camera"].tolist() == [1, 2]
    assert rows["camera"].dtype == np.int64
    assert rows["age"].tolist() == [0.5, 1.5]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' + "9" * 30 + "}", '{"format": NaN}'])
def test_meta_that_nobody_wrote_is_one_line(tmp_path: Path, text: str) -> None:
    EmbeddingSet.from_arrays(np.eye(2), ["a", "b"]).save(tmp_path / "faces")
    (tmp_path / "faces" / "meta.json").write_text(text)
    with pytest.raises(DataError, match=r"meta\.json is damaged; create it again"):
        EmbeddingSet.load(tmp_path / "faces")


def test_rows_of_bytes_are_text_or_one_line(tmp_path: Path) -> None:
    faces = EmbeddingSet.from_arrays(np.eye(2), ["a", "b"])
    for path, good in ((b"caf\xc3\xa9.png", True), (b"\xff.png", False)):
        replace(faces, rows=faces.rows.assign(path=[path, None])).save(tmp_path / "faces")
        if good:
            assert EmbeddingSet.load(tmp_path / "faces").rows["path"].iloc[0] == "caf\u00e9.png"
            continue
        with pytest.raises(DataError, match="is damaged"):
            EmbeddingSet.load(tmp_path / "faces")
