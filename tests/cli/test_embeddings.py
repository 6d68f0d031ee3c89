"""`facever embeddings import` and `facever data inspect` on files of other tools."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from facever import EmbeddingSet, Manifest, load_model
from tests.embedding_files.written import (
    npy,
    npz,
    pickled,
    pickled_array,
    pickled_dict,
    pickled_list,
    pickled_text,
    torch_dict,
    torch_file,
    torch_tensor,
)
from tests.mat_bytes import cell, mat_file, numbers, text

PEOPLE, EACH = 12, 5


@pytest.fixture(scope="module")
def faces(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, EmbeddingSet]:
    """Real faces, embedded by facever: the folder, and what is in it."""
    request.getfixturevalue("real_models")
    rows = [
        (f"s{person}/{k}.pgm", f"s{person}") for person in range(1, PEOPLE + 1) for k in range(1, 6)
    ]
    frame = pd.DataFrame(rows, columns=["path", "identity"])
    frame["camera"] = np.arange(len(frame)) % 3
    frame["subset"] = np.where(np.arange(len(frame)) % EACH == 0, "query", "gallery")
    out = tmp_path_factory.mktemp("faces") / "by-facever"
    manifest = Manifest.from_frame(frame, real_data / "orl", "orl")
    made = load_model("sface").extract(manifest, out, photos=None)
    return out, made


def of_list(values: list[str]) -> bytes:
    return pickled_list([pickled_text(one) for one in values])


def columns_of(made: EmbeddingSet) -> dict[str, list[str]]:
    return {name: made.rows[name].astype(str).tolist() for name in COLUMNS}


COLUMNS = {"identity": "pids", "camera": "camids", "path": "paths", "subset": "split"}


def as_npy(folder: Path, made: EmbeddingSet) -> list[Any]:
    (folder / "v.npy").write_bytes(npy(np.array(made.vectors)))
    pd.DataFrame(columns_of(made)).rename(columns=COLUMNS).to_csv(folder / "l.csv", index=False)
    return [folder / "v.npy", "--labels", folder / "l.csv"]


def as_npz(folder: Path, made: EmbeddingSet) -> list[Any]:
    columns = {COLUMNS[name]: np.array(values) for name, values in columns_of(made).items()}
    return [npz(folder / "v.npz", True, embeddings=np.array(made.vectors), **columns)]


def as_mat(folder: Path, made: EmbeddingSet) -> list[Any]:
    """[D, N], as MATLAB's users write vectors."""
    columns = columns_of(made)
    paths = cell([text(one) for one in columns.pop("path")], "paths")
    texts = [text(values, COLUMNS[name]) for name, values in columns.items()]
    vectors = numbers(np.array(made.vectors.T), "feat")
    (folder / "v.mat").write_bytes(mat_file(vectors, *texts, paths))
    return [folder / "v.mat"]


def as_hdf5(folder: Path, made: EmbeddingSet) -> list[Any]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "v.h5", "w") as file:
        file["data/vecs"] = made.vectors.astype("f8")
        for name, values in columns_of(made).items():
            file[f"data/{COLUMNS[name]}"] = values
    return [folder / "v.h5", "--vectors", "data/vecs", "--identities", "data/pids"]


def as_parquet(folder: Path, made: EmbeddingSet) -> list[Any]:
    lists = pa.array(made.vectors.tolist(), pa.list_(pa.float32()))
    parquet.write_table(pa.table({"embedding": lists, **columns_of(made)}), folder / "v.parquet")
    return [folder / "v.parquet"]


def as_pickle(folder: Path, made: EmbeddingSet) -> list[Any]:
    columns = {COLUMNS[name]: of_list(values) for name, values in columns_of(made).items()}
    vectors = pickled_array(np.array(made.vectors))
    (folder / "v.pkl").write_bytes(pickled(pickled_dict({"features": vectors, **columns})))
    return [folder / "v.pkl"]


def as_torch(folder: Path, made: EmbeddingSet) -> list[Any]:
    labels = folder / "l.parquet"
    made.rows.to_parquet(labels)
    vectors = np.array(made.vectors)
    value = torch_dict({"feats": torch_tensor("0", vectors)})
    return [torch_file(folder / "v.pt", value, **{"0": vectors}), "--labels", labels]


WAYS = (as_npy, as_npz, as_mat, as_hdf5, as_parquet, as_pickle, as_torch)
MEASURED = (
    ("verification", "--far", "1e-1", "1e-2", "--exclude", "camera"),
    ("retrieval", "--camera", "camera"),
)


