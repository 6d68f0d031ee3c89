"""The model card: what is known, "not measured" otherwise, and no path or name of a person."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from facever.errors import ConfigError, DataError
from facever.evaluate import verification
from facever.operating_point import OperatingPoint
from facever.report.card import write_card

CONFIG = {
    "data": {"root": "/home/grace/secret/people"},
    "model": {
        "backbone": "resnet10t",
        "embedding_size": 8,
        "pretrained": "/home/grace/weights.pth",
        "preprocessing": {"size": [112, 96]},
        "alignment": "arcface-112",
    },
    "heads": [{"name": "cosface", "margin": 0.35}],
    "best_by": "auc",
    "epochs": 4,
}
LINES = [
    {"kind": "train", "step": 10, "loss": 2.5, "seconds": 3.0},
    {"kind": "development", "step": 10, "epoch": 1, "weights": "raw", "auc": 0.8, "tar@1e-2": None},
    {"kind": "development", "step": 20, "epoch": 2, "weights": "raw", "auc": 0.9, "tar@1e-2": None},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    (folder / "environment.json").write_text('{"versions": {"facever": "0.1.0"}}')
    people = {"identity": ["ada lovelace", "grace hopper"], "dataset": "lab", "images": [3, 4]}
    pd.DataFrame({**people, "use": "train"}).to_parquet(folder / "identities.parquet")
    return folder


def front(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_a_card_says_what_is_known_and_what_is_not(run: Path) -> None:
    text = write_card(run, licence="apache-2.0", intended_use="Tests only.").read_text()
    said = front(text)
    assert said["license"] == "apache-2.0"
    assert said["library_name"] == "facever"
    assert said["datasets"] == ["lab"]
    assert "model-index" not in said
    for fact in ("7 images of 2 people", "96 x 112", "Tests only.", "cosface", "0.9000", "0.35"):
        assert fact in text
    assert "| last logged update | 20 |" in text  # of an evaluation, after that of the last loss
    assert text.count("ot measured") >= 3  # TAR, verification, groups
    assert "no operating point" in text


def test_a_card_has_no_path_and_no_name_of_a_person(run: Path, faces) -> None:
    trained = pd.DataFrame({"identity": faces.rows["identity"][:4].to_numpy(), "dataset": "tiny"})
    replace(faces, trained_on=trained).save(run / "embeddings")
    text = write_card(run, far=[1e-1]).read_text()
    assert "trained on 1 of the 12 people" in text
    for secret in ("/home", "secret", "weights.pth", "lovelace", "hopper", str(run)):
        assert secret not in text
    assert "person" not in text


def test_figures_have_their_intervals_and_groups(run: Path, faces) -> None:
    faces = replace(faces, rows=faces.rows.copy())
    faces.rows["camera"] = [f"c{k % 2}" for k in range(len(faces.rows))]
    faces.save(run / "embeddings")
    result = verification(faces, far=[1e-1])
    text = write_card(run, far=[1e-1], groups=["camera"]).read_text()
    [measured] = front(text)["model-index"][0]["results"]
    by_name = {one["name"]: one["value"] for one in measured["metrics"]}
    assert by_name["AUC"] == pytest.approx(result.auc.value)
    assert by_name["TAR at FAR 0.1"] == pytest.approx(result.at(1e-1).tar)
    span = result.at(1e-1).interval
    assert f"\\[{span.low:.4f}, {span.high:.4f}\\]" in text
    assert "| FAR target | FAR |" in text
    assert "camera" in text
    assert "Not measured" not in text


def test_the_threshold_is_that_of_the_run(run: Path) -> None:
    OperatingPoint(
        threshold=0.4321,
        target_rate=0.01,
        achieved_rate=0.008,
        interval={"low": 0.004, "high": 0.013, "method": "wilson"},
        trials={"genuine": 50, "impostor": 1000},
        dataset="lab",
    ).save(run / "operating_point.json")
    text = write_card(run).read_text()
    for fact in ("cosine \\> 0.4321", "50 genuine, 1,000 impostor", "0.01"):
        assert fact in text


def test_a_card_that_may_be_edited_is_kept(run: Path) -> None:
    path = write_card(run)
    path.write_text("by hand")
    with pytest.raises(ConfigError, match="--overwrite"):
        write_card(run)
    assert path.read_text() == "by hand"
    assert front(write_card(run, overwrite=True).read_text())["license"] == "unknown"


def test_what_cannot_be_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run folder"):
        write_card(tmp_path)
    with pytest.raises(ConfigError, match="--on"):
        write_card(run, groups=["camera"])
    assert not (run / "MODEL_CARD.md").exists()
