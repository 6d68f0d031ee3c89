"""Galleries of every storage, index and template policy answer as they answered to former code."""

import shutil
from pathlib import Path

import pytest

from facever import EmbeddingSet, Gallery
from tests.former.galleries import SETTINGS
from tests.former.replay import again, ask, differences, records

RECORDS = records("galleries.tar.xz")
OF_THE_ROWS = {"people", "people-where", "images", "audit", "threshold", "calibration"}
"""Questions that storage, index and templates have no part in: asked of two galleries."""


@pytest.mark.parametrize("name", SETTINGS)
def test_its_answers_are_the_former_ones(name: str, galleries: Path) -> None:
    questions = {key.partition("/")[2] for key in RECORDS if key.startswith(f"{name}/")}
    if name not in ("float32-all-flat", "int8-all-hnsw"):
        questions -= OF_THE_ROWS
    assert len(questions) >= 13
    asked = {key: RECORDS[key] for key in sorted(f"{name}/{each}" for each in questions)}
    assert {key: found for key in asked if (found := again(asked[key], galleries))} == {}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_can_be_changed(name: str, galleries: Path, tmp_path: Path) -> None:
    """A person more is found; one less is not; everything else is as it was."""
    for part in (name, "late", "probes"):
        shutil.copytree(galleries / part, tmp_path / part)
    search = ["gallery", "search", name, "--embeddings", "late", "-k", "1", "--json"]
    assert (
        ask(["gallery", "enroll", name, "late", "--conflicts", "ignore"], tmp_path)["status"] == 0
    )
    best = [one["candidates"][0] for one in ask(search, tmp_path)["said"]["answers"]]
    assert {one["person"] for one in best} >= {"late00", "late01"}
    assert ask(["gallery", "remove", name, "late00", "p01"], tmp_path)["status"] == 0
    best = [one["candidates"][0] for one in ask(search, tmp_path)["said"]["answers"]]
    assert "late00" not in {one["person"] for one in best}
    checked = ask(["gallery", "check", name, "--json"], tmp_path)
    assert (checked["status"], checked["said"]["findings"]) == (0, [])


def test_python_answers_as_the_command_line(galleries: Path) -> None:
    said = RECORDS["float32-all-auto/search"]["said"]["answers"]
    with Gallery.open(galleries / "float32-all-auto") as gallery:
        found = gallery.search(EmbeddingSet.load(galleries / "probes"), 3)
        for answer, record in zip(found, said, strict=True):
            candidates = [{"person": one.person, "score": one.score} for one in answer.candidates]
            right = [{key: one[key] for key in ("person", "score")} for one in record["candidates"]]
            assert list(differences(right, candidates)) == []


def test_its_images_have_no_camera_and_new_ones_can(galleries: Path, tmp_path: Path) -> None:
    shutil.copytree(galleries / "float32-all-auto", tmp_path / "gallery")
    late = EmbeddingSet.load(galleries / "late")
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert {image.camera for image in gallery.images("p01")} == {None}
        assert gallery.search(late, where_images={"camera": "c1"}).searched == 0
        gallery.enroll(late, cameras="c1", taken="2026-11-01T08:00:00Z", conflicts="ignore")
        found = gallery.search(late, 50, where_images={"camera": "c1"})
        assert {one.person for one in found[0].candidates} == set(late.identities)
        assert gallery.check() == []


def test_an_export_is_taken_in(galleries: Path, tmp_path: Path) -> None:
    shutil.copytree(galleries / "export", tmp_path / "export")
    for words in (
        "create new --from-embeddings export",
        "import new export --conflicts ignore",
        "check new",
    ):
        assert ask(["gallery", *words.split()], tmp_path)["status"] == 0
    people = ask(["gallery", "people", "new", "--json"], tmp_path)["said"]
    before = RECORDS["float32-all-flat/people"]["said"]
    assert people == sorted(before, key=lambda one: one["person"])
    images = ask(["gallery", "images", "new", "p01", "--json"], tmp_path)["said"]
    before = RECORDS["float32-all-flat/images"]["said"]
    assert images["metadata"] == before["metadata"]
    assert [one["source"] for one in images["images"]] == [
        one["source"] for one in before["images"]
    ]
