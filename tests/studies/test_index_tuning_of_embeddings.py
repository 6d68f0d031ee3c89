"""Kinds of index compared on two embedding sets: FAISS is asked once for so many images."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError, GalleryError
from facever.evaluate import identification
from facever.operating_point import OperatingPoint
from facever.studies.index_tuning import tune
from tests.evaluation.oracles import cosines

PEOPLE, ENROLLED, WIDTH = 900, 700, 32
KINDS = ["IVF16,Flat", "IVF16,Flat:nprobe=16", "HNSW32", "PQ8x4"]


@pytest.fixture(scope="module")
def sets():
    """A gallery of 700 people with three images each, and probes of 900 people."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((PEOPLE, WIDTH))

    def images(people, each):
        who = np.repeat(people, each)
        rows = centres[who] + 0.9 * rng.standard_normal((len(who), WIDTH))
        names = [f"p{i:04d}" for i in who]
        return EmbeddingSet.from_arrays(rows, names, fingerprint="f")

    probes = images(np.arange(PEOPLE), 1)
    return images(np.arange(ENROLLED), 3), probes


@pytest.fixture(scope="module")
def tuned(sets):
    return tune(*sets, KINDS, fpir=[0.1, 0.02], ranks=[1, 10])


def test_flat_is_exact_search(sets, tuned):
    gallery, probes = sets
    exact = identification(probes, gallery, fpir=[0.1, 0.02])
    assert tuned.exact.to_dict() == exact.to_dict()
    flat = tuned.rows[0]
    assert (flat.kind, flat.recall) == ("flat", 1)
    assert flat.points == exact.points


def test_rounding_moves_nobody_across_a_threshold():
    # every threshold is a stranger's own score, which FAISS rounds otherwise
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((400, 500))
    probes = rows[:300] + 0.5 * rng.standard_normal((300, 500))
    names = [f"p{i}" for i in range(400)]
    sides = [
        EmbeddingSet.from_arrays(rows[150:], names[150:], fingerprint="f"),
        EmbeddingSet.from_arrays(probes, names[:300], fingerprint="f"),
    ]
    fpir = [round(0.01 * i, 2) for i in range(1, 90)]
    found = tune(*sides, ["IVF2,Flat:nprobe=2"], fpir=fpir)
    assert found.rows[0].points == found.rows[1].points == found.exact.points
    assert len(found.exact.points) == 89


def test_each_index_is_judged_at_the_thresholds_of_exact_search(tuned):
    rows = {row.kind: row for row in tuned.rows}
    assert list(rows) == ["flat", *KINDS]
    for row in tuned.rows:
        thresholds = [point.threshold for point in row.points]
        assert thresholds == [point.threshold for point in tuned.exact.points]
        assert min(row.build_seconds, row.batch_seconds, row.latency_seconds) > 0
        for point, exact in zip(row.points, tuned.exact.points, strict=True):
            assert point.false_positives <= exact.false_positives
            assert point.false_positives <= point.fpir_target * tuned.exact.nonmated
    # one cell of sixteen misses mates and strangers, all sixteen miss nobody
    assert rows["IVF16,Flat"].recall < 0.9
    assert rows["IVF16,Flat"].points[0].missed[1] > rows["flat"].points[0].missed[1]
    assert rows["IVF16,Flat:nprobe=16"].points == rows["flat"].points
    assert rows["HNSW32"].recall > 0.85
    assert rows["PQ8x4"].recall < 0.9
    vectors = 3 * ENROLLED * WIDTH * 4
    assert vectors <= rows["flat"].memory_bytes < vectors + 1000
    assert rows["PQ8x4"].memory_bytes < vectors / 10
    assert rows["HNSW32"].memory_bytes > vectors


def test_the_lists_of_an_index_give_its_rates(sets, tuned):
    import faiss

    gallery, probes = sets
    index = faiss.index_factory(WIDTH, "PQ8x4", faiss.METRIC_INNER_PRODUCT)
    index.train(gallery.vectors)
    index.add(gallery.vectors)
    rows = index.search(probes.vectors, tuned.candidates)[1]
    scores = np.take_along_axis(cosines(probes.vectors, gallery.vectors), rows, 1)
    names = gallery.identities.tolist()
    enrolled = set(names)
    for point in tuned.rows[-1].points:
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


