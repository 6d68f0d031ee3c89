import json
from dataclasses import replace

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError, GalleryError
from facever.evaluate import identification
from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint
from facever.studies.index_tuning import default_kinds, tune

PEOPLE, ENROLLED, WIDTH = 400, 300, 16
KINDS = ["IVF16,Flat", "IVF16,Flat:nprobe=16", "HNSW16", "PQ2x4"]


@pytest.fixture(scope="module")
def images():
    """Make images of people, as often as asked the same people."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((PEOPLE, WIDTH))

    def make(people, each):
        who = np.repeat(people, each)
        rows = centres[who] + 0.8 * rng.standard_normal((len(who), WIDTH))
        return EmbeddingSet.from_arrays(rows, [f"p{i:04d}" for i in who], fingerprint="f")

    return make


@pytest.fixture(scope="module")
def gallery(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("tuning") / "gallery"
    with Gallery.create(path, fingerprint="f", dimension=WIDTH) as gallery:
        gallery.enroll(images(np.arange(ENROLLED), 3))
        yield gallery


@pytest.fixture(scope="module")
def probes(images):
    return images(np.arange(PEOPLE), 1)


@pytest.fixture(scope="module")
def tuned(gallery, probes):
    return tune(gallery, probes, KINDS, fpir=0.05, k=5)


def by_hand(gallery, probes, threshold: float) -> tuple[int, int]:
    """FNIR's and FPIR's errors of the gallery's own search, counted one by one."""
    missed = passed = 0
    for answer, own in zip(gallery.search(probes, 1), probes.identities, strict=True):
        first = answer.candidates[0]
        mated = int(own[1:]) < ENROLLED
        missed += mated and not (first.person == own and first.score > threshold)
        passed += not mated and first.score > threshold
    return missed, passed


def test_exact_search_is_what_the_gallery_does(gallery, probes, tuned) -> None:
    flat = tuned.rows[0]
    assert (flat.kind, flat.recall) == ("flat", 1)
    assert (tuned.exact.mated, tuned.exact.nonmated, tuned.entries, tuned.exact.gallery_size) == (
        300,
        100,
        900,
        300,
    )
    strangers = [a.candidates[0].score for a in gallery.search(probes, 1)][ENROLLED:]
    assert np.isclose(flat.points[0].threshold, np.mean(sorted(strangers)[-6:-4]), atol=1e-6)
    missed, passed = by_hand(gallery, probes, flat.points[0].threshold)
    assert (flat.points[0].missed[1], flat.points[0].false_positives) == (missed, passed)
    assert passed == 5
    assert flat.memory_bytes == 900 * WIDTH * 4


def test_each_kind_is_what_the_gallery_with_it_would_be(tuned) -> None:
    rows = {row.kind: row for row in tuned.rows}
    assert list(rows) == ["flat", *KINDS]
    for row in tuned.rows:
        assert row.points[0].threshold == tuned.rows[0].points[0].threshold
        assert row.points[0].false_positives <= rows["flat"].points[0].false_positives
        assert row.points[0].missed[1] >= rows["flat"].points[0].missed[1]
        assert min(row.latency_seconds, row.batch_seconds) > 0
    assert rows["IVF16,Flat:nprobe=16"].points[0] == rows["flat"].points[0]
    assert rows["IVF16,Flat:nprobe=16"].recall == 1 > rows["IVF16,Flat"].recall
    assert rows["IVF16,Flat"].points[0].missed[1] > rows["flat"].points[0].missed[1]
    assert rows["PQ2x4"].memory_bytes < rows["flat"].memory_bytes < rows["HNSW16"].memory_bytes


def test_an_approximate_index_is_measured_as_the_gallery_searches(
    gallery, probes, tuned, capsys
) -> None:
    """The gallery is rebuilt with the kind, and its own answers are counted."""
    threshold = tuned.rows[0].points[0].threshold
    gallery.rebuild("IVF16,Flat")
    assert gallery._index.refresh().kind == "IVF16,Flat"
    missed, passed = by_hand(gallery, probes, threshold)
    gallery.rebuild("auto")
    row = next(row for row in tuned.rows if row.kind == "IVF16,Flat")
    assert passed == row.points[0].false_positives
    assert abs(missed - row.points[0].missed[1]) <= 1  # k is another, and with it the candidates


