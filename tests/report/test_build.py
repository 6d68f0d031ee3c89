from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError, EvaluationError
from facever.evaluate import verification
from facever.render.blocks import Figure
from facever.render.page import render, write_report
from facever.report.build import build, build_side_by_side, from_embeddings, from_run
from facever.report.examples import examples_section
from facever.report.measured import MeasuredEmbeddings, measure_embeddings

Reader = Callable[[str], Any]
FAR = [1e-1]
quick = pytest.mark.usefixtures("quick_figures")


EVALUATION = ["accuracy", "basis", "mistakes", "suspects", "calibration"]


def sections(page: Any) -> list[str]:
    return [section.attributes["id"] for section in page.all("section")]


def test_the_report_of_embeddings(faces: EmbeddingSet, tmp_path: Path, read_page: Reader) -> None:
    faces.save(tmp_path / "faces")
    html = render(build(tmp_path / "faces", far=FAR))
    page = read_page(html)
    assert sections(page) == [*EVALUATION, "environment"]
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
    assert sections(page) == [*EVALUATION, "training", "environment"]
    assert page.all("h1")[0].text.endswith("trained on 7 images of 2 people (lfw)")
    assert page.of_class("p", "verdict")[0].text.startswith("TAR ")
    assert len(page.all("svg")) == 7


@quick
def test_the_report_of_a_run_alone(run_folder: Path, read_page: Reader) -> None:
    page = read_page(render(build(run_folder)))
    assert sections(page) == ["training", "environment"]
    assert page.of_class("p", "verdict")[0].text == (
        "Development AUC 0.812 at update 20, on 1 people (5 images)"
    )
    assert "too optimistic" in page.of_class("p", "meaning")[0].text
    assert [tile.all("dt")[0].text for tile in page.of_class("div", "tile")] == ["development AUC"]


@quick
def test_a_run_that_was_never_looked_at(run_folder: Path) -> None:
    (run_folder / "metrics.jsonl").unlink()
    assert build(run_folder).verdict == "Not measured yet"


@quick
def test_further_sections_follow_the_evaluation(faces: EmbeddingSet, run_folder: Path) -> None:
    extra = [examples_section([], [], "rule")]
    made = from_run(run_folder, measure_embeddings(faces, far=FAR), extra=extra)
    assert [section.anchor for section in made.sections][4:7] == [
        "calibration",
        "examples",
        "training",
    ]
    made = from_embeddings(measure_embeddings(faces, far=FAR), extra=extra)
    assert [section.anchor for section in made.sections][4:6] == ["calibration", "examples"]


