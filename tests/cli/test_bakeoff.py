"""`facever bakeoff`, run as a person runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from facever.cli.bakeoff import app
from facever.data.manifest import Manifest
from facever.data.split import split
from facever.data.synthesize import synthesize
from facever.errors import FaceverError

Call = Callable[..., Result]

SMALL = """
data: {{root: {root}, train: {{subset: train}}, development_share: 0}}
model: {{backbone: test_resnet, embedding_size: 8, preprocessing: {{size: [32, 32]}}}}
augmentation: null
batch: {{size: 8}}
epochs: 1
device: cpu
workers: 0
tensorboard: false
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    faces = synthesize(root / "images", 10, 4, size=32)
    assert faces is not None
    parts = split(Manifest.from_folder(root / "images"), {"train": 0.6, "test": 0.4})
    parts.save(root / "faces.csv")
    path = root / "small.yaml"
    path.write_text(SMALL.format(root=root / "faces.csv"))  # no heads: they are named
    return path


@pytest.fixture
def call() -> Call:
    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


def test_two_heads(call: Call, config: Path, tmp_path: Path) -> None:
    words = (config, "batch.size=12", "--heads", "softmax", "cosface:scale=16,margin=0.2")
    rest = ("--test", "subset=test", "--seeds", "2", "--far", "0.2", "0.1", "--out", tmp_path / "o")
    done = call(*words, *rest, "--json")
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)
    assert said == json.loads((tmp_path / "o" / "bakeoff.json").read_text())
    assert said["baseline"] == "softmax"
    assert list(said["heads"][0]["figures"]) == ["accuracy", "tar@2e-1", "tar@1e-1"]
    assert [run["seed"] for run in said["runs"]] == [0, 0, 1, 1]
    assert "size: 12" in (tmp_path / "o/runs/softmax/seed-0/config.yaml").read_text()
    again = call(*words, *rest, "--baseline", "cosface:scale=16,margin=0.2")
    assert again.exit_code == 0
    assert "Each head minus cosface:scale=16,margin=0.2" in again.stdout
    assert (tmp_path / "o" / "bakeoff.txt").read_text() == again.stdout
    assert "written:" in again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--heads", "cosine", "cosface"), "no test images: give --test"),
        (("--test", "subset=test"), "a bake-off needs two heads or more"),
        (("--heads", "cosine", "cosfase", "--test", "subset=test"), "did you mean 'cosface'?"),
        (("--heads", "cosine", "cosface:m=1", "--test", "subset=test"), "unknown key"),
        (("--heads", "cosine", "triplet", "--test", "subset=test"), "batch.images_per_identity"),
        (
            ("--heads", "cosine", "cosface", "--test", "subset=train"),
            "are used for training or selection",
        ),
    ],
)
def test_wrong_use_is_one_line(
    call: Call, config: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = call(config, *words, "--out", tmp_path / "out")
    assert isinstance(done.exception, FaceverError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_signal_stops_it_and_the_same_command_goes_on(
    call: Call, config: Path, tmp_path: Path
) -> None:
    """A whole process: SIGTERM in the first run; then the same command to the end."""
    words = [str(config), "epochs=12", "--heads", "softmax", "cosface", "--test", "subset=test"]
    words += ["--seeds", "1", "--far", "0.1", "--out", str(tmp_path / "out")]
    child = subprocess.Popen(
        [sys.executable, "-m", "facever", "bakeoff", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    first = tmp_path / "out" / "runs" / "softmax" / "seed-0"
    deadline = time.monotonic() + 120
    while not (first / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 143, err
    assert "stopped by SIGTERM; run the same command to continue" in err
    assert not (first / "model.safetensors").exists()
    done = call(*words)
    assert done.exit_code == 0, done.exception
    assert "cosface" in done.stdout
    assert (first / "model.safetensors").is_file()
