import csv
import io
import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet


def test_search_for_images(facever, gallery: Path, model: Path, people: Path) -> None:
    probes = [people / "a" / "0.png", people / "c" / "4.png"]
    words = ("gallery", "search", gallery, *probes, "--model", model, "-k", 2)
    status, said, noted = facever(*words)
    assert (status, noted) == (0, "scores only: the gallery has no 1:N operating point\n")
    assert f"'{probes[0]}'\n   score  person\n  ------  ------\n  1.0000  'a'\n" in said
    told = json.loads(facever(*words, "--json")[1])
    assert [answer["candidates"][0]["person"] for answer in told["answers"]] == ["a", "c"]
    assert [answer["probe"] for answer in told["answers"]] == [str(probe) for probe in probes]


def test_images_of_a_camera_are_searched(facever, gallery: Path, model: Path, people: Path) -> None:
    late = ("--person", "late", "--camera", "2", "--taken", "2026-11-01T12:00:00Z")
    probe = people / "a" / "0.png"
    words = ("gallery", "enroll", gallery, probe, "--model", model, "--duplicates", "keep", *late)
    assert facever(*words)[0] == 0
    status, said, _ = facever("gallery", "images", gallery, "late")
    assert status == 0
    assert said.splitlines()[0].split() == ["image", "enrolled", "camera", "taken", "source"]
    assert "'2026-11-01T12:00:00+00:00'" in said
    asked = ("gallery", "search", gallery, probe, "--model", model)
    for words, people_found in (
        (("--camera", "2", "--camera", "7"), ["late"]),
        (("--taken-from", "2026-11-01T11:00:00Z", "--taken-to", "2026-11-01T13:00:00Z"), ["late"]),
        (("--camera", "7"), []),
        (("--taken-from", "2026-11-01T13:00:00Z"), []),
    ):
        status, said, _ = facever(*asked, *words, "--json")
        found = json.loads(said)["answers"][0]["candidates"]
        assert (status, [one["person"] for one in found]) == (0, people_found)
    assert "no person or image matches the filter" in facever(*asked, "--camera", "7")[1]
    status, _, noted = facever(*asked, "--taken-from", "2026-11-01")
    assert (status, noted.count("\n")) == (2, 1)
    assert "the time '2026-11-01' is not ISO 8601 with an offset from UTC" in noted


def test_an_unreadable_probe_stops_no_other(
    facever, gallery: Path, model: Path, people: Path
) -> None:
    probes = [people / "c" / "6.png", people / "b" / "3.png"]
    words = ("gallery", "search", gallery, *probes, "--model", model, "-k", 1)
    status, said, _ = facever(*words)
    assert status == 0
    assert f"'{probes[0]}'\n  no vector: {probes[0]}: " in said
    assert f"'{probes[1]}'\n   score  person\n  ------  ------\n  1.0000  'b'\n" in said
    told = json.loads(facever(*words, "--json")[1])["answers"]
    assert str(probes[0]) in told[0]["error"]
    assert (told[0]["candidates"], told[1]["error"]) == ([], None)


