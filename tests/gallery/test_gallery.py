import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet, with_outcome
from facever.errors import GalleryError
from facever.gallery.gallery import Gallery


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_a_gallery_is_made_once_for_its_owner_only(empty: Gallery) -> None:
    assert empty.path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(GalleryError, match="already exists; open it"):
        Gallery.create(empty.path, fingerprint="model-1", dimension=8)


def test_it_is_made_in_an_empty_folder_but_not_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Gallery.create(tmp_path / "empty", fingerprint="m", dimension=2).close()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GalleryError, match="already exists; open it"):
        Gallery.create(tmp_path / "file", fingerprint="m", dimension=2)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.in_folder("it looks at the files of a gallery")
def test_who_makes_it_a_moment_later_replaces_nobody(
    empty: Gallery, faces: EmbeddingSet, monkeypatch
) -> None:
    empty.enroll(faces)
    with monkeypatch.context() as patched, pytest.raises(GalleryError) as error:
        patched.setattr(Path, "iterdir", lambda path: iter(()))  # it was empty a moment ago
        Gallery.create(empty.path, fingerprint="model-1", dimension=8)
    assert str(error.value) == f"{empty.path} cannot be created: Directory not empty"
    assert empty.info().images == 60
    assert list(empty.path.parent.iterdir()) == [empty.path]


def test_it_is_made_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    Gallery.create(tmp_path / "link", fingerprint="m", dimension=2).close()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "gallery.db").is_file()


@pytest.mark.parametrize(
    ("fingerprint", "dimension", "message"),
    [
        ("undeclared", 8, "is missing: give fingerprint="),
        ("", 8, "a fingerprint must be a string"),
        (None, 8, r"load_model.*missing: fingerprint\)"),
        ("m", None, r"missing: dimension\)"),
        (7, 8, "a fingerprint must be a string"),
        ("m", 0, "dimension is 0 "),
        ("m", 2.0, r"dimension is 2\.0 "),
    ],
)
def test_create_refuses(tmp_path: Path, fingerprint, dimension, message: str) -> None:
    with pytest.raises(GalleryError, match=message):
        Gallery.create(tmp_path / "g", fingerprint=fingerprint, dimension=dimension)
    assert list(tmp_path.iterdir()) == []


def test_a_gallery_is_bound_to_what_made_an_embedding_set(tmp_path: Path) -> None:
    meta = EmbeddingMeta(
        "m",
        2,
        "dot",
        preprocessing={"size": [4, 4]},
        options={"flip": True, "batch_size": 64, "device": "cpu", "on_error": "skip", "own": 1},
    )
    faces = EmbeddingSet(np.eye(2, dtype=np.float32), pd.DataFrame(), meta)
    with Gallery.create(tmp_path / "g", faces) as gallery:
        info = gallery.info()
    assert (info.fingerprint, info.dimension, info.metric) == ("m", 2, "dot")
    assert (info.preprocessing, info.options) == ({"size": [4, 4]}, {"flip": True, "own": 1})
    with pytest.raises(GalleryError, match="fingerprint, options are given"):
        Gallery.create(tmp_path / "h", faces, fingerprint="m", options={})
    with pytest.raises(GalleryError, match="give fingerprint="):
        Gallery.create(tmp_path / "h", EmbeddingSet.from_arrays([[1, 0]], ["a"]))
    assert not (tmp_path / "h").exists()


def test_enrolling_an_embedding_set(empty: Gallery, faces: EmbeddingSet) -> None:
    done = empty.enroll(faces)
    assert (done.images, done.new_people, done.duplicates, done.failed) == (60, 12, [], [])
    again = empty.enroll(faces)
    assert (again.images, again.new_people, len(again.duplicates)) == (0, 0, 60)
    info = empty.info()
    assert (info.people, info.images, info.fingerprint) == (12, 60, "model-1")
    assert json.loads(json.dumps(info.to_dict()))["images"] == 60


