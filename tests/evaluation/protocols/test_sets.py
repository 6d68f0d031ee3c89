from dataclasses import replace

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation import compare
from facever.evaluation.one_to_one.calibration import calibrate
from facever.evaluation.protocols.sets import (
    evaluate_calibration,
    evaluate_comparison,
)
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


def failing(faces, rows):
    table = faces.rows.copy()
    table.loc[rows, "error"] = "truncated"
    vectors = faces.vectors.copy()
    vectors[rows] = 0
    return replace(faces, rows=table, vectors=vectors)


def test_comparison_of_two_sets_leaves_out_what_either_could_not_embed(faces, make_faces):
    other = replace(faces, vectors=make_faces(160, people=20, spread=0.7)[0])
    one, two = failing(faces, [3]), failing(other, [9])
    found = evaluate_comparison(one, two, far=[1e-2])
    kept = np.setdiff1d(np.arange(160), [3, 9])
    arrays = (faces.vectors[kept], other.vectors[kept], faces.identities[kept])
    assert found.to_dict() == compare(*arrays, far=[1e-2]).to_dict()
    with pytest.raises(EvaluationError, match="differ in the column identity"):
        evaluate_comparison(faces, faces.select(np.arange(159)))
    with pytest.raises(EvaluationError, match="differ in the column path"):
        moved = faces.rows.assign(path=faces.rows.path[::-1].tolist())
        evaluate_comparison(faces, replace(faces, rows=moved))


def test_calibration_leaves_out_images_that_failed(faces):
    kept = np.arange(3, 160)
    found = evaluate_calibration(failing(faces, [0, 1, 2]))
    alone = calibrate(faces.vectors[kept], faces.identities[kept])
    assert found.to_dict() == alone.to_dict()