def test_search_decides_by_a_one_to_many_point(
    facever, gallery: Path, model: Path, people: Path, save_point
) -> None:
    many = {"kind": "1:N", "score_rule": "max", "gallery_size": 3}
    words = ("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    for threshold, decided in ((0.9999, "'a'"), (1.000001, "unknown")):
        file = save_point("many", threshold, **many)
        status, said, _ = facever(*words, "--operating-point", file)
        assert status == 0
        assert said.splitlines()[0].endswith(f"0.png': {decided}")
    file = save_point("one", 0.5)
    _, said, noted = facever(*words, "--operating-point", file)
    assert said.splitlines()[0].endswith("0.png'")
    assert (
        "does not decide a search; at its FMR of 0.001 the FPIR among 3 people would be about 0.003"
        in noted
    )


def test_a_search_of_a_gallery_that_was_outgrown_is_answered(
    facever, gallery: Path, model: Path, people: Path, save_point
) -> None:
    """To enroll people must not silence a service; one that needs decisions asks for them."""
    small = save_point("door", 0.5, kind="1:N", score_rule="max", gallery_size=1)
    status, _, noted = facever("gallery", "threshold", gallery, small)
    assert (status, noted.startswith("warning: 'door'")) == (0, True)
    words = ("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    for more in ((), ("--operating-point", "door")):
        status, said, noted = facever(*words, *more, "--json")
        answer = json.loads(said)["answers"][0]
        assert (status, answer["known"], answer["person"]) == (0, None, None)
        assert answer["candidates"][0]["person"] == "a"
        assert "measured with 1 people, but the gallery has 3" in noted
        status, said, noted = facever(*words, *more, "--decide")
        assert (status, said) == (2, "")
        assert "the gallery has 3" in noted
        assert noted.count("\n") == 1
    status, _, noted = facever(*words, "--rule", "mean", "--operating-point", "door")
    assert (status, "score rule max, not for mean" in noted) == (2, True)
    status, _, noted = facever(*words, "--rule", "mean")
    assert (status, "score rule max, not for mean" in noted) == (0, True)


def test_a_verification_without_a_decision_ends_with_2(
    facever, gallery: Path, model: Path, people: Path, save_point
) -> None:
    file = save_point("pair", 0.5, kind="1:1-template", templates="mean")
    facever("gallery", "threshold", gallery, file)
    words = ("gallery", "verify", gallery, "a", people / "a" / "0.png", "--model", model)
    status, said, noted = facever(*words)
    assert (status, said.startswith("score: ")) == (2, True)
    assert "templates 'mean'" in noted


def test_a_stored_point_that_contradicts_itself_is_named(
    facever, gallery: Path, model: Path, people: Path
) -> None:
    with closing(sqlite3.connect(gallery / "gallery.db")) as db:
        row = ["door", "1:N", "{}", "2026", zlib.crc32(b"door\0" + b"1:N\0" + b"{}")]
        db.execute("INSERT INTO operating_points VALUES (?, ?, ?, ?, ?)", row)
        db.commit()
    words = ("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    status, said, _ = facever(*words)
    assert (status, "'a'" in said) == (0, True)
    assert facever(*words, "--decide")[0] == 2
    for verb in ("threshold", "info"):
        status, _, noted = facever("gallery", verb, gallery)
        assert (status, "operating point 'door'" in noted) == (0, True)
    status, said, _ = facever("gallery", "check", gallery)
    assert (status, said.startswith("decisions: operating point 'door'")) == (1, True)
    assert facever("gallery", "threshold", gallery, "--remove", "door")[2] == ""
    assert facever("gallery", "check", gallery)[0] == 0


def test_verify_exit_status(facever, gallery, model, people, save_point) -> None:
    words = ("gallery", "verify", gallery, "a", people / "a" / "1.png", "--model", model)
    status, said, noted = facever(*words)
    assert (status, said) == (2, "score:       1.0000 (best of 2 images)\n")
    assert noted == "scores only: the gallery has no 1:1 operating point\n"
    for threshold, expected, decided in ((0.9999, 0, "'a'"), (1.000001, 1, "not 'a'")):
        file = save_point("one", threshold)
        status, said, _ = facever(*words, "--operating-point", file)
        assert status == expected
        assert f"decision:    {decided}\nby:          score > {threshold:.4f}, set for FMR" in said
    told = json.loads(facever(*words, "--operating-point", file, "--json")[1])
    assert (told["same"], told["person"]) == ([False], "a")


def test_verify_several_images(facever, gallery, model, people, save_point) -> None:
    own, other, broken = (people / name for name in ("a/0.png", "b/2.png", "c/6.png"))
    facever("gallery", "threshold", gallery, save_point("one", 0.9999))
    words = ("gallery", "verify", gallery, "a", "--model", model)
    score = "score:       1.0000 (best of 2 images)\ndecision:    'a'\n"
    status, said, _ = facever(*words, own, own)
    assert (status, said.count(f"'{own}'\n{score}"), said.count("\nby: ")) == (0, 2, 1)
    status, said, _ = facever(*words, own, other)
    assert status == 1
    assert said.startswith(f"'{own}'\n{score}'{other}'\nscore:       ")
    assert "decision:    not 'a'\n" in said
    status, said, _ = facever(*words, own, broken, other)
    assert status == 2
    assert f"'{broken}'\nno vector:   {broken}: " in said
    told = json.loads(facever(*words, own, other, "--json")[1])
    assert (told["same"], told["probes"]) == ([True, False], [str(own), str(other)])


def test_verify_embeddings(facever, gallery: Path, save_point, tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    facever("gallery", "threshold", gallery, save_point("one", 0.9999))
    facever("gallery", "export", gallery, probes)
    words = ("gallery", "verify", gallery, "a", "--embeddings")
    status, said, _ = facever(*words, probes)
    assert (status, said.count("decision:    'a'\n"), said.count("not 'a'\n")) == (1, 2, 4)
    EmbeddingSet.load(probes).select([0, 1]).save(tmp_path / "own")
    assert facever(*words, tmp_path / "own")[0] == 0
    EmbeddingSet.load(probes).select([]).save(tmp_path / "nobody")
    assert facever(*words, tmp_path / "nobody")[0] == 2


def test_search_among_some_people(facever, gallery: Path, model: Path, people: Path) -> None:
    facever("gallery", "update", gallery, "b", "site=A")
    facever("gallery", "update", gallery, "c", "site=B")
    words = ("gallery", "search", gallery, people / "a" / "0.png", "--model", model, "--json")
    for where, expected in (((), "a"), (("site=A",), "b"), (("site=A", "site=B"), "bc")):
        options = [word for one in where for word in ("--where", one)]
        told = json.loads(facever(*words, *options)[1])
        found = {one["person"] for one in told["answers"][0]["candidates"]}
        assert found == set(expected) | ({"b", "c"} if not where else set())
        assert told["searched"] == (len(expected) if where else 3)
    status, said, _ = facever(*words[:-1], "--where", "site=C")
    assert (status, said.splitlines()[1]) == (0, "  no person or image matches the filter")


def test_search_prints_csv(facever, gallery: Path, model: Path, people: Path, save_point) -> None:
    many = {"kind": "1:N", "score_rule": "max", "gallery_size": 3}
    probes = [people / "b" / "2.png", people / "c" / "6.png"]
    words = ("gallery", "search", gallery, *probes, "--model", model, "-k", 2, "--csv")
    point = save_point("many", 0.9999, **many)
    status, said, _ = facever(*words, "--operating-point", point)
    rows = list(csv.DictReader(io.StringIO(said)))
    assert status == 0
    assert [(row["probe"], row["rank"], row["known"]) for row in rows] == [
        (str(probes[0]), "1", "true"),
        (str(probes[0]), "2", ""),
        (str(probes[1]), "", ""),
    ]
    assert rows[0]["person"] == "b"
    assert float(rows[0]["score"]) == pytest.approx(1, abs=1e-5)
    assert "6.png" in rows[2]["error"]


def test_no_cell_of_the_csv_is_run(
    facever, gallery: Path, model: Path, people: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("=1+1.png", "-\x1b[31m.png"):
        Path(name).write_bytes((people / "b" / "2.png").read_bytes())
    words = ("gallery", "search", gallery, "=1+1.png", "--model", model, "-k", 1, "--csv")
    rows = list(csv.DictReader(io.StringIO(facever(*words, "--", "-\x1b[31m.png")[1])))
    assert {row["probe"] for row in rows} == {"'=1+1.png", r"'-\x1b[31m.png"}
    assert all(float(row["score"]) > 0.99 for row in rows)


def test_probabilities(facever, gallery: Path, model: Path, people: Path, save_calibration) -> None:
    image = people / "a" / "1.png"
    one, many = save_calibration("one"), save_calibration("many", kind="1:N")
    _, said, _ = facever(
        "gallery", "verify", gallery, "a", image, "--model", model, "--calibration", one
    )
    assert said == "score:       1.0000 (best of 2 images)\nprobability: 0.9933\n"
    facever("gallery", "calibration", gallery, many)
    words = ("gallery", "search", gallery, image, "--model", model, "-k", 2)
    assert "  probability that the first is correct: 0.9933\n" in facever(*words)[1]
    first, second = json.loads(facever(*words, "--json")[1])["answers"][0]["candidates"]
    assert first["probability"] == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-4)
    assert second["probability"] is None


def test_a_person_of_templates_is_verified_by_them(facever, gallery, model, people) -> None:
    facever("gallery", "rebuild", gallery, "--templates", "mean")
    words = ("gallery", "verify", gallery, "a", people / "a" / "1.png", "--model", model)
    assert facever(*words)[1].endswith("(best of 1 template)\n")
    facever("gallery", "rebuild", gallery, "--templates", "all")
    assert facever(*words, "--rule", "mean")[1].endswith("(mean of 2 images)\n")


def test_tracks_are_enrolled_and_searched_as_one(facever, tmp_path: Path) -> None:
    """Against means computed here: two tracks of two images for each of three people."""
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(3, 8))[np.arange(12) // 4] + 0.5 * draw.normal(size=(12, 8))
    people = [f"p{i // 4}" for i in range(12)]
    tracks = [f"t{i // 2}" if i < 11 else None for i in range(12)]
    faces = EmbeddingSet.from_arrays(vectors, people, fingerprint="f", track=tracks)
    faces.save(tmp_path / "faces")
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = [units[i : min(i + 2, 11)].sum(0) for i in range(0, 12, 2)]
    means = np.array([mean / np.linalg.norm(mean) for mean in means])

    gallery, even = tmp_path / "gallery", faces.rows.index % 4 < 2
    faces.select(even).save(tmp_path / "enrolled")
    assert facever("gallery", "create", gallery, "--from-embeddings", tmp_path / "enrolled")[0] == 0
    enroll = ("gallery", "enroll", gallery, tmp_path / "enrolled", "--templates", "track", "--json")
    status, told, said = facever(*enroll)
    assert (status, json.loads(told)["total"]["images"]) == (0, 3)
    assert "6 images pooled into 3 tracks" in said
    assert json.loads(facever(*enroll)[1])["total"]["images"] == 3  # known by the track's name

    probes = ("--embeddings", tmp_path / "faces", "--templates", "track", "-k", 3, "--json")
    status, told, said = facever("gallery", "search", gallery, *probes)
    assert status == 0
    assert "11 images pooled into 6 tracks, 1 without one left out" in said
    assert "measured on single images" in said
    answers = json.loads(told)["answers"]
    assert [answer["probe"] for answer in answers] == [f"t{i}" for i in range(6)]
    for mean, answer in zip(means, answers, strict=True):
        found = {one["person"]: one["score"] for one in answer["candidates"]}
        wanted = {f"p{i}": float(mean @ means[2 * i]) for i in range(3)}
        assert found == pytest.approx(wanted, abs=1e-5)


def test_templates_apply_to_embeddings_only(facever, gallery: Path, model: Path, people: Path):
    for verb in ("search", "enroll"):
        image = people / "a" / "0.png"
        words = ("gallery", verb, gallery, image, "--model", model, "--templates", "track")
        status, _, said = facever(*words)
        assert status == 2
        assert "--templates applies to" in said
        assert "omit" in said