def test_failed_rows_are_left_out_and_told(empty: Gallery, units) -> None:
    faces = EmbeddingSet.from_arrays(
        units(4), list("aabb"), fingerprint="model-1", path=list("1234")
    )
    vectors = faces.vectors.copy()
    vectors[1] = 0
    rows = with_outcome(
        faces.rows.drop(columns=["norm", "error"]),
        np.linalg.norm(vectors, axis=1),
        [None, "truncated", None, None],
    )
    failed = EmbeddingSet(vectors, rows, faces.meta)
    done = empty.enroll(failed, hashes=["h1", None, "h2", "h1"])
    assert done.failed == [("2", "truncated")]
    assert done.images == 2
    assert [(d.index, d.known_as) for d in done.duplicates] == [(3, "a")]  # counted with the failed
    answers = empty.search(failed)
    assert [answer.error for answer in answers] == [None, "truncated", None, None]
    assert answers[1].candidates == []
    verified = empty.verify(failed, "a")
    assert verified.errors == [None, "truncated", None, None]
    assert [score is None for score in verified.scores] == [False, True, False, False]


def test_plain_vectors_say_whose_and_of_which_model(empty: Gallery, units) -> None:
    empty.enroll(units(2), "ada", fingerprint="model-1", metadata={"ada": {"born": 1815}})
    empty.enroll(units(1, seed=1)[0], ["bob"], fingerprint="model-1")
    assert empty.info().images == 3
    assert empty.metadata("ada") == {"born": 1815}
    assert empty.search(units(1), k=1, fingerprint="model-1")[0].candidates[0].person == "ada"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": None}, "give fingerprint="),
        ({"fingerprint": "undeclared"}, "give fingerprint="),
        ({"fingerprint": "model-2"}, "fingerprint model-2 do not match .* model-1"),
        ({"people": None}, "give people="),
        ({"people": ["a"]}, "1 values of person id for 2 vectors"),
        ({"people": ["a", ""]}, "a person id must be a string of at least one character"),
        ({"people": ["a", 7]}, "a person id must be a string of at least one character, not 7"),
        ({"people": ["a", "\ud800"]}, "cannot be encoded in UTF-8"),
        ({"sources": ["x"]}, "1 values of source for 2 vectors"),
        ({"hashes": ["x", ""]}, "a hash must be a string"),
        ({"metadata": {"a": 5}}, "metadata of a person must be keys with values, .* not 5"),
        ({"metadata": {7: {}}}, "a person id must be a string of at least one character, not 7"),
        ({"metadata": {"z": {}}}, "metadata of 'z'"),
        ({"duplicates": "drop"}, "duplicates is 'drop'"),
        (
            {"faces": np.ones((2, 7), np.float32)},
            r"shape \[2, 7\], but the gallery has dimension 8",
        ),
        ({"faces": np.ones((1, 2, 8), np.float32)}, r"shape \[1, 2, 8\]"),
        ({"faces": 2 * np.eye(2, 8)}, "vector 0 has length 2, not 1"),
        ({"faces": np.array([[1.0] + [0] * 7, [np.nan] * 8])}, "vector 1 has length nan"),
        ({"faces": [["x"] * 8]}, "vectors must be numbers"),
    ],
)
def test_what_does_not_belong_is_refused(gallery: Gallery, change: dict, message: str) -> None:
    before = gallery.info()
    given = {"faces": np.eye(2, 8), "people": ["a", "b"], "fingerprint": "model-1", **change}
    with pytest.raises(GalleryError, match=message):
        gallery.enroll(given.pop("faces"), given.pop("people"), **given)
    assert gallery.info() == before


