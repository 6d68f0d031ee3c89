"""Embeddings of made-up people, for every test of the room."""

from dataclasses import replace

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet


@pytest.fixture
def make_faces():
    """A function (rows, people, dimension, spread, seed) -> unit vectors [N, D], identities [N]."""

    def make(rows=120, people=12, dimension=8, spread=1.0, seed=0):
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((people, dimension))
        who = rng.integers(people, size=rows)
        vectors = centres[who] + spread * rng.standard_normal((rows, dimension))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32), np.array([f"p{code:03d}" for code in who])

    return make


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(160, people=20)
    rng = np.random.default_rng(0)
    columns = {
        "subset": np.where(np.arange(160) % 4 == 0, "query", "gallery"),
        "camera": rng.integers(3, size=160),
        "path": [f"{i}.jpg" for i in range(160)],
    }
    scales = rng.uniform(1, 20, (160, 1))
    return EmbeddingSet.from_arrays(vectors * scales, names, fingerprint="f", **columns)


@pytest.fixture
def failing():
    """A function (faces, rows) -> the set in which these rows could not be embedded."""

    def fail(faces, rows):
        table = faces.rows.copy()
        table.loc[rows, "error"] = "truncated"
        vectors = faces.vectors.copy()
        vectors[rows] = 0
        return replace(faces, rows=table, vectors=vectors)

    return fail