def evaluated(facever: Callable[..., Any], folder: Path) -> dict[str, Any]:
    """Return the figures of a folder."""
    figures = {}
    enrolled = folder.with_name(f"{folder.name}-enrolled")
    made = EmbeddingSet.load(folder)
    first = made.rows["identity"].isin([f"s{person}" for person in range(1, 7)])
    made.select((first & (made.rows["subset"] == "query")).to_numpy(bool)).save(enrolled)
    made.select((made.rows["subset"] == "gallery").to_numpy(bool)).save(folder.with_name("probes"))
    open_set = ("identification", enrolled, "--fpir", "0.2")
    for verb, *options in (*MEASURED, open_set):
        judged = folder if verb != "identification" else folder.with_name("probes")
        status, out, error = facever("evaluate", verb, judged, *options, "--json")
        assert status == 0, error
        figures[verb] = json.loads(out)
        figures[verb].pop("images", None)  # photos or crops: another tool does not say
    return figures


@pytest.mark.real
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_figures_are_those_of_facevers_own(
    faces: tuple[Path, EmbeddingSet],
    facever: Callable[..., Any],
    tmp_path: Path,
    way: Callable[[Path, EmbeddingSet], list[Any]],
) -> None:
    folder, made = faces
    given = way(tmp_path, made)
    imported = tmp_path / "imported"
    space = made.meta.fingerprint
    named = ["--space", space, "--dataset", "orl", "--out", imported]
    status, out, error = facever("embeddings", "import", *given, *named, "--json")
    assert status == 0, error
    said = json.loads(out)
    assert (said["images"], said["identities"], said["dimension"]) == (60, 12, 128)
    assert (said["fingerprint"], said["dataset"], said["failed"]) == (space, "orl", 0)
    copy = EmbeddingSet.load(imported)
    assert copy.vectors.tobytes() == made.vectors.tobytes()
    assert evaluated(facever, imported) == evaluated(facever, folder)
    gallery = tmp_path / "gallery"
    assert facever("gallery", "create", gallery, "--from-embeddings", imported)[0] == 0
    status, out, error = facever("gallery", "enroll", gallery, imported, "--json")
    assert status == 0, error
    assert json.loads(out)["images"] == 60
    status, out, error = facever("gallery", "search", gallery, "--embeddings", folder, "--json")
    assert status in (0, 2), error
    assert "error" not in error


def test_the_text_says_what_was_read(facever: Callable[..., Any], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype("<f4")
    path = npz(tmp_path / "a.npz", feats=rows, pids=np.arange(6) // 2, centre=rows[:2])
    status, out, error = facever("embeddings", "import", path, "--out", tmp_path / "out")
    assert (status, error) == (0, "")
    for part in (
        "feats float32 [6, 4]",
        "6 of 3 identities",
        "identity (pids)",
        "centre",
        "undeclared",
    ):
        assert part in out
    status, out, error = facever("embeddings", "import", path, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert "--overwrite" in error
    status, _, error = facever(
        "gallery", "create", tmp_path / "g", "--from-embeddings", tmp_path / "out"
    )
    assert status == 2
    assert "fingerprint" in error


def test_vectors_without_identities_are_imported_with_a_warning(
    facever: Callable[..., Any], tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype("<f4")
    (tmp_path / "a.npy").write_bytes(npy(rows))
    status, out, error = facever(
        "embeddings", "import", tmp_path / "a.npy", "--out", tmp_path / "out", "--json"
    )
    assert status == 0
    assert json.loads(out)["without_identity"] == 6
    assert "--labels" in error


def test_wrong_use_is_one_line(facever: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(np.eye(3)))
    for words in (
        [tmp_path / "none.npy", "--out", tmp_path / "out"],
        [tmp_path / "a.npy", "--out", tmp_path / "out", "--failures", "none"],
        [tmp_path / "a.npy", "--out", tmp_path / "out", "--space", " "],
        [tmp_path / "a.npy", "--out", tmp_path / "out", "--vectors", "b"],
        [tmp_path / "a.npy", "--out", tmp_path / "out", "--labels", tmp_path / "none.csv"],
    ):
        status, out, error = facever("embeddings", "import", *words)
        assert (status, out, error.count("\n")) == (2, "", 1), error
    assert not (tmp_path / "out").exists()


def test_inspect_knows_files_of_embeddings(facever: Callable[..., Any], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype("<f4")
    sides = {"qf": rows[:2], "q_pids": np.array([1, 2]), "gf": rows, "g_pids": np.arange(6) // 2}
    path = npz(tmp_path / "a.npz", **sides)
    status, out, error = facever("data", "inspect", path, "--json")
    assert (status, error) == (0, "")
    said = json.loads(out)
    assert {name: said[name] for name in ("images", "identities", "layout", "dimension")} == {
        "images": 8, "identities": 3, "layout": "embeddings-npz", "dimension": 4
    }  # fmt: skip
    status, out, _ = facever("data", "inspect", path)
    assert status == 0
    assert "embeddings-npz" in out
    path.write_bytes(path.read_bytes()[:50])
    status, out, error = facever("data", "inspect", path)
    assert (status, out, error.count("\n")) == (2, "", 1)