def test_an_embedding_set_of_another_model_is_refused(gallery: Gallery, faces, units) -> None:
    stranger = EmbeddingSet.from_arrays(units(1), ["a"], fingerprint="model-2")
    undeclared = EmbeddingSet.from_arrays(units(1), ["a"])
    for ask in (gallery.enroll, gallery.search, lambda probes: gallery.verify(probes, "a")):
        with pytest.raises(GalleryError, match=r"model-2 .* model-1"):
            ask(stranger)
        with pytest.raises(GalleryError, match="give fingerprint="):
            ask(undeclared)
    with pytest.raises(GalleryError, match="has fingerprint model-1, not model-2"):
        gallery.search(faces, fingerprint="model-2")
    assert gallery.search(undeclared, fingerprint="model-1")[0].candidates


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("k", [1, 4, 12, 50])
def test_search_ranks_people_as_a_slow_search_does(
    gallery: Gallery, faces: EmbeddingSet, units, slow_search, assert_answer, rule: str, k: int
) -> None:
    probes = units(7, seed=3)
    found = gallery.search(probes, k, fingerprint="model-1", rule=rule)
    assert (len(found), found.rule) == (7, rule)
    for answer, probe in zip(found, probes, strict=True):
        assert_answer(answer, slow_search(faces.vectors, list(faces.identities), probe, rule)[:k])


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_search_refuses_k(gallery: Gallery, units, k) -> None:
    with pytest.raises(GalleryError, match=r"k is .*allowed: an integer"):
        gallery.search(units(1), k, fingerprint="model-1")


def test_search_in_an_empty_gallery(empty: Gallery, units, make_point) -> None:
    assert empty.search(units(1), fingerprint="model-1")[0].candidates == []
    answer = empty.search(units(1), fingerprint="model-1", operating_point=make_point("1:N"))[0]
    assert (answer.known, answer.person) == (False, None)


def test_a_one_to_many_point_knows_or_does_not(gallery: Gallery, faces, units, make_point) -> None:
    probes = np.vstack([faces.vectors[:1], units(1, seed=8)])
    best = [a.candidates[0].score for a in gallery.search(probes, fingerprint="model-1")]
    gallery.add_operating_point("door", make_point("1:N", threshold=(best[0] + best[1]) / 2))
    found = gallery.search(probes, fingerprint="model-1")
    assert [(a.known, a.person) for a in found] == [(True, "a"), (False, None)]
    assert (found.note, found.rule) == ("", "max")
    assert len(found[1].candidates) == 5  # who comes nearest is shown all the same
    exact = make_point("1:N", threshold=best[1])
    assert gallery.search(probes[1], fingerprint="model-1", operating_point=exact)[0].known is False
    with pytest.raises(GalleryError, match="for score rule max, not for mean"):
        gallery.search(probes, fingerprint="model-1", rule="mean", operating_point="door")
    by_mean = make_point("1:N", score_rule="mean")
    assert gallery.search(probes, fingerprint="model-1", operating_point=by_mean).rule == "mean"


def test_a_one_to_one_point_gives_scores_and_the_fpir(gallery, faces, make_point) -> None:
    found = gallery.search(faces, operating_point=make_point())
    assert found.implied_fpir == pytest.approx(1 - 0.999**12)
    assert "scores only" in found.note
    assert all(answer.known is None and answer.person is None for answer in found)
    assert found.to_dict()["implied_fpir"] == found.implied_fpir


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_verify_scores_against_every_image(
    gallery: Gallery, faces: EmbeddingSet, units, slow_search, rule: str
) -> None:
    probes = units(5, seed=3)
    for person in ("a", "b", "single"):
        found = gallery.verify(probes, person, fingerprint="model-1", rule=rule)
        for score, probe in zip(found.scores, probes, strict=True):
            ranked = dict(slow_search(faces.vectors, list(faces.identities), probe, rule))
            assert score == pytest.approx(ranked[person], abs=1e-6)
    assert found.same is None
    assert "scores only" in found.note
    with pytest.raises(GalleryError, match="no person 'z' with images"):
        gallery.verify(probes, "z", fingerprint="model-1")
    with pytest.raises(GalleryError, match="rule is 'median'"):
        gallery.verify(probes, "a", fingerprint="model-1", rule="median")


