"""`facever export` and `gallery accept-equivalent`, as commands."""

import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.config import parse
from facever.models import Embedder, ModelConfig, save_embedder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    embedder = Embedder(parse(ModelConfig, config))
    with torch.no_grad():
        embedder.train()(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
    save_embedder(embedder, folder / "model.safetensors", metric="cosine")
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, draw = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for i in range(12):
        path = root / "abc"[i // 4] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), draw.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    return root


def test_the_whole_way(facever, run: Path, people: Path, tmp_path: Path) -> None:
    out, gallery, image = tmp_path / "m.onnx", tmp_path / "gallery", people / "a" / "0.png"
    words = ["--check-images", people, "--check", people, "--far", 0.1, "--licence", "CC0"]
    words += ["--engine", "onnx"]
    status, said, _ = facever("export", run, "--out", out, *words, "--json")
    assert status == 0
    told = json.loads(said)
    assert told["cost"]["distances"]["images"] == 12
    assert told["cost"]["distances"]["largest"] < 1e-9
    assert told["check"]["trials"] == {"genuine": 18, "impostor": 48}

    assert facever("gallery", "create", gallery, "--model", run)[0] == 0
    assert facever("gallery", "enroll", gallery, people, "--model", run)[0] == 0
    status, _, error = facever("gallery", "search", gallery, image, "--model", out)
    assert (status, error.count("\n")) == (2, 1)
    assert told["fingerprint"] in error
    status, said, _ = facever("gallery", "accept-equivalent", gallery, out, "--json")
    assert status == 0
    found = json.loads(said)
    assert (found["fingerprint"], found["images"]) == (told["fingerprint"], 12)
    status, said, _ = facever("gallery", "search", gallery, image, "--model", out, "--json")
    assert status in (0, 2)  # no operating point, no decision
    assert "'a'" in facever("gallery", "search", gallery, image, "--model", out)[1]
    assert told["fingerprint"] in facever("gallery", "info", gallery)[1]
    again = ["--images", people, "--original", run]
    assert facever("gallery", "accept-equivalent", gallery, out, *again)[0] == 0
    remove = ["--remove", told["fingerprint"]]
    assert facever("gallery", "accept-equivalent", gallery, *remove)[0] == 0
    assert facever("gallery", "search", gallery, image, "--model", out)[0] == 2


def test_an_output_that_exists(facever, run: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("old")
    status, _, error = facever("export", run, "--out", tmp_path / "m.onnx")
    assert (status, error.count("\n")) == (2, 1)
    assert "--overwrite" in error


def test_a_full_disk(
    facever, run: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facever.deployment import origin

    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(origin, "atomic_path", full)
    words = ["--out", tmp_path / "m.onnx", "--check-images", people]
    status, _, error = facever("export", run, *words)
    assert (status, error.count("\n")) == (2, 1)
    assert "No space left on device" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--far", "0.1"], "--check DATA"),
        (["--protocol", "lfw-view2"], "--check DATA"),
        (["--precision", "int8"], "--calibrate DATA"),
        (["--calibrate", "x"], "--precision int8"),
        (["--layout", "CHW"], "NCHW"),
    ],
)
def test_wrong_use(facever, words: list[str], said: str, run: Path, tmp_path: Path) -> None:
    status, _, error = facever("export", run, "--out", tmp_path / "m.onnx", *words)
    assert (status, error.count("\n")) == (2, 1)
    assert said in error


def test_wrong_use_of_accept_equivalent(facever, tmp_path: Path) -> None:
    for words in ([], ["m.onnx", "--remove", "f"], ["--remove", "f", "--images", "x"]):
        status, _, error = facever("gallery", "accept-equivalent", tmp_path, *words)
        assert (status, error.count("\n")) == (2, 1)
        assert "--remove" in error
