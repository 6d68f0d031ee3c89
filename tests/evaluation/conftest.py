"""Embeddings of made-up people, for every test of the room."""

import numpy as np
import pytest


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
