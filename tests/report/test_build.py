from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facever.errors import ConfigError, DataError, EvaluationError
from facever.evaluation.protocols.verification import evaluate_verification
from facever.report.build import build, from_embeddings, from_run
from facever.report.examples import examples_section
from facever.report.page import render, write_report
from facever.seeding import stream
from facever.vectors.embedding_set import EmbeddingSet

Reader = Callable[[str], Any]
FAR = [1e-1]
quick = pytest.mark.usefixtures("quick_figures")


def sections(page: Any) -> list[str]:
    return [section.attributes["id"] for section in page.all("section")]


def test_the_report_of_embeddings(faces: EmbeddingSet, tmp_path: Path, read_page: Reader) -> None:
    faces.save(tmp_path / "faces")
    html = render(build(tmp_path / "faces", far=FAR))
    page = read_page(html)
    assert sections(page) == ["accuracy", "basis", "mistakes", "environment"]
    assert page.all("h1")[0].text == "Verification on tiny"
    assert page.facts()["fingerprint"] == "f" * 64
    assert page.facts()["options.flip"] == "True"
    # the same input gives the same page, to the byte
    assert html == render(build(tmp_path / "faces", far=FAR))


def test_the_report_of_a_run_with_embeddings(
    faces: EmbeddingSet, run_folder: Path, read_page: Reader
) -> None:
    faces.save(run_folder / "embeddings")
    page = read_page(render(build(run_folder, far=FAR)))
    assert sections(page) == ["accuracy", "basis", "mistakes", "training", "environment"]
    assert page.all("h1")[0].text.endswith("trained on 7 images of 2 people (lfw)")
    assert page.of_class("p", "verdict")[0].text.startswith("TAR ")
    assert len(page.all("svg")) == 6


@quick
def test_the_report_of_a_run_alone(run_folder: Path, read_page: Reader) -> None:
    page = read_page(render(build(run_folder)))
    assert sections(page) == ["training", "environment"]
    assert page.of_class("p", "verdict")[0].text == (
        "Development AUC 0.812 at update 20, on 1 people (5 images)"
    )
    assert "flatters" in page.of_class("p", "meaning")[0].text
    assert [tile.all("dt")[0].text for tile in page.of_class("div", "tile")] == ["development AUC"]


@quick
def test_a_run_that_was_never_looked_at(run_folder: Path) -> None:
    (run_folder / "metrics.jsonl").unlink()
    assert build(run_folder).verdict == "Not measured yet"


@quick
def test_further_sections_follow_the_evaluation(faces: EmbeddingSet, run_folder: Path) -> None:
    extra = [examples_section([], [], "rule")]
    made = from_run(run_folder, embeddings=faces, far=FAR, extra=extra)
    assert [section.anchor for section in made.sections][2:5] == [
        "mistakes",
        "examples",
        "training",
    ]
    made = from_embeddings(faces, far=FAR, extra=extra)
    assert [section.anchor for section in made.sections][2:4] == ["mistakes", "examples"]


@quick
def test_a_result_that_is_given_is_shown(faces: EmbeddingSet, run_folder: Path) -> None:
    result = evaluate_verification(faces, far=[0.2])
    assert "at FAR 2e-1" in from_embeddings(faces, result=result).verdict
    assert "at FAR 2e-1" in from_run(run_folder, embeddings=faces, result=result).verdict


@quick
def test_only_the_rows_asked_for(faces: EmbeddingSet, tmp_path: Path) -> None:
    halves = ["first" if name < "person_06" else "second" for name in faces.identities]
    replace(faces, rows=faces.rows.assign(half=halves)).save(tmp_path / "faces")
    made = build(tmp_path / "faces", far=FAR, where=["half=first"])
    assert [tile.value.value for tile in made.tiles if tile.label == "people"] == [6]  # type: ignore[union-attr]
    with pytest.raises(EvaluationError, match="half"):
        build(tmp_path / "faces", far=FAR, where=["half=third"])


@quick
def test_without_thumbnails_there_is_no_picture(faces: EmbeddingSet, run_folder: Path) -> None:
    faces.save(run_folder / "embeddings")
    assert "<img" in render(build(run_folder, far=FAR))
    assert "<img" not in render(build(run_folder, far=FAR, thumbnails=False))


@quick
def test_what_is_neither(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(DataError, match=r"nothing at .*gone: give a run folder or"):
        build(tmp_path / "gone")
    with pytest.raises(DataError, match="is neither a run folder"):
        build(tmp_path)
    with pytest.raises(ConfigError, match="nothing to measure: there are no embeddings at"):
        build(run_folder, far=FAR)
    with pytest.raises(ConfigError, match="nothing to measure"):
        build(run_folder, where=["subset=test"])


def test_the_page_stays_small(tmp_path: Path, run_folder: Path) -> None:
    """Large noisy pictures, which no JPEG can shrink, and many scores."""
    random = stream(0, "large")
    people = np.repeat([f"p{k}" for k in range(60)], 8)
    cv2.imwrite(str(tmp_path / "a.png"), random.integers(0, 256, (400, 400, 3), np.uint8))
    noise = random.integers(0, 256, (1600, 1600, 3), np.uint8)
    cv2.imwrite(str(run_folder / "train_batch.png"), noise)
    vectors = random.normal(size=(480, 16))
    faces = EmbeddingSet.from_arrays(vectors, people, path=[str(tmp_path / "a.png")] * 480)
    write_report(from_run(run_folder, embeddings=faces), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 49
    assert len(text) < 3_000_000


@quick
def test_a_run_whose_development_people_are_few(run_folder: Path, read_page: Reader) -> None:
    """A FAR that was refused at every look is a column of nothing but nulls."""
    metrics = run_folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"tar@1e-3": 0.125', '"tar@1e-3": null'))
    assert "0.125" not in metrics.read_text()
    page = read_page(render(build(run_folder)))
    assert "0.812" in page.text
