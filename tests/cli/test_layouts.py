"""Layouts of other data sets on the command line: one PATH for every command."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.config import parse
from facever.models import Embedder, ModelConfig, save_embedder

PATTERN = r"pattern:(?P<subset>query|gallery)/(?P<identity>\d{5})_c(?P<camera>\d{2})"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    torch.manual_seed(0)
    save_embedder(Embedder(parse(ModelConfig, config)), path, metric="cosine")
    return path


def paint(root: Path, *names: str) -> None:
    draw = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        assert cv2.imwrite(str(root / name), pixels)


def test_inspect_embed_and_evaluate_names_of_a_pattern(facever, model: Path, tmp_path: Path):
    root, out = tmp_path / "crops", tmp_path / "out"
    people = range(10000, 10004)
    paint(root, *(f"query/{p}_c01_{k}.jpg" for p in people for k in range(2)))
    paint(root, *(f"gallery/{p}_c{c:02d}.jpg" for p in people for c in (1, 12)))
    status, said, _ = facever("data", "inspect", root, "--layout", PATTERN, "--json")
    found = json.loads(said)
    assert (status, found["images"], found["identities"]) == (0, 16, 4)
    assert found["layout"] == PATTERN
    assert sorted(found["cameras"]) == ["01", "12"]
    words = ("embed", model, root, "--layout", PATTERN, "--out", out, "--workers", 0, "--crops")
    assert facever(*words)[0] == 0
    status, said, _ = facever("evaluate", "retrieval", out, "--camera", "camera", "--json")
    ranked = json.loads(said)
    assert (status, ranked["queries"], ranked["gallery"]) == (0, 8, 8)
    status, _, warned = facever(*words[:3], "--layout", "pattern:(", *words[5:])
    assert status == 2
    assert warned.startswith("error: layout 'pattern:('")


def test_a_pattern_trains(facever, tmp_path: Path):
    root = tmp_path / "crops"
    paint(root, *(f"{p}_c01_{k}.jpg" for p in range(10000, 10008) for k in range(3)))
    (tmp_path / "small.yaml").write_text(
        rf"""
data: {{root: {root}, layout: 'pattern:(?P<identity>\d{{5}})_c(?P<camera>\d{{2}})'}}
model: {{backbone: test_resnet, embedding_size: 8, preprocessing: {{size: [32, 32]}}}}
heads: [{{name: cosface, scale: 16}}]
batch: {{size: 8, images_per_identity: 2, spread_cameras: true}}
epochs: 1
device: cpu
workers: 0
tensorboard: false
"""
    )
    words = ("train", tmp_path / "small.yaml", "--out", tmp_path / "run")
    status, said, warned = facever(*words, "data.development_share=0.3")
    assert (status, "error" in warned) == (0, False), warned
    assert "model.safetensors" in said


def test_pairs_of_cross_age_lfw(facever, model: Path, tmp_path: Path):
    root, out = tmp_path / "calfw", tmp_path / "out"
    names = [f"Ann_{k:04d}.jpg" for k in range(4)] + [f"Bo_Lee_{k:04d}.jpg" for k in range(4)]
    paint(root, *(f"aligned images/{name}" for name in names))
    pairs = [(names[k], names[j], k // 4 == j // 4) for k in range(8) for j in range(k)]
    lines = [f"{name} {int(same)}" for *both, same in pairs for name in both]
    (root / "pairs_CALFW.txt").write_text("\n".join(lines))
    said = facever("data", "inspect", root, "--json")[1]
    assert (json.loads(said)["layout"], json.loads(said)["identities"]) == ("calfw", 2)
    assert facever("embed", model, root, "--out", out, "--workers", 0, "--crops")[0] == 0
    words = ("evaluate", "verification", out, "--pairs", root / "pairs_CALFW.txt")
    status, said, warned = facever(*words, "--far", "0.1", "--json")
    assert status == 0, warned
    assert json.loads(said)["trials"] == {"genuine": 12, "impostor": 16}
