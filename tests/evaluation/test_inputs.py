"""Rows by name, where the images lie in shards."""

import numpy as np
import pandas as pd
import pytest

from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.errors import EvaluationError
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


def test_names_without_a_folder_are_found_by_the_file_name() -> None:
    paths = ["images/Ann_0001.jpg", "images/Jean-L. Doe_0002.jpg", "x/same.jpg", "y/same.jpg"]
    faces = EmbeddingSet.from_arrays(np.eye(4), ["a", "b", "c", "d"], path=paths)
    names = ["Jean-L. Doe_0002.jpg", "Ann_0001.png", "Ann_0001"]
    assert find_rows(faces, names, "pairs").tolist() == [1, 0, 0]
    with pytest.raises(EvaluationError, match=r"same.jpg, which has several rows"):
        find_rows(faces, ["same.jpg"], "pairs")
    with pytest.raises(EvaluationError, match=r"other/Ann_0001.jpg, which has no row"):
        find_rows(faces, ["other/Ann_0001.jpg"], "pairs")
