"""One pair has one score, whatever found it; thresholds between two scores decide alike."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.scores import all_scores, nearest_of, slack

MODEL, DIMENSION = "model-1", 128
KINDS = ["flat", "HNSW16:efSearch=400", "IVF4,Flat:nprobe=4", "SQ8", "RaBitQ4"]


def by_hand(one: np.ndarray, other: np.ndarray) -> np.float32:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return np.float32((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def crowd(units, people: int = 60) -> tuple[np.ndarray, list[str]]:
    """Three images each, all alike: their scores differ by no more than float32 rounds."""
    base = units(1, 9, DIMENSION)
    rows = base + np.float32(1e-4) * units(3 * people, 1, DIMENSION)
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors, [f"p{row // 3:02d}" for row in range(3 * people)]


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("rule", ["max", "mean"])
def test_the_kind_of_index_decides_nothing(place, units, rule: str, storage: str) -> None:
    vectors, people = crowd(units)
    probes = units(30, 3, DIMENSION)
    answers = []
    with Gallery.create(place, fingerprint=MODEL, dimension=DIMENSION, storage=storage) as gallery:
        gallery.enroll(vectors, people, fingerprint=MODEL, metadata={p: {"k": 1} for p in people})
        ids, stored = gallery.entries()
        asked = {"fingerprint": MODEL, "rule": rule}
        answers.append(gallery.search(probes, 60, **asked).answers)
        answers.append([gallery.search(probe, 60, **asked)[0] for probe in probes])
        answers.append(gallery.search(probes, 60, where={"k": 1}, **asked).answers)
        for kind in KINDS:
            gallery.rebuild(index=kind)
            answers.append(gallery.search(probes, 60, **asked).answers)
            first = gallery.search(probes, 1, **asked).answers
            for answer, right in zip(first, answers[0], strict=True):
                assert answer.candidates[0] in right.candidates  # whom it proposes, it scores alike
        person = answers[0][0].candidates[0].person
        verified = gallery.verify(probes, person, fingerprint=MODEL, rule=rule).scores
    assert all(other == answers[0] for other in answers)
    for row, answer in enumerate(answers[0]):
        scores = {candidate.person: candidate.score for candidate in answer.candidates}
        assert scores[person] == verified[row]
        each = [
            by_hand(probes[row], v) for v, id_ in zip(stored, ids, strict=True) if id_ == person
        ]
        right = max(each) if rule == "max" else np.float32(np.mean(each, dtype=np.float64))
        assert scores[person] == pytest.approx(float(right), abs=1.2e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_strangers_pass_than_the_threshold_allows(
    place, units, make_point, kind: str
) -> None:
    """The threshold is half way between the 4th and the 5th best score of strangers."""
    vectors, people = crowd(units)
    mixed = 0.7 * vectors.mean(axis=0) + 0.7 * units(len(vectors), 5, DIMENSION)
    strangers = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    best = np.array([max(by_hand(s, v) for v in vectors) for s in strangers])
    ordered = np.unique(best)[::-1].astype(np.float64)
    threshold = float((ordered[3] + ordered[4]) / 2)
    with Gallery.create(place, fingerprint=MODEL, dimension=DIMENSION, index=kind) as gallery:
        gallery.enroll(vectors, people, fingerprint=MODEL)
        gallery.rebuild()
        point = make_point("1:N", threshold, gallery_size=60)
        found = gallery.search(strangers, 1, fingerprint=MODEL, operating_point=point)
        known = [bool(answer.known) for answer in found]
        assert sum(known) <= 4
        assert all(best[row] > threshold for row in np.flatnonzero(known))
        if kind == "flat":
            assert sum(known) == 4


def test_lengths_count_for_nothing(empty: Gallery, make_point, capsys) -> None:
    """Rows of length 1.0009: a true cosine of 0.4995 does not pass 0.5."""
    enrolled = np.zeros((1, 8), np.float32)
    enrolled[0, 0] = 1.0009
    cosine = 0.4995
    probe = np.zeros(8, np.float32)
    probe[:2] = 1.0009 * np.float64([cosine, np.sqrt(1 - cosine**2)])
    empty.enroll(enrolled, "a", fingerprint=MODEL)
    assert "1 of 1 vectors do not have length 1 (up to 1.0009)" in capsys.readouterr().err
    found = empty.search(
        probe, 1, fingerprint=MODEL, operating_point=make_point("1:N", 0.5, gallery_size=1)
    )
    assert found[0].candidates[0].score == pytest.approx(cosine, abs=1e-7)
    assert found[0].known is False
    verified = empty.verify(probe, "a", fingerprint=MODEL, operating_point=make_point())
    assert verified.same == [False]
    assert np.linalg.norm(empty.entries()[1][0]) == pytest.approx(1, abs=1e-7)
    capsys.readouterr()
    empty.enroll(np.eye(2, 8)[1:], "b", fingerprint=MODEL)
    assert capsys.readouterr().err == ""
    for wrong in (np.zeros(8), np.full(8, np.nan), np.full(8, 2.0)):
        with pytest.raises(GalleryError, match="not 1"):
            empty.search(wrong, 1, fingerprint=MODEL)


def test_nearest_against_a_loop(units, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facever.gallery.scores._COLUMNS", 7)
    monkeypatch.setattr("facever.gallery.scores._PAIRS", 3)
    queries, vectors = units(9, 1, DIMENSION), crowd(units, 10)[0]
    scores = all_scores(queries, vectors)
    assert np.abs(queries @ vectors.T - scores).max() < slack(DIMENSION) / 2
    best, which = nearest_of(queries, vectors)
    assert np.array_equal(best, scores.max(axis=1))
    assert np.array_equal(scores[np.arange(9), which], best)
    best, which = nearest_of(queries, vectors, np.array([3, 5]))
    assert np.array_equal(best, scores[:, [3, 5]].max(axis=1))
    assert set(which.tolist()) <= {0, 1}
    assert (nearest_of(queries, vectors[:0])[1] == -1).all()


@pytest.mark.in_folder("it plants a trigger; PostgreSQL: test_database.py of its store")
def test_what_is_planted_is_refused_and_named(gallery: Gallery, units) -> None:
    sql = 'CREATE TRIGGER "keep\n" AFTER DELETE ON images BEGIN DELETE FROM audit; END'
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as db:
        db.execute(sql)
        db.commit()
    assert gallery.search(units(1), 1, fingerprint=MODEL)[0].candidates  # reading goes on
    for change in (
        lambda: gallery.remove("a"),
        lambda: gallery.enroll(units(1, 3), "new", fingerprint=MODEL),
        gallery.purge,
    ):
        with pytest.raises(GalleryError, match="trigger or view") as refusal:
            change()
        assert "\n" not in str(refusal.value)
    assert any("trigger" in finding.problem for finding in gallery.check())
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as db:
        db.execute('DROP TRIGGER "keep\n"')
        db.commit()
    assert gallery.remove("a") > 0
    assert gallery.check() == []