def test_people_are_held_out_where_no_probes_are_given(gallery) -> None:
    found = tune(gallery, kinds=["flat"], fpir=0.1, share=0.2, seed=1)
    assert found.held_out
    assert (found.exact.gallery_size, found.exact.nonmated, found.exact.mated) == (240, 180, 240)
    assert found.entries == 900 - 180 - 240
    again = tune(gallery, kinds=["flat"], fpir=0.1, share=0.2, seed=1)
    assert again.rows[0].points[0] == found.rows[0].points[0]
    other = tune(gallery, kinds=["flat"], fpir=0.1, share=0.2, seed=2)
    assert other.rows[0].points[0] != found.rows[0].points[0]
    assert gallery.info().images == 900


def test_the_gallerys_operating_point_gives_threshold_and_rule(gallery, probes) -> None:
    point = OperatingPoint(
        kind="1:N",
        threshold=0.6,
        target_rate=0.02,
        achieved_rate=0.02,
        trials={"genuine": 300, "impostor": 100},
        fingerprint="f",
        score_rule="mean",
        gallery_size=300,
    )
    found = tune(gallery, probes, ["IVF16,Flat:nprobe=16"], operating_point=point)
    assert (found.exact.score_rule, found.rows[0].points[0].threshold) == ("mean", 0.6)
    assert found.rows[0].points[0].fpir_target == 0.02
    assert found.rows[0].points[0] == found.rows[1].points[0]
    gallery.add_operating_point("door", point)
    try:
        for given in (None, "door"):
            assert tune(gallery, probes, [], operating_point=given).operating_point == point
        with pytest.raises(GalleryError, match=r"^unknown operating point 'gate'"):
            tune(gallery, probes, [], operating_point="gate")
    finally:
        gallery.remove_operating_point("door")


def test_the_result_has_keys_and_text(tuned) -> None:
    values = json.loads(json.dumps(tuned.to_dict(), allow_nan=False))
    assert values["probes"] == {"mated": 300, "nonmated": 100, "held_out": False}
    assert values["operating_point"] is None
    row = values["rows"][1]
    assert row["kind"] == "IVF16,Flat"
    assert row["fnir"] == row["missed"] / 300
    assert row["fnir_interval"]["low"] <= row["fnir"] <= row["fnir_interval"]["high"]
    text = tuned.to_text()
    assert (
        "900 entries of 300 people, max of cosine scores; 300 mated and 100 non-mated probes"
        in text
    )
    assert "At exact search's threshold for FPIR 5e-2" in text
    assert "recall@5" in text
    assert text.count("\n") == 4 + 5


def test_what_cannot_be_trained_is_a_warning(gallery, probes) -> None:
    found = tune(gallery, probes, ["IVF1000,Flat", "IVF32,Flat", "auto"], fpir=0.1)
    assert [row.kind for row in found.rows] == ["flat", "IVF32,Flat"]
    assert found.warnings == [
        "index 'IVF1000,Flat' needs at least 1,000 gallery vectors to train; there are 900",
        "index 'IVF32,Flat' was trained on 900 vectors; FAISS recommends 39 for each of its 32 "
        "centroids, 1,248",
    ]


