"""The files of a run, by the names under which the documents and earlier versions know them."""

import json
import os
from pathlib import Path

import pytest

from facever.core.run_folder import RunFolder, read_metrics
from facever.errors import DataError

LINES = [{"kind": "train", "step": 10, "loss": 0.5}, {"kind": "development", "step": 12}]
TEXT = "".join(json.dumps(line) + "\n" for line in LINES)


def test_the_names_are_those_of_earlier_versions() -> None:
    run = RunFolder("runs/one")
    names = {name: os.fspath(path) for name, path in vars(run).items()}
    assert names == {
        "path": "runs/one",
        "config": "runs/one/config.yaml",
        "checkpoints": "runs/one/checkpoints",
        "last": "runs/one/checkpoints/last.pt",
        "best": "runs/one/checkpoints/best.pt",
        "model": "runs/one/model.safetensors",
        "onnx": "runs/one/model.onnx",
        "metrics": "runs/one/metrics.jsonl",
        "tensorboard": "runs/one/tensorboard",
        "mlflow": "runs/one/mlflow.json",
        "card": "runs/one/MODEL_CARD.md",
        "batch_picture": "runs/one/train_batch.png",
        "environment": "runs/one/environment.json",
        "identities": "runs/one/identities.parquet",
        "operating_point": "runs/one/operating_point.json",
        "profile": "runs/one/profile",
        "embeddings": "runs/one/embeddings",
        "development": "runs/one/development",
        "lock": "runs/one/.training.lock",
    }
    assert os.fspath(run) == "runs/one"
    assert run.attributes() == Path("runs/one/attributes.safetensors")
    assert run.attributes("attributes_2") == Path("runs/one/attributes_2.safetensors")


def test_the_log_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text(TEXT)
    assert read_metrics(path) == LINES


@pytest.mark.parametrize("cut", ['{"kind": "train", "step": 5', '{"kind": "train", "step": 5}'])
def test_a_last_line_cut_short_is_left_out(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(TEXT + cut)
    assert read_metrics(path) == LINES


@pytest.mark.parametrize(
    "line", ["{", "", "[1]", '{"kind": "train"}', '{"step": 1}', "7", 99 * "[" + 99 * "]"]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{TEXT}{line}\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl is damaged: line 3 "):
        read_metrics(path)
