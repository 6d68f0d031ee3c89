"""`facever evaluate` on score files of other systems."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet

FIVE = """a m1 a p1 0.9
b m2 a p1 0.3
a m1 b p2 0.1
b m2 b p2 0.8
a m1 c p3 0.2
b m2 c p3 0.4
a m1 d p4 0.85
b m2 d p4 0.3
"""


@pytest.fixture
def values(facever):
    """Run a command with --json; return its values."""

    def call(*words):
        status, out, err = facever("evaluate", *words, "--json")
        assert status == 0, err
        return json.loads(out)

    return call


def test_bobs_lines_answer_every_question(tmp_path, values, facever):
    path = tmp_path / "scores-dev.txt"
    path.write_text(FIVE)
    found = values("scores", path, "--far", "0.5")
    assert found["trials"] == {"genuine": 2, "impostor": 6}
    assert found["auc"] == 11 / 12
    assert found["warnings"] == []
    searched = values("identification", path, "--fpir", "0.5", "--rank", "1", "2")
    assert searched["probes"] == {"mated": 2, "nonmated": 2}
    assert searched["cmc"] == {"1": 1, "2": 1}
    (point,) = searched["operating_points"]
    assert point["false_positives"] == 1
    assert point["fnir"]["1"]["missed"] == 0
    ranked = values("retrieval", path)
    assert (ranked["queries"], ranked["queries_without_match"], ranked["cmc"]["1"]) == (2, 2, 1)
    status, out, _ = facever("evaluate", "identification", path)
    assert status == 0
    assert "2 mated and 2 non-mated" in out


def test_a_pair_a_folder_and_distances(tmp_path, values):
    (tmp_path / "genuine.txt").write_text("1\n2\n3\n")
    (tmp_path / "impostor.txt").write_text("4\n5\n2.5\n")
    words = ("--far", "0.4", "--distances")
    found = values("scores", tmp_path, *words)
    pair = (tmp_path / "impostor.txt", tmp_path / "genuine.txt")
    assert values("scores", *pair, *words) == found
    assert found["auc"] == pytest.approx(8 / 9)
    assert found["distances"]


def test_a_matrix_with_identities_mask_and_failures(tmp_path, values, facever):
    rng = np.random.default_rng(0)
    rows, columns = np.arange(40) % 12, np.arange(30) % 9
    same = rows[:, None] == columns
    cells = rng.standard_normal(same.shape) + 2 * same
    cells[0, 0] = np.nan
    np.save(tmp_path / "s.npy", cells)
    np.save(tmp_path / "m.npy", np.where(same, 255, 127).astype(np.uint8))
    for name, side in (("rows", rows), ("columns", columns)):
        (tmp_path / name).write_text("\n".join(map(str, side)))
    sides = [tmp_path / "s.npy", "--rows", tmp_path / "rows", "--columns", tmp_path / "columns"]
    status, _, err = facever("evaluate", "scores", *sides)
    assert status == 2
    assert "--failures nan" in err
    assert len(err.strip().splitlines()) == 1
    found = values("scores", *sides, "--mask", tmp_path / "m.npy", "--failures", "nan")
    assert found["failure_to_compare"]["genuine"]["failed"] == 1
    assert found["trials"]["genuine"] == same.sum()
    for question in ("identification", "retrieval"):
        assert (
            values(question, *sides, "--failures", "nan")["failure_to_compare"]["genuine"]
            == (found["failure_to_compare"]["genuine"])
        )
    status, out, _ = facever("evaluate", "scores", *sides, "--failures", "nan")
    assert "failed comparisons" in out
    assert f"1 of {same.sum()} genuine" in out
    assert values("calibration", *filled(tmp_path, cells, sides))["similarity"] is None


def filled(folder, cells, sides):
    np.save(folder / "filled.npy", np.nan_to_num(cells))
    return [folder / "filled.npy", *sides[1:]]


def test_options_that_do_not_apply_are_refused(tmp_path, facever):
    path, faces = tmp_path / "scores.txt", tmp_path / "faces"
    path.write_text(FIVE)
    EmbeddingSet.from_arrays(np.eye(3), ["a", "a", "b"]).save(faces)
    for words, message in (
        (("identification", path, "--similarity", "dot"), "of another system: omit --similarity"),
        (("identification", path, "--templates", "mean"), "omit --templates"),
        (("identification", path, "--save-operating-point", "x"), "omit --save-operating-point"),
        (("identification", faces), "has embeddings of probes: give the GALLERY too"),
        (
            ("identification", faces, faces, "--rows", path),
            "has embeddings, not scores: omit --rows",
        ),
        (("identification", path, "--fpir", "0.01"), "needs 100 non-mated probes"),
        (("retrieval", path, "--camera", "camera"), "is a file of scores: omit --camera"),
        (("retrieval", path, "--rerank"), "omit --rerank"),
        (("retrieval", faces, "--failures", "nan"), "not scores: omit --failures"),
        (("calibration", faces, "--rows", path), "--rows applies to a file of scores only"),
        (("scores", path, path, path), "3 files of scores"),
        (("scores", tmp_path / "none"), "no scores at"),
        (("scores", path, "--failures", "drop"), "unknown value of failures 'drop'"),
        (("scores", faces), "it must have one of each; accepted: CSV"),
    ):
        status, out, err = facever("evaluate", *words)
        assert status == 2, (words, out, err)
        assert message in err
        assert "Traceback" not in err
        assert len(err.strip().splitlines()) == 1


@pytest.mark.real
def test_scores_of_real_faces_measure_as_their_embeddings(tmp_path, facever, values):
    images = Path(os.environ.get("FACEVER_DATA", "")) / "lfw" / "images"
    if not images.is_dir():
        pytest.skip("no LFW in FACEVER_DATA")
    people = [one for one in sorted(images.iterdir()) if one.is_dir()][:160]
    rows = [(path, one.name) for one in people for path in sorted(one.iterdir())[:2]]
    manifest = tmp_path / "faces.csv"
    lines = (f"{path},{name}\n" for path, name in rows)
    manifest.write_text("path,identity\n" + "".join(lines))
    status, _, err = facever("embed", "sface", manifest, "--out", tmp_path / "faces")
    if status:
        pytest.skip(err)
    faces = EmbeddingSet.load(tmp_path / "faces")
    vectors = faces.vectors.astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors @ vectors.T).clip(-1, 1).astype(np.float32)
    np.save(tmp_path / "s.npy", cosines)
    (tmp_path / "who.txt").write_text("\n".join(faces.identities))
    words = ("--far", "1e-2", "1e-3")
    right = values("verification", tmp_path / "faces", *words)
    found = values("scores", tmp_path / "s.npy", "--rows", tmp_path / "who.txt", *words)
    for name in ("trials", "auc", "auc_interval", "eer", "eer_interval"):
        assert found[name] == right[name]
    for one, two in zip(found["operating_points"], right["operating_points"], strict=True):
        assert one == {**two, "threshold": pytest.approx(two["threshold"], abs=1e-6)}
