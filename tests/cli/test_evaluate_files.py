"""`facever evaluate` on files of embeddings: the same figures as after their import."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.embedding_files.written import npy, npz, pickled, pickled_array, pickled_dict
from tests.mat_bytes import mat_file, numbers, text

N, D = 48, 6
RNG = np.random.default_rng(5)
PEOPLE = np.repeat(np.arange(12), 4)
VECTORS = (RNG.normal(size=(12, D))[PEOPLE] + 0.8 * RNG.normal(size=(N, D))).astype("<f4")
Command = Callable[..., tuple[int, str, str]]


def write(folder: Path, kind: str) -> Path:
    path = folder / f"faces.{kind}"
    if kind == "npz":
        return npz(path, features=VECTORS, pids=PEOPLE)
    if kind == "mat":
        path.write_bytes(mat_file(numbers(VECTORS, "f"), text([*map(str, PEOPLE)], "label")))
    if kind == "pkl":
        people = pickled_array(PEOPLE.astype("<i8"))
        path.write_bytes(
            pickled(pickled_dict({"features": pickled_array(VECTORS), "pids": people}))
        )
    if kind == "parquet":
        parquet.write_table(pa.table({"embedding": VECTORS.tolist(), "identity": PEOPLE}), path)
    if kind == "h5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["features"], file["labels"] = VECTORS, PEOPLE
    return path


@pytest.fixture
def figures(facever: Command) -> Callable[..., dict[str, Any]]:
    def call(*words: object) -> dict[str, Any]:
        status, out, error = facever("evaluate", *words, "--json")
        assert status == 0, error
        found: dict[str, Any] = json.loads(out)
        return found

    return call


@pytest.mark.parametrize("kind", ["npz", "mat", "pkl", "parquet", "h5"])
def test_verification_of_a_file(
    facever: Command, figures: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    path, folder = write(tmp_path, kind), tmp_path / "imported"
    assert facever("embeddings", "import", path, "--out", folder)[0] == 0
    found = figures("verification", path, "--far", "0.1")
    assert found["trials"] == {"genuine": 72, "impostor": 1056}
    assert found == figures("verification", folder, "--far", "0.1")


def test_retrieval_and_identification_of_files(
    facever: Command, figures: Callable[..., Any], tmp_path: Path
) -> None:
    sides = {"qf": VECTORS[::2], "q_pids": PEOPLE[::2], "gf": VECTORS[1::2], "g_pids": PEOPLE[1::2]}
    path, folder = npz(tmp_path / "reid.npz", **sides), tmp_path / "imported"
    assert facever("embeddings", "import", path, "--out", folder)[0] == 0
    found = figures("retrieval", path)
    assert found["queries"] == 24
    assert found == figures("retrieval", folder)
    probes = npz(tmp_path / "p.npz", features=VECTORS[::2], pids=PEOPLE[::2])
    gallery = npz(tmp_path / "g.npz", features=VECTORS[1:33:2], pids=PEOPLE[1:33:2])
    searched = figures("identification", probes, gallery, "--fpir", "0.5")
    assert searched["probes"] == {"mated": 16, "nonmated": 8}
    status, _, error = facever("evaluate", "identification", probes)
    assert (status, "GALLERY" in error) == (2, True)


def test_scores_in_arrays_are_not_embeddings(
    figures: Callable[..., Any], facever: Command, tmp_path: Path
) -> None:
    cells = VECTORS @ VECTORS.T
    assert figures("retrieval", npz(tmp_path / "s.npz", values=cells, rows=PEOPLE))["queries"] == N
    (tmp_path / "s.npy").write_bytes(npy(cells[:20]))
    for name, side in (("rows", PEOPLE[:20]), ("columns", PEOPLE)):
        (tmp_path / name).write_text("\n".join(map(str, side)))
    sides = ("--rows", tmp_path / "rows", "--columns", tmp_path / "columns")
    assert figures("retrieval", tmp_path / "s.npy", *sides)["queries"] == 20


@pytest.mark.parametrize("command", ["verification", "retrieval"])
def test_vectors_without_identities_name_the_import(
    facever: Command, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(npy(VECTORS))
    status, out, error = facever("evaluate", command, path)
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert f"facever embeddings import {path} --labels FILE" in error
    assert "--rows FILE --columns FILE" in error


def test_a_file_of_scores_for_verification_names_the_command(
    facever: Command, tmp_path: Path
) -> None:
    path = tmp_path / "dev.txt"
    path.write_text("1 0.9\n0 0.3\n")
    status, _, error = facever("evaluate", "verification", path)
    assert (status, error.count("\n")) == (2, 1)
    assert f"facever evaluate scores {path}" in error
