import json
from dataclasses import replace

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError, GalleryError
from facever.evaluate import identification
from facever.studies.index_cost import index_cost
from tests.evaluation.oracles import cosines

PEOPLE, ENROLLED, WIDTH = 900, 700, 32


@pytest.fixture(scope="module")
def sets():
    """Probes of 900 people, 700 of them in a gallery with three images each."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((PEOPLE, WIDTH))

    def images(people, each):
        who = np.repeat(people, each)
        rows = centres[who] + 0.9 * rng.standard_normal((len(who), WIDTH))
        names = [f"p{i:04d}" for i in who]
        return EmbeddingSet.from_arrays(rows, names, fingerprint="f")

    return images(np.arange(PEOPLE), 1), images(np.arange(ENROLLED), 3)


@pytest.fixture(scope="module")
def cost(sets):
    return index_cost(
        *sets, ["IVF16,Flat", "IVF16,Flat:nprobe=16", "HNSW32", "PQ8x4"], fpir=[0.1, 0.02]
    )


def test_flat_is_exact_search(sets, cost):
    exact = identification(*sets, fpir=[0.1, 0.02])
    assert cost.exact.to_dict() == exact.to_dict()
    flat = cost.rows[0]
    assert (flat.index, flat.recall) == ("Flat", 1)
    assert flat.points == exact.points


def test_rounding_moves_nobody_across_a_threshold():
    # every threshold is a stranger's own score, which FAISS rounds otherwise
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((400, 500))
    probes = rows[:300] + 0.5 * rng.standard_normal((300, 500))
    names = [f"p{i}" for i in range(400)]
    sides = [
        EmbeddingSet.from_arrays(probes, names[:300], fingerprint="f"),
        EmbeddingSet.from_arrays(rows[150:], names[150:], fingerprint="f"),
    ]
    fpir = [round(0.01 * i, 2) for i in range(1, 90)]
    found = index_cost(*sides, ["IVF2,Flat:nprobe=2"], fpir=fpir)
    assert found.rows[0].points == found.rows[1].points == found.exact.points
    assert len(found.exact.points) == 89


def test_each_index_is_judged_at_the_thresholds_of_exact_search(cost):
    names = [row.index for row in cost.rows]
    assert names == ["Flat", "IVF16,Flat", "IVF16,Flat:nprobe=16", "HNSW32", "PQ8x4"]
    rows = dict(zip(names, cost.rows, strict=True))
    for row in cost.rows:
        thresholds = [point.threshold for point in row.points]
        assert thresholds == [point.threshold for point in cost.exact.points]
        assert min(row.build_seconds, row.probe_seconds, row.latency_seconds) > 0
    # one cell of sixteen misses mates and strangers, all sixteen miss nobody
    assert rows["IVF16,Flat"].recall < 0.9
    assert rows["IVF16,Flat"].points[0].missed[1] > rows["Flat"].points[0].missed[1]
    assert rows["IVF16,Flat"].points[0].false_positives <= rows["Flat"].points[0].false_positives
    assert rows["IVF16,Flat:nprobe=16"].points == rows["Flat"].points
    assert rows["HNSW32"].recall > 0.85
    assert rows["PQ8x4"].recall < 0.9
    vectors = 3 * ENROLLED * WIDTH * 4
    assert vectors <= rows["Flat"].bytes < vectors + 1000
    assert rows["PQ8x4"].bytes < vectors / 10
    assert rows["HNSW32"].bytes > vectors


def test_the_lists_of_an_index_give_its_rates(sets, cost):
    import faiss

    probes, gallery = sets
    index = faiss.index_factory(WIDTH, "PQ8x4", faiss.METRIC_INNER_PRODUCT)
    index.train(gallery.vectors)
    index.add(gallery.vectors)
    rows = index.search(probes.vectors, cost.candidates)[1]
    scores = np.take_along_axis(cosines(probes.vectors, gallery.vectors), rows, 1)
    names = gallery.identities.tolist()
    enrolled = set(names)
    for point in cost.rows[-1].points:
        missed, passed = 0, 0
        for row, own in enumerate(probes.identities):
            mated = own in enrolled
            best = {}
            for score, at in zip(scores[row], rows[row], strict=True):
                best[names[at]] = max(best.get(names[at], -9), score)
            first = max(best, key=best.get)
            missed += mated and not (first == own and best[first] > point.threshold)
            passed += not mated and best[first] > point.threshold
        assert (point.missed[1], point.false_positives) == (missed, passed)


def test_no_index_lets_more_strangers_pass_than_exact_search(sets):
    cost = index_cost(*sets, ["PQ8x4", "HNSW32", "IVF4,SQ8"], fpir=[0.2, 0.1])
    for row in cost.rows:
        for point, exact in zip(row.points, cost.exact.points, strict=True):
            assert point.false_positives <= exact.false_positives
            assert point.false_positives <= point.fpir_target * cost.exact.nonmated


def test_candidates_are_enough_for_the_ranks(sets, cost):
    assert cost.candidates == 30  # rank 10, three images a person
    assert index_cost(*sets, [], fpir=[0.1], ranks=[2]).candidates == 6
    assert index_cost(*sets, ["flat"], fpir=[0.1], candidates=5).candidates == 5


def test_euclidean_scores_and_failures_go_the_same_way(sets):
    probes, gallery = sets
    table = probes.rows.copy()
    table.loc[[0, 899], "error"] = "truncated"
    vectors = probes.vectors.copy()
    vectors[[0, 899]] = 0
    broken = replace(probes, rows=table, vectors=vectors)
    found = index_cost(broken, gallery, ["HNSW32:efSearch=400"], fpir=[0.1], similarity="euclidean")
    exact = identification(broken, gallery, fpir=[0.1], similarity="euclidean")
    assert found.rows[0].points == exact.points == found.rows[1].points
    assert (exact.failures.mated, exact.failures.nonmated) == (1, 1)


def test_the_result_has_keys_and_text(cost):
    values = json.loads(json.dumps(cost.to_dict(), allow_nan=False))
    assert values["protocol"] == "identification"
    assert values["indexes"]["candidates"] == 30
    row = values["indexes"]["rows"][1]
    assert row["index"] == "IVF16,Flat"
    assert row["operating_points"][0]["fnir"]["1"]["value"] > 0
    assert {"recall", "build_seconds", "probe_seconds", "latency_seconds", "bytes"} <= set(row)
    text = cost.to_text()
    assert "At the threshold of exact search for FPIR 2e-2" in text
    assert "recall@30" in text


def test_few_vectors_are_named_before_they_mislead(sets):
    found = index_cost(*sets, ["IVF64,Flat"], fpir=[0.1])
    assert found.warnings == [
        "index 'IVF64,Flat' was trained on 2,100 vectors; FAISS advises 39 for each of its 64 "
        "centroids, 2,496"
    ]
    assert found.to_dict()["warnings"] == found.warnings


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("IVF4096,Flat", "^index 'IVF4096,Flat' needs at least 4,096 gallery vectors to train; "),
        ("nonsense", "^no index 'nonsense' for vectors of width 32 "),
    ],
)
def test_an_index_that_cannot_be_made_is_one_clear_line(sets, index, message):
    with pytest.raises(GalleryError, match=message):
        index_cost(*sets, [index], fpir=[0.1])


def test_an_index_that_cannot_search_is_one_clear_line(sets):
    with pytest.raises(EvaluationError) as raised:
        index_cost(*sets, ["PQ8x4:ht=20"], fpir=[0.1])  # for squared distances only
    assert str(raised.value).startswith("index 'PQ8x4:ht=20' cannot search by cosine scores (")
    assert ".cpp" not in str(raised.value)


def test_without_a_threshold_there_is_nothing_to_compare_at(sets):
    with pytest.raises(EvaluationError) as raised:
        index_cost(*sets, ["HNSW32"], fpir=[1e-4])
    assert str(raised.value) == (
        "200 non-mated probes support no FPIR of those asked for: there is no threshold to compare "
        "indexes at"
    )
    with pytest.raises(EvaluationError, match=r"^0 candidates: ask for 1 or more"):
        index_cost(*sets, ["HNSW32"], fpir=[0.1], candidates=0)
