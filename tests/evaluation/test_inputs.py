"""Rows by name, where the images lie in shards."""

import numpy as np
import pandas as pd

from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.evaluation.inputs import find_rows


def test_images_out_of_shards_are_found_by_their_original_path() -> None:
    columns = {
        "identity": ["a", "b"],
        "path": ["s.tar#512+7", "s.tar#1536+7"],
        "original": ["img/a/1.jpg", "img/b/1.jpg"],
    }
    rows = pd.DataFrame(columns).assign(norm=np.float32(1), error=pd.array([None] * 2, "string"))
    faces = EmbeddingSet(np.eye(2, dtype=np.float32), rows, EmbeddingMeta("f", 2))
    assert find_rows(faces, ["img/b/1.jpg", "a/1.png"], "pairs").tolist() == [1, 0]
