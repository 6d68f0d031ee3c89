import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.config import parse
from facever.models import Embedder, ModelConfig, save_embedder
from facever.models.loading import load_model
from facever.operating_point import OperatingPoint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained model, and two images."""
    folder = tmp_path_factory.mktemp("run")
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    torch.manual_seed(0)
    save_embedder(
        Embedder(parse(ModelConfig, config)), folder / "model.safetensors", metric="cosine"
    )
    for name, value in (("a", 3), ("b", 4)):
        pixels = np.random.default_rng(value).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def make_point(run: Path, threshold: float, **changes: object) -> OperatingPoint:
    values = {
        "threshold": threshold,
        "target_rate": 1e-2,
        "achieved_rate": 1e-2,
        "trials": {"genuine": 10, "impostor": 1000},
        "fingerprint": load_model(run).fingerprint,
    }
    return OperatingPoint.model_validate({**values, **changes})


def score(run: Path) -> float:
    a, b = load_model(run).embed([run / "a.png", run / "b.png"]).astype(float)
    return float(a @ b)


def test_without_an_operating_point_there_is_a_score_and_no_decision(facever, run: Path) -> None:
    status, said, noted = facever("verify", run, run / "a.png", run / "b.png")
    assert status == 2
    assert said == f"score:    {score(run):.4f} (cosine)\n"
    assert noted == "score only: there is no operating point\n"


@pytest.mark.parametrize(
    ("distance", "status", "word"), [(-0.01, 0, "same"), (0.01, 1, "different")]
)
def test_the_runs_operating_point_decides(
    facever, run: Path, tmp_path: Path, distance: float, status: int, word: str
) -> None:
    own = tmp_path / "run"
    shutil.copytree(run, own)
    make_point(run, score(run) + distance).save(own / "operating_point.json")
    left, said, noted = facever("verify", own, own / "a.png", own / "b.png")
    assert (left, noted) == (status, "")
    assert f"\ndecision: {word} person\nby:       score > {score(run) + distance:.4f}, set" in said


def test_the_operating_point_given_comes_first(facever, run: Path, tmp_path: Path) -> None:
    own = tmp_path / "run"
    shutil.copytree(run, own)
    make_point(run, -1).save(own / "operating_point.json")
    make_point(run, 1).save(tmp_path / "strict.json")
    words = ("verify", own, own / "a.png", own / "b.png")
    assert facever(*words)[0] == 0
    status, said, _ = facever(*words, "--operating-point", tmp_path / "strict.json", "--json")
    told = json.loads(said)
    assert (status, told["same"], told["operating_point"]["threshold"]) == (1, False, 1)
    assert told["score"] == pytest.approx(score(run), abs=1e-6)


def test_bad_input_is_one_line_and_status_2(facever, run: Path, tmp_path: Path) -> None:
    a, b = run / "a.png", run / "b.png"
    point = tmp_path / "point.json"
    make_point(run, 0).save(point)
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "broken.json").write_text("{")
    make_point(run, 0, kind="1:N", score_rule="max", gallery_size=2).save(tmp_path / "many.json")
    for words, message in (
        ((tmp_path / "no", a, b), str(tmp_path / "no")),
        ((run, a, tmp_path / "no.png"), "no.png"),
        ((run, a, tmp_path / "text.jpg"), "text.jpg"),
        ((run, a, b, "--operating-point", tmp_path / "no.json"), "no operating point at"),
        ((run, a, b, "--operating-point", tmp_path / "broken.json"), "not JSON"),
        ((run, a, b, "--operating-point", tmp_path / "many.json"), "between two images"),
        ((run, a, b, "--precision", "fp8"), "allowed: fp32, bf16"),
    ):
        status, said, refused = facever("verify", *words)
        assert (status, said, refused.count("\n")) == (2, "", 1), (words, refused)
        assert refused.startswith("error: ")
        assert message in refused, words
    # other options are another model: its fingerprint is shown beside the operating point's
    status, _, refused = facever("verify", run, a, b, "--flip", "--operating-point", point)
    assert status == 2
    assert load_model(run).fingerprint in refused
    assert load_model(run, flip=True).fingerprint in refused