def test_probes_without_a_vector_are_left_out(gallery, probes) -> None:
    table, vectors = probes.rows.copy(), probes.vectors.copy()
    table.loc[[0, 399], "error"] = "truncated"
    vectors[[0, 399]] = 0
    broken = replace(probes, rows=table, vectors=vectors)
    found = tune(gallery, broken, [], fpir=0.1)
    assert (found.exact.mated, found.exact.nonmated) == (299, 99)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kinds": ["nonsense"]}, "no index 'nonsense' for vectors of width 16 "),
        ({"fpir": 0.001}, "a FPIR of 0.001 needs 1,000 non-mated probes; there are 100"),
        ({"k": 0}, "k is 0: it must be a whole number"),
        ({"rule": "best"}, "rule is 'best' (allowed: max, mean)"),
        ({"fpir": 0}, "a FPIR of 0 is not between 0 and 1"),
        ({"fpir": [0.1, 2]}, "a FPIR of 2 is not between 0 and 1"),
        ({"fpir": float("nan")}, "a FPIR of nan is not between 0 and 1"),
        ({"ranks": [1, 11]}, "ranks are [1, 11]: they must be from 1 to k, which is 10"),
        ({"ranks": [0]}, "ranks must be 1 or more"),
        ({"similarity": "dot"}, "a gallery compares by cosine"),
        ({"candidates": 5}, "a gallery compares by cosine"),
        ({"probes": None, "share": 1.0}, "share is 1: it must be above 0 and below 1"),
        ({"probes": None, "share": 0.001}, "there are no non-mated probes: FNIR and FPIR need "),
        ({"probes": "known"}, "there are no non-mated probes: FNIR and FPIR need"),
        ({"probes": "strange"}, "there are no mated probes: FNIR and FPIR "),
        ({"probes": "other"}, "the probes have fingerprint g, the gallery has f: embed "),
    ],
)
def test_what_cannot_be_measured_is_one_line(gallery, probes, given, message) -> None:
    sides = {
        "known": probes.select(np.arange(50)),
        "strange": probes.select(np.arange(350, 400)),
        "other": EmbeddingSet.from_arrays(probes.vectors, probes.identities, fingerprint="g"),
    }
    asked = given.get("probes", probes)
    given = {**given, "probes": sides.get(asked) if isinstance(asked, str) else asked}
    with pytest.raises((GalleryError, EvaluationError)) as refusal:
        tune(gallery, **given)
    assert str(refusal.value).startswith(message)


def test_templates_and_points_that_do_not_fit(images, tmp_path, gallery, probes) -> None:
    path = tmp_path / "gallery"
    with Gallery.create(path, fingerprint="f", dimension=WIDTH, templates="mean") as other:
        with pytest.raises(
            GalleryError, match=r"templates 'mean', so probes cannot be held out: give"
        ):
            tune(other)
        with pytest.raises(GalleryError, match=r"no person is enrolled in"):
            tune(other, probes)
        other.enroll(images(np.arange(ENROLLED), 2))
        assert tune(other, probes, [], fpir=0.1).entries == ENROLLED
    pair = OperatingPoint(
        threshold=0.5,
        target_rate=0.1,
        achieved_rate=0.1,
        trials={"genuine": 10, "impostor": 10},
        fingerprint="f",
    )
    with pytest.raises(GalleryError, match=r"^a 1:1-image operating point is not for sear"):
        tune(gallery, probes, operating_point=pair)


@pytest.mark.parametrize(
    ("entries", "cells"), [(100, 2), (1000, 32), (10**5, 1024), (10**6, 4096), (10**8, 32768)]
)
def test_kinds_by_default_fit_the_size(entries: int, cells: int) -> None:
    kinds = default_kinds(entries, 512)
    assert kinds[0] == "flat"
    assert f"IVF{cells},PQ64:nprobe={max(1, cells // 16)}" in kinds
    assert cells * 20 < entries


def test_every_kind_decides_the_probe_of_the_threshold_alike(images, probes, tmp_path) -> None:
    enrolled = images(np.arange(ENROLLED), 3)
    result = identification(probes, enrolled, fpir=[0.1])
    point = result.operating_point(0.1, fingerprint="f")
    with Gallery.create(tmp_path / "gallery", fingerprint="f", dimension=WIDTH) as gallery:
        gallery.enroll(enrolled)
        passed = {}
        for kind in ("flat", "HNSW32:efSearch=400", "IVF16,Flat:nprobe=16"):
            gallery.rebuild(kind)
            answers = gallery.search(probes, 1, operating_point=point)
            scores = np.array([a.candidates[0].score for a in answers], np.float32)
            strange = scores[ENROLLED:]
            refused = max(score for score in strange if score <= point.threshold)
            passed[kind] = (refused, [a.known for a in answers][ENROLLED:])
            assert sum(passed[kind][1]) == result.points[0].false_positives <= 10
    # the highest score that is refused is the one on which the threshold was put
    flat = passed["flat"]
    assert all(found == flat for found in passed.values())
    assert flat[0] < point.threshold
