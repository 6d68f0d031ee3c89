from dataclasses import replace

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation import compare, identification, retrieval
from facever.evaluation.one_to_one.calibration import calibrate
from facever.evaluation.protocols.sets import (
    evaluate_calibration,
    evaluate_comparison,
    evaluate_identification,
    evaluate_retrieval,
    rows_where,
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


def test_retrieval_of_a_set_is_that_of_its_parts(faces):
    queries, gallery = (rows_where(faces, [f"subset={part}"]) for part in ("query", "gallery"))
    parts = (queries.vectors, queries.identities, gallery.vectors, gallery.identities)
    assert evaluate_retrieval(faces).to_dict() == retrieval(*parts).to_dict()
    cameras = {"query_cameras": queries.rows.camera, "gallery_cameras": gallery.rows.camera}
    found = evaluate_retrieval(faces, camera="camera")
    assert found.to_dict() == retrieval(*parts, **cameras).to_dict()
    assert found.map_plain != evaluate_retrieval(faces).map_plain
    with pytest.raises(EvaluationError, match="unknown column 'cam'; did you mean 'camera'"):
        evaluate_retrieval(faces, camera="cam")


def test_images_that_failed_are_not_retrieved(faces):
    broken = failing(faces, [0, 1, 2])  # row 0 is a query
    assert evaluate_retrieval(broken).gallery == evaluate_retrieval(faces).gallery - 2
    both = evaluate_retrieval(broken)
    assert both.queries + both.without_match == 39


def test_the_dot_product_uses_the_norms(faces):
    found = evaluate_retrieval(faces, similarity="dot")
    scaled = faces.vectors * faces.rows["norm"].to_numpy()[:, None]
    query = (faces.rows.subset == "query").to_numpy()
    names = faces.identities
    parts = (scaled[query], names[query], scaled[~query], names[~query])
    assert found.to_dict() == retrieval(*parts, similarity="dot").to_dict()
    assert found.map_plain != evaluate_retrieval(faces).map_plain


def test_identification_of_two_sets(faces):
    gallery = faces.select((faces.rows.subset == "gallery") & (faces.rows.identity < "p012"))
    probes = faces.select(faces.rows.subset == "query")
    found = evaluate_identification(probes, gallery, fpir=[0.2])
    arrays = (probes.vectors, probes.identities, gallery.vectors, gallery.identities)
    assert found.to_dict() == identification(*arrays, fpir=[0.2]).to_dict()
    other = replace(gallery, meta=replace(gallery.meta, fingerprint="another"))
    with pytest.raises(EvaluationError, match="probes and gallery are of two models"):
        evaluate_identification(probes, other)


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
