import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from facever.errors import DataError
from facever.render.blocks import Note, Sheet
from facever.render.page import Report, render
from facever.report import training
from facever.report.training import TrainingRecord

Reader = Callable[[str], Any]
pytestmark = pytest.mark.usefixtures("quick_figures")


def show(run: Path, read_page: Reader, thumbnails: bool = True) -> Any:
    record = TrainingRecord.read(run)
    sections = training.sections(record, thumbnails)
    return read_page(render(Report(training.describe(record), "v", "m", [], sections)))


def test_what_was_trained_on_what(run_folder: Path, read_page: Reader) -> None:
    page = show(run_folder, read_page)
    assert page.all("h1")[0].text == (
        "resnet10t + cosface + softmax, trained on 7 images of 2 people (lfw)"
    )
    facts = page.facts()
    assert facts["input"] == "48 x 64 pixels"
    assert facts["trained on"] == "2 people, 7 images of lfw"
    assert facts["selection on"] == "1 people, 5 images of lfw"
    assert facts["updates"] == "40"
    assert facts["images seen"] == "1,280"  # 40 updates of 2 batches of 16
    assert facts["time"] == "20 s, 64 images/s including evaluations"
    assert facts["best"] == "raw weights of update 20, development AUC 0.812"
    assert facts["heads.0.margin"] == "0.35"
    assert facts["data.root"].startswith("<script>")
    assert facts["versions.torch"] == "2.11.0"
    assert facts["processor"].startswith("<script>")
    assert "gpu" not in facts  # there is none
    assert facts["model fingerprint"] == "no model.safetensors yet"


def test_the_curves_and_the_table_of_development(run_folder: Path, read_page: Reader) -> None:
    page = show(run_folder, read_page)
    titles = [figure.all("h3")[0].text for figure in page.of_class("figure", "plot")]
    assert titles == ["Loss", "Learning rate", "Development: AUC"]
    rows = page.table("All evaluations on the development people")
    assert [row.numbers for row in rows[:2]] == [[10, 1, 0.7], [10, 1, 0.6, 0.125]]
    assert "not measurable" in rows[0].text
    assert [len(row.children) for row in rows] == [5] * 6


def test_the_lowest_equal_error_rate_is_the_best(run_folder: Path) -> None:
    record = TrainingRecord.read(run_folder)
    lines = record.development.rename(columns={"auc": "eer"})
    turned = TrainingRecord(
        **{**vars(record), "development": lines, "config": {**record.config, "best_by": "eer"}}
    )
    chosen = turned.chosen
    assert chosen is not None
    assert (chosen["step"], chosen["weights"]) == (10, "ema")


def test_the_batch_picture_is_shown_unless_unwanted(run_folder: Path, read_page: Reader) -> None:
    assert len(show(run_folder, read_page).all("img")) == 1
    assert not show(run_folder, read_page, thumbnails=False).all("img")
    (run_folder / "train_batch.png").write_bytes(b"cut short")
    sheets = [
        block
        for block in training.sections(TrainingRecord.read(run_folder))[0].blocks
        if isinstance(block, Sheet)
    ]
    assert sheets[0].picture.uri is None
    assert "train_batch.png" in sheets[0].picture.reason


def test_a_training_that_has_just_begun(run_folder: Path, read_page: Reader) -> None:
    for name in ("metrics.jsonl", "environment.json", "identities.parquet", "train_batch.png"):
        (run_folder / name).unlink()
    page = show(run_folder, read_page)
    assert "No training curves" in page.of_class("p", "note")[0].text
    assert page.all("h1")[0].text == "resnet10t + cosface + softmax"


def test_a_last_line_cut_short_is_left_out(run_folder: Path) -> None:
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 5')
    assert TrainingRecord.read(run_folder).train["step"].tolist() == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", "{\n"),
        ("config.yaml", "a: [1"),
        ("config.yaml", "just words"),
        ("config.yaml", "seed: " + "9" * 5_000),
        ("environment.json", 100_000 * "[" + 100_000 * "]"),
        ("environment.json", "{"),
        ("environment.json", "[]"),
        ("identities.parquet", "no parquet"),
        ("model.safetensors", "no weights"),
    ],
)
def test_damaged_files_give_one_line(run_folder: Path, name: str, content: str) -> None:
    (run_folder / name).write_text(content)
    with pytest.raises(DataError, match="damaged") as caught:
        TrainingRecord.read(run_folder)
    assert "\n" not in str(caught.value)


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a run folder: config\.yaml is missing"):
        TrainingRecord.read(tmp_path)


def test_the_fingerprint_is_read_from_the_header_alone(run_folder: Path) -> None:
    header = {"fingerprint": "abc", "config": {}}
    path = run_folder / "model.safetensors"
    save_file({"w": np.zeros(3)}, path, metadata={"facever": json.dumps(header)})
    assert TrainingRecord.read(run_folder).fingerprint == "abc"
    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(DataError, match="was not saved by facever"):
        TrainingRecord.read(run_folder)


def test_a_real_model_has_that_header(run_folder: Path) -> None:
    from facever.models.embedder import Embedder, ModelConfig
    from facever.models.saving import save_embedder

    config = ModelConfig(backbone="test_resnet", embedding_size=8)
    expected = save_embedder(Embedder(config), run_folder / "model.safetensors", metric="cosine")
    assert TrainingRecord.read(run_folder).fingerprint == expected


def test_an_odd_configuration_is_shown_all_the_same(run_folder: Path, read_page: Reader) -> None:
    shutil.copy(run_folder / "config.yaml", run_folder / "old.yaml")
    (run_folder / "config.yaml").write_text("heads: nothing\nmodel: 3\nnested: {list: [1, {a: 2}]}")
    facts = show(run_folder, read_page).facts()
    assert facts["nested.list.1.a"] == "2"


def test_the_alarms_of_the_collapse_watch_are_shown(run_folder: Path) -> None:
    said = "update 50, head 'cosface': the loss stays at 4.6. Try a lower <optimizer.lr>"
    alarm = {"kind": "alarm", "step": 50, "alarm": "x", "head": "cosface", "message": said}
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(alarm) + "\n")
    record = TrainingRecord.read(run_folder)
    assert record.alarms["message"].tolist() == [said]
    (section, *_) = training.sections(record)
    assert Note(said, warning=True) in section.blocks


def test_attribute_accuracies_have_readable_names() -> None:
    assert training.figure_name("attributes/accuracy/hair=red") == "attributes accuracy hair=red"