@quick
def test_a_result_that_is_given_is_shown(faces: EmbeddingSet, run_folder: Path) -> None:
    measured = MeasuredEmbeddings(faces, verification(faces, far=[0.2]))
    assert "at FAR 2e-1" in from_embeddings(measured).verdict
    assert "at FAR 2e-1" in from_run(run_folder, measured).verdict


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
    with pytest.raises(DataError, match=r"gone does not exist: give a run folder"):
        build(tmp_path / "gone")
    with pytest.raises(DataError, match="is neither a run folder"):
        build(tmp_path)
    with pytest.raises(ConfigError, match=r"no embeddings .*: make them with `facever embed"):
        build(run_folder, far=FAR)
    with pytest.raises(ConfigError, match="no embeddings"):
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
    write_report(from_run(run_folder, measure_embeddings(faces)), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 73  # 24 of the suspects
    assert len(text) < 3_000_000


@quick
def test_a_run_whose_development_people_are_few(run_folder: Path, read_page: Reader) -> None:
    """A FAR that was refused at every look is a column of nothing but nulls."""
    metrics = run_folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"tar@1e-3": 0.125', '"tar@1e-3": null'))
    assert "0.125" not in metrics.read_text()
    page = read_page(render(build(run_folder)))
    assert "0.812" in page.text


@pytest.fixture
def ranked(faces: EmbeddingSet, tmp_path: Path) -> Path:
    """Queries and gallery, by two cameras, on disk."""
    place = np.arange(len(faces))
    rows = faces.rows.assign(
        subset=np.where(place % 4 == 0, "query", "gallery"), camera=(place % 3 == 0).astype(str)
    )
    replace(faces, rows=rows).save(tmp_path / "ranked")
    return tmp_path / "ranked"


@quick
def test_queries_and_gallery_are_ranked_across_cameras(ranked: Path, read_page: Reader) -> None:
    page = read_page(render(build(ranked, far=FAR)))
    assert "retrieval" in sections(page)
    assert page.facts()["queries"].endswith("cross-camera")


@quick
def test_groups_are_shown_at_one_threshold(ranked: Path, read_page: Reader) -> None:
    page = read_page(render(build(ranked, far=FAR, groups=["camera"])))
    result = verification(EmbeddingSet.load(ranked), far=FAR, groups=["camera"])
    rows = page.table("By camera")
    assert len(rows) == 3
    for row, found in zip(rows, result.to_dict()["groups"]["camera"], strict=True):
        fmr, fnmr = found["fmr_interval"], found["fnmr_interval"]
        assert row.numbers == [
            found["fmr"],
            fmr["low"],
            fmr["high"],
            found["fnmr"],
            fnmr["low"],
            fnmr["high"],
            found["impostor"],
            found["genuine"],
        ]
    assert f"({result.groups_at.threshold:.6g})" in page.text
    methods = {each.fmr_interval.method for each in result.groups["camera"]}
    note = next(n.clean for n in page.of_class("p", "note") if n.clean.startswith("intervals: FMR"))
    assert all(f"FMR {method}" in note for method in methods)
    assert "FNMR identity bootstrap" in note


@quick
def test_a_figure_of_many_groups_says_that_it_is_cut(faces: EmbeddingSet, tmp_path: Path) -> None:
    rows = faces.rows.assign(place=[str(k % 7) for k in range(len(faces))])
    replace(faces, rows=rows).save(tmp_path / "faces")
    made = build(tmp_path / "faces", far=FAR, groups=["place"])
    captions = [
        block.caption
        for section in made.sections
        for block in section.blocks
        if isinstance(block, Figure)
    ]
    assert "The first 24 of 28 groups; the table lists all." in captions


@quick
def test_what_the_rows_do_not_have(faces: EmbeddingSet, tmp_path: Path) -> None:
    faces.save(tmp_path / "faces")
    with pytest.raises(
        EvaluationError, match=r"--camera place .* needs rows of the subsets query and gallery"
    ):
        build(tmp_path / "faces", far=FAR, camera="place")
    with pytest.raises(EvaluationError, match="unknown column 'cameras'"):
        build(tmp_path / "faces", far=FAR, groups=["cameras"])


@quick
def test_a_calibration_that_cannot_be_made_is_said(faces: EmbeddingSet) -> None:
    two = faces.select(np.isin(faces.identities, ["person_00", "person_01"]))
    measured = measure_embeddings(two, far=[0.2])
    assert measured.calibration is None
    (note,) = measured.sections()[-1].blocks
    assert note.text.startswith("Calibration: no impostor trials")


@quick
def test_several_models_on_one_page(
    faces: EmbeddingSet, run_folder: Path, tmp_path: Path, read_page: Reader
) -> None:
    faces.save(tmp_path / "first")
    worse = faces.vectors + 0.3 * stream(1, "worse").normal(size=faces.vectors.shape)
    worse /= np.linalg.norm(worse, axis=1, keepdims=True)
    worse[~faces.acquired] = 0
    replace(faces, vectors=worse.astype(np.float32)).save(run_folder / "embeddings")
    faces.select(np.arange(20)).save(tmp_path / "fewer")
    sources = [tmp_path / "first", run_folder, tmp_path / "fewer"]
    page = read_page(render(build_side_by_side(sources, far=FAR)))
    assert {
        (row.all("th") + row.all("td"))[0].text for row in page.table("Rates of each model")
    } == {str(source) for source in sources}
    assert len(page.table("TAR of each model minus")) == len(FAR)
    assert "the two embedding sets have 48 and 20 rows" in page.text
    (run_folder / "embeddings").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"no embeddings .*: make them with `facever embed"):
        build_side_by_side(sources, far=FAR)


@quick
def test_the_data_behind_a_page_is_what_was_measured(faces: EmbeddingSet, run_folder: Path) -> None:
    subset = np.where(np.arange(len(faces)) % 4 == 0, "query", "gallery")
    ranked = replace(faces, rows=faces.rows.assign(subset=subset))
    measured = measure_embeddings(ranked, far=FAR)
    assert measured.retrieval is not None
    assert measured.calibration is not None
    wanted = {
        "verification": measured.verification.to_dict(),
        "retrieval": measured.retrieval.to_dict(),
        "calibration": measured.calibration.to_dict(),
        "notes": [],
    }
    assert from_embeddings(measured).data == from_run(run_folder, measured).data == wanted
    assert from_run(run_folder).data == {}
