"""An embedding set with cameras and subsets, and images that fail."""

from dataclasses import replace

import numpy as np
import pytest

from facever.vectors.embedding_set import EmbeddingSet


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
