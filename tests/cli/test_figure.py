"""`facever figure`, run as a person runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from facever.cli.figure import app
from facever.data.preprocessing import Preprocessing
from facever.errors import ConfigError, FaceverError
from facever.models import Embedder, ModelConfig, save_embedder
from facever.models.keypoints import KeypointConfig
from facever.training.run import Run

Call = Callable[..., Result]

SMALL = """
data: {{root: {root}}}
model: {{backbone: test_resnet, embedding_size: 8, preprocessing: {{size: [32, 32]}}}}
augmentation: null
batch: {{size: 8}}
epochs: 2
device: cpu
workers: 0
tensorboard: false
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    for identity in range(6):
        (root / "images" / f"p{identity}").mkdir(parents=True)
        pattern = random.integers(0, 255, (4, 4, 3))
        for shot in range(10):
            small = np.clip(pattern + random.normal(0, 20, pattern.shape), 0, 255)
            image = cv2.resize(small.astype(np.uint8), (32, 32))
            cv2.imwrite(str(root / "images" / f"p{identity}" / f"{shot}.png"), image)
    path = root / "small.yaml"
    path.write_text(SMALL.format(root=root / "images"))
    return path


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture(scope="module")
def runs(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    words = ["features", config, "--heads", "softmax", "cosface", "--identities", "5"]
    words += ["--runs", folder, "--out", folder / "f.html", "--json"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.exception
    (folder / "said.json").write_text(done.stdout)
    return folder


def test_features(runs: Path) -> None:
    said = json.loads((runs / "said.json").read_text())
    assert [head["head"] for head in said["heads"]] == ["softmax", "cosface"]
    assert [head["metric"] for head in said["heads"]] == ["dot", "cosine"]
    assert said["heads"][0]["identities"] == ["p0", "p1", "p2", "p3", "p4"]
    assert said["heads"][0]["images"] == 10  # 2 of 10 of each
    page = (runs / "f.html").read_text()
    assert page.count("<svg") == 2
    assert (runs / "runs" / "softmax" / "model.safetensors").is_file()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_features_as_a_picture_without_training_again(
    call: Call, config: Path, runs: Path, tmp_path: Path, suffix: str
) -> None:
    before = Run(runs / "runs" / "softmax").model.stat().st_mtime_ns
    done = call(
        "features", config, "--heads", "softmax", "--identities", 5, "--runs", runs,
        "--out", f"f.{suffix}",
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    assert Run(runs / "runs" / "softmax").model.stat().st_mtime_ns == before
    start = (tmp_path / f"f.{suffix}").read_bytes()[:5]
    assert start in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    assert "nearest to their own prototype" in done.stdout


def test_features_of_another_configuration_are_refused(
    call: Call, config: Path, runs: Path
) -> None:
    done = call(
        "features", config, "epochs=3", "--heads", "softmax", "--identities", 5, "--runs", runs
    )
    assert isinstance(done.exception, ConfigError)
    assert "was trained with epochs = 2, not 3" in str(done.exception)


def test_prototypes(call: Call, runs: Path, tmp_path: Path) -> None:
    run = runs / "runs" / "cosface"
    names = [f"p{k}" for k in range(5)]
    own = np.random.default_rng(0).normal(size=(5, 5))
    pd.DataFrame(own + own.T, index=names, columns=names).to_csv(tmp_path / "own.csv")
    done = call("prototypes", run, "--matrix", "own.csv", "--permutations", 99, "--json")
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)
    assert said["similarity"] == "cosine"
    assert sorted(said["identities"]) == names
    assert said["agreement"]["permutations"] == 99
    assert (tmp_path / "prototypes.html").read_text().count("<svg") == 1
    text = call("prototypes", run, "--identities", 3, "--out", "p.png").stdout
    assert "3 of 5 prototypes of the head cosface" in text


def test_rbf(call: Call, tmp_path: Path) -> None:
    done = call("rbf", "--gamma", 1, 4, "--scale", 2, "--identities", 5, "--json")
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)
    assert [one["gamma"] for one in said["gammas"]] == [1, 4]
    assert said["scales"][0]["highest_probability"] == pytest.approx(1 / (1 + 4 * np.exp(-2)))
    assert (tmp_path / "rbf.html").read_text().count("<svg") == 3
    assert "K = 1/2 at distance" in call("rbf", "--out", "r.png").stdout


def test_keypoints(call: Call, config: Path, tmp_path: Path) -> None:
    local = KeypointConfig(stages=(3, 4), keypoints=2)
    model = ModelConfig(
        backbone="test_resnet", embedding_size=8, local=local, preprocessing=Preprocessing(size=64)
    )
    save_embedder(Embedder(model), tmp_path / "m.safetensors", metric="cosine")
    done = call("keypoints", "m.safetensors", config.parent / "images", "--count", 2, "--json")
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)
    assert [Path(path).parent.name for path in said["images"]] == ["p0", "p1"]
    assert [(one["stage"], one["keypoint"]) for one in said["keypoints"]] == [
        (3, 1), (3, 2), (4, 1), (4, 2),
    ]  # fmt: skip
    assert (tmp_path / "keypoints.png").read_bytes()[:4] == b"\x89PNG"
    image = config.parent / "images" / "p0" / "0.png"
    text = call("keypoints", "m.safetensors", image, image, "--out", "k.html").stdout
    assert text.splitlines()[0].split() == ["keypoint", "spread", "row", "column"]
    assert (tmp_path / "k.html").read_text().count("<svg") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("features", "CONFIG", "--out", "x.gif"), "x.gif: the file name must end in .html, .png"),
        (("features", "CONFIG"), "no heads: give --heads softmax cosine ..."),
        (("features", "CONFIG", "--heads", "softmax", "--identities", "1"), "must be 2 or more"),
        (("prototypes", "nowhere"), "nowhere is not a run folder"),
        (("keypoints", "nowhere", "a.png"), "no model at nowhere: give a run folder"),
        (("keypoints", "nowhere", "a.png", "--out", "k.gif"), "k.gif: the file name must end in"),
        (("rbf", "--gamma", "0"), "--gamma 0: it must be more than 0"),
        (("rbf", "--scale", "-1"), "--scale -1: it must be more than 0"),
        (("rbf", "--identities", "1"), "--identities 1: it must be 2 or more"),
    ],
)
def test_wrong_use_is_one_line(
    call: Call, config: Path, words: tuple[str, ...], message: str
) -> None:
    done = call(*(config if word == "CONFIG" else word for word in words))
    assert isinstance(done.exception, FaceverError), done.exception
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
