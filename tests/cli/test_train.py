"""`facever train`, run as a person runs it."""

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

from facever.cli import recipes
from facever.cli.train import app
from facever.config import load
from facever.data.synthesize import synthesize
from facever.errors import ConfigError, FaceverError
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.saving.checkpoint import load_checkpoint

Train = Callable[..., Result]

SMALL = """
data: {{root: {root}, development_share: 0.3}}
model: {{backbone: test_resnet, embedding_size: 16, preprocessing: {{size: [32, 32]}}}}
heads: [{{name: cosface, scale: 16}}]
batch: {{size: 8}}
epochs: 2
device: cpu
workers: 0
tensorboard: false
"""


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    synthesize(root, 12, 4, size=32)
    return root


@pytest.fixture
def config(faces: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(root=faces))
    return path


@pytest.fixture
def train() -> Train:
    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


def test_train_and_overrides(train: Train, config: Path, tmp_path: Path) -> None:
    done = train(config, "epochs=1", "heads.0.margin=0.2", "--out", tmp_path / "run", "--json")
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)
    assert said["epochs"] == 1
    assert said["best"]["by"] == "auc"
    assert Path(said["model"]).is_file()
    assert "margin: 0.2" in Run(tmp_path / "run").config.read_text()


def test_the_default_folder_is_named_after_the_configuration(
    train: Train, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("small", "small-2"):
        assert train(config, "epochs=1").exit_code == 0
        assert (tmp_path / "runs" / name / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "facever recipes"),
        (("none.yaml",), "no configuration file and no recipe 'none.yaml'"),
        (("lfw_bset",), "did you mean 'lfw_best'?"),
        (("elsewhere/lfw_best.yaml",), "did you mean 'lfw_best'?"),
        (("CONFIG", "epoch=1"), "unknown key 'epoch'; did you mean 'epochs'?"),
        (("CONFIG", "model.backbone=resnet10x"), "resnet10t"),
        (("CONFIG", "heads.0.name=cosfase"), "did you mean 'cosface'?"),
        (("CONFIG", "data.root=nowhere"), "nowhere"),
        (("CONFIG", "model.neck=none"), "embedding"),
        (("--resume", "nowhere"), "is not a run folder"),
        (("--resume", "nowhere", "epochs=3"), "is not a run folder"),
        (("--resume", "nowhere", "--out", "x"), "omit --out"),
    ],
)
def test_wrong_use_is_one_line(
    train: Train, config: Path, words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    given = [str(config) if word == "CONFIG" else word for word in words]
    out = (
        ["--out", str(tmp_path / "run")] if "--out" not in given and "--resume" not in given else []
    )
    done = train(*given, *out)
    assert isinstance(done.exception, FaceverError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_a_signal_saves_and_resume_finishes(train: Train, config: Path, tmp_path: Path) -> None:
    """A whole process: SIGTERM, one line, a checkpoint; then resume with the same command."""
    run = Run(tmp_path / "run")
    words = [sys.executable, "-m", "facever", "train", str(config), "epochs=500", "workers=1"]
    child = subprocess.Popen(
        [*words, "--out", str(run.path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not run.metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGTERM)  # as a shell or a scheduler sends it: to the group
    _, err = child.communicate(timeout=60)
    assert child.returncode == 143
    assert f"stopped by SIGTERM; continue with: facever train --resume {run.path}" in err
    assert "Traceback" not in err
    assert run.last.is_file()
    assert not run.model.exists()

    changed = train(config, "epochs=500", "workers=1", "seed=3", "--resume", run.path)
    assert isinstance(changed.exception, ConfigError)
    assert "was trained with seed = 0, not 3" in str(changed.exception)
    changed = train("--resume", run.path, "optimizer.lr=1", "epochs=700")
    assert isinstance(changed.exception, ConfigError)
    assert "omit optimizer.lr" in str(changed.exception)
    done = load_checkpoint(run.last)["position"]["epoch"]

    early = train("--resume", run.path, f"epochs={done + 1}", "--json")
    assert early.exit_code == 0, early.exception
    assert json.loads(early.stdout)["epochs"] == done + 1
    assert f"{done + 1} epochs instead of 500" in early.stderr
    assert run.model.is_file()


def test_the_recipes_are_listed_and_trained_by_name(
    train: Train, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = CliRunner().invoke(recipes.app, ["--json"])
    found = {one["name"]: one for one in json.loads(listed.stdout)}
    assert {"folder", "lfw_best", "market_htg"} <= found.keys()
    for one in found.values():
        assert 20 < len(one["summary"]) <= 100
        load(TrainConfig, Path(one["path"]))
        text = CliRunner().invoke(recipes.app).stdout
        assert one["name"] in text
        assert one["summary"] in text
    monkeypatch.chdir(tmp_path)
    small = ("model.backbone=test_resnet", "batch.size=8", "workers=0", "device=cpu", "epochs=1")
    done = train("folder", f"data.root={faces}", *small)
    assert done.exit_code == 0, done.exception
    assert "embedding_size: 256" in (tmp_path / "runs" / "folder" / "config.yaml").read_text()


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    train: Train, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = train(config, "--dry-run", "epochs=4")
    assert done.exit_code == 0, done.output
    for words in ("32 images of 8 people", "16 images of 4 other people", "16 updates", "about"):
        assert words in done.output
    plan = json.loads(train(config, "--dry-run", "--json").stdout)
    assert (plan["images"], plan["people"], plan["updates"]) == (32, 8, 8)
    assert plan["seconds"] > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_is_of_a_new_training(train: Train, config: Path, tmp_path: Path) -> None:
    refused = train("--dry-run", "--resume", tmp_path).exception
    assert isinstance(refused, ConfigError)
    assert "--resume" in str(refused)
    assert isinstance(train("--dry-run").exception, ConfigError)