def test_verify_decides_strictly_above_the_threshold(gallery, faces, units, make_point) -> None:
    probe = units(1, seed=3)
    score = gallery.verify(probe, "single", fingerprint="model-1").scores[0]
    below = float(np.nextafter(np.float32(score), np.float32(-1)))
    for threshold, same in ((score, False), (below, True)):
        point = make_point(threshold=threshold)
        found = gallery.verify(probe, "single", fingerprint="model-1", operating_point=point)
        assert found.same == [same]
        assert found.to_dict()["operating_point"]["threshold"] == threshold
    with pytest.raises(GalleryError, match="1:N operating point does not apply to a verification"):
        gallery.verify(faces, "a", operating_point=make_point("1:N"))


def test_operating_points_are_kept_with_their_provenance(gallery, make_point) -> None:
    points = {"many": make_point("1:N"), "one": make_point(dataset="toy")}
    for name, point in points.items():
        gallery.add_operating_point(name, point)
    assert gallery.operating_points() == points
    assert set(gallery.info().operating_points) == {"many", "one"}
    with pytest.raises(GalleryError, match="'one' already"):
        gallery.add_operating_point("one", make_point())
    with pytest.raises(GalleryError, match=r"model-2, the gallery has model-1"):
        gallery.add_operating_point("other", make_point(fingerprint="model-2"))
    with pytest.raises(GalleryError, match="cosine similarity: measure one"):
        gallery.add_operating_point("other", make_point(similarity="dot"))
    with pytest.raises(GalleryError, match="unknown operating point 'won'"):
        gallery.verify(np.eye(1, 8), "a", fingerprint="model-1", operating_point="won")


def test_removed_people_are_in_no_answer_of_any_gallery_object(
    gallery: Gallery, place, faces: EmbeddingSet, slow_search, assert_answer
) -> None:
    with Gallery.open(place) as reader:
        assert reader.search(faces, 1)[0].person is None
        assert reader.search(faces, 1)[0].candidates[0].person == "a"
        assert gallery.remove("a") == 35
        assert gallery.remove("b", "35.jpg") == 1
        left = np.arange(36, 60)
        people = list(faces.identities[left])
        for who in (reader, gallery):
            for answer, probe in zip(who.search(faces, 12), faces.vectors, strict=True):
                assert_answer(answer, slow_search(faces.vectors[left], people, probe))
            with pytest.raises(GalleryError, match="no person 'a'"):
                who.verify(faces, "a")


def test_a_reader_sees_what_another_process_enrolls(gallery: Gallery, place, units) -> None:
    new = units(1, seed=77)
    assert gallery.search(new, 1, fingerprint="model-1")[0].candidates[0].score < 0.999
    script = (
        "import sys, numpy as np; from facever import Gallery\n"
        "with Gallery.open(sys.argv[1]) as g: g.enroll(np.array(eval(sys.argv[2]), 'f4'), "
        "'new', fingerprint='model-1')\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(place), str(new.tolist())]
    assert subprocess.run(command, check=False).returncode == 0  # and torch was not imported
    best = gallery.search(new, 1, fingerprint="model-1")[0].candidates[0]
    assert (best.person, round(best.score, 5)) == ("new", 1)


def test_threads_share_a_gallery(gallery: Gallery, units) -> None:
    """Searches while people come and go: always whole answers, never an error."""
    probes, errors, stop = units(3, seed=4), [], threading.Event()

    def ask() -> None:
        try:
            while not stop.is_set():
                found = gallery.search(probes, 3, fingerprint="model-1")
                assert all(len(answer.candidates) == 3 for answer in found)
        except Exception as error:
            errors.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for step in range(30):
        gallery.enroll(units(2, seed=step), f"guest{step}", fingerprint="model-1")
        if step % 2:
            gallery.remove(f"guest{step - 1}")
    stop.set()
    for asker in askers:
        asker.join()
    assert errors == []
    assert gallery.info().people == 12 + 15


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GalleryError, match="cannot be created: File exists"):
        Gallery.create(tmp_path / "file" / "gallery", fingerprint="m", dimension=2)
    with pytest.raises(GalleryError, match="no gallery at"):
        Gallery.open(tmp_path / "file")
    with pytest.raises(GalleryError, match="cannot be read: File name too long"):
        Gallery.open(tmp_path / ("g" * 300))