def test_candidates_are_enough_for_k_people(sets, tuned):
    assert tuned.candidates == 30  # ten people, three images each
    assert tune(*sets, [], fpir=0.1, k=2).candidates == 6
    assert tune(*sets, ["flat"], fpir=0.1, candidates=5).candidates == 5


def test_euclidean_scores_and_failures_go_the_same_way(sets):
    gallery, probes = sets
    table = probes.rows.copy()
    table.loc[[0, 899], "error"] = "truncated"
    vectors = probes.vectors.copy()
    vectors[[0, 899]] = 0
    broken = replace(probes, rows=table, vectors=vectors)
    found = tune(gallery, broken, ["HNSW32:efSearch=400"], fpir=0.1, similarity="euclidean")
    exact = identification(broken, gallery, fpir=[0.1], ranks=[1], similarity="euclidean")
    assert found.rows[0].points == exact.points == found.rows[1].points
    assert (exact.failures.mated, exact.failures.nonmated) == (1, 1)


def test_people_are_held_out_where_no_probes_are_given(sets):
    found = tune(sets[0], kinds=["flat"], fpir=0.1, share=0.2, seed=1)
    assert found.held_out
    assert (found.exact.gallery_size, found.exact.nonmated, found.exact.mated) == (560, 420, 560)
    assert found.entries == 2100 - 420 - 560


def test_a_stored_threshold_is_taken(sets):
    gallery, probes = sets
    point = identification(probes, gallery, fpir=[0.1]).operating_point(0.1)
    found = tune(*sets, ["IVF16,Flat:nprobe=16"], operating_point=point)
    assert [row.points[0].threshold for row in found.rows] == [point.threshold] * 2
    assert found.rows[0].points[0].false_positives == 0.1 * 200
    other = OperatingPoint.model_validate({**point.model_dump(), "fingerprint": "g"})
    with pytest.raises(EvaluationError, match="fingerprint g"):
        tune(*sets, [], operating_point=other)


def test_the_result_has_keys_and_text(tuned):
    values = json.loads(json.dumps(tuned.to_dict(), allow_nan=False))
    assert (values["candidates"], values["ranks"]) == (30, [1, 10])
    row = values["rows"][1]
    assert row["kind"] == "IVF16,Flat"
    first, second = row["operating_points"]
    assert (first["fpir_target"], second["fpir_target"]) == (0.1, 0.02)
    assert first["fnir"]["1"]["value"] == row["fnir"] > 0
    text = tuned.to_text()
    assert "threshold for FPIR 1e-1" in text
    assert "threshold for FPIR 2e-2" in text
    assert "recall@30" in text
    assert "FNIR rank 10" in text


def test_a_kind_that_these_vectors_cannot_have_is_a_warning(sets):
    kinds = ["IVF64,Flat", "IVF4096,Flat", "PQ8x4:ht=20"]  # ht= is for squared distances only
    found = tune(*sets, kinds, fpir=[0.1, 1e-4])
    assert [row.kind for row in found.rows] == ["flat", "IVF64,Flat"]
    few, none, other = found.warnings
    assert few.startswith("index 'IVF64,Flat' was trained on 2,100 vectors; FAISS recommends 39")
    assert none.startswith("index 'IVF4096,Flat' needs at least 4,096 gallery vectors to train")
    assert other.startswith("index 'PQ8x4:ht=20' cannot search these vectors (")
    assert ".cpp" not in other
    assert "FPIR 1e-4 is refused: it needs 10,000 non-mated probes" in found.to_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kinds": ["nonsense"]}, "no index 'nonsense' for vectors of width 32 "),
        ({"fpir": 1e-4}, "a FPIR of 0.0001 needs 10,000 non-mated probes; there are 200"),
        ({"candidates": 0}, "candidates 0: give 1 or more"),
        ({"rule": "mean"}, "embedding sets support rule max only: omit rule 'mean'"),
        ({"operating_point": "door"}, "unknown operating point 'door'"),
        ({"similarity": "taxi"}, "unknown similarity 'taxi'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(sets, given, message):
    with pytest.raises((GalleryError, EvaluationError)) as refusal:
        tune(*sets, **{"fpir": None if "operating_point" in given else 0.1, **given})
    assert str(refusal.value).startswith(message)
