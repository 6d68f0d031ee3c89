import json
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A gallery of 200 people with two vectors each."""
    draw, folder = np.random.default_rng(0), tmp_path / "many"
    centres = draw.normal(size=(200, 16)).repeat(2, axis=0)
    people = [f"p{i // 2}" for i in range(400)]
    faces = EmbeddingSet.from_arrays(
        centres + 0.3 * draw.normal(size=centres.shape), people, fingerprint="f"
    )
    faces.save(tmp_path / "faces")
    with Gallery.create(folder, fingerprint="f", dimension=16) as gallery:
        gallery.enroll(faces)
    return folder


def test_tune(facever, many: Path, tmp_path: Path) -> None:
    words = ("gallery", "tune", many, "--fpir", 0.1, "--share", 0.2)
    status, said, _ = facever(*words, "--index", "flat", "IVF8,Flat", "HNSW8", "-k", 3)
    assert status == 0
    assert [line.split()[0] for line in said.splitlines()[-3:]] == ["flat", "IVF8,Flat", "HNSW8"]
    assert "held out of the gallery" in said
    told = json.loads(facever(*words, "--index", "IVF8,Flat", "--seed", 1, "--json")[1])
    assert [row["kind"] for row in told["rows"]] == ["flat", "IVF8,Flat"]
    assert (told["fpir_target"], told["rows"][0]["recall"]) == (0.1, 1)


def test_tune_by_what_the_gallery_decides_by(facever, many: Path, tmp_path: Path) -> None:
    values = {
        "kind": "1:N",
        "threshold": 0.9,
        "target_rate": 0.2,
        "achieved_rate": 0.2,
        "trials": {"genuine": 10, "impostor": 1000},
        "fingerprint": "f",
        "score_rule": "mean",
        "gallery_size": 200,
    }
    OperatingPoint.model_validate(values).save(tmp_path / "many.json")
    words = ("gallery", "tune", many, "--index", "HNSW8", "--json")
    by_file = json.loads(facever(*words, "--operating-point", tmp_path / "many.json")[1])
    facever("gallery", "threshold", many, tmp_path / "many.json")
    told = json.loads(facever(*words)[1])
    for one in (told, by_file):
        assert (one["threshold"], one["fpir_target"], one["rule"]) == (0.9, 0.2, "mean")
    for option in (("--fpir", 0.1), ("--fpir", 0), ("--rule", "max")):
        by_file = (*words, "--operating-point", tmp_path / "many.json", *option)
        status, _, refused = facever(*by_file)
        assert (status, "omit --fpir and --rule" in refused) == (2, True)
    status, said, _ = facever(*words, "--fpir", 0.1)  # the gallery's own is of another rate
    told = json.loads(said)
    assert (status, told["fpir_target"], told["rule"]) == (0, 0.1, "max")
    assert (told["operating_point"], told["threshold"] != 0.9) == (None, True)
    status, _, refused = facever(*words, tmp_path / "faces", "--seed", 1)
    assert (status, refused.startswith("error: --share and --seed apply to held-out probes")) == (
        2,
        True,
    )
    told = json.loads(facever(*words[:3], "--index", "tree", "--json")[1] or "{}")
    assert told == {}


def test_tune_embeddings(facever, many: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    words = ("gallery", "tune", faces, "--share", 0.2, "--fpir", 0.1, 0.2, "--rank", 1, 2)
    words = (*words, "--index", "HNSW8", "--similarity", "euclidean", "--candidates", 9, "--json")
    status, said, _ = facever(*words)
    told = json.loads(said)
    assert (status, told["similarity"], told["candidates"]) == (0, "euclidean", 9)
    assert [row["kind"] for row in told["rows"]] == ["flat", "HNSW8"]
    points = told["rows"][1]["operating_points"]
    assert [(point["fpir_target"], list(point["fnir"])) for point in points] == [
        (0.2, ["1", "2"]),
        (0.1, ["1", "2"]),
    ]
    status, _, refused = facever("gallery", "tune", many, faces, "--candidates", 9)
    assert (status, "omit similarity and candidates" in refused) == (2, True)
