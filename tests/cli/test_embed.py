import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from facever.config import parse
from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.failures import FailureRate
from facever.models import Embedder, ModelConfig, save_embedder
from facever.models.extractor import extraction_fingerprint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    torch.manual_seed(0)
    path = tmp_path / "m.safetensors"
    save_embedder(Embedder(parse(ModelConfig, config)), path, metric="cosine")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root that holds `people`: two subsets, one unreadable image."""
    folder = tmp_path / "root" / "people"
    draw = np.random.default_rng(0)
    rows = ["path,identity,subset"]
    for i in range(6):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), pixels)
        rows.append(f"images/{i}.png,person{i // 2},{'test' if i < 4 else 'train'}")
    (folder / "images" / "1.png").write_text("no image")
    (folder / "people.csv").write_text("\n".join(rows))
    return folder.parent


def test_embed(facever, model: Path, data: Path, tmp_path: Path):
    out = tmp_path / "out"
    table = data / "people" / "people.csv"
    status, said, warned = facever("embed", model, table, "--out", out, "--workers", 0)
    assert status == 0
    assert f"embeddings: {out}\nimages:     6 of 3 identities\n" in said
    assert "acquired:   crops (no alignment)\n" in said
    exact = binomtest(1, 6).proportion_ci(0.95, method="exact")
    rate = f"1 of 6 (FTA 0.167, 95% {exact.low:.3g} to {exact.high:.3g})"
    assert f"failed:     {rate}\n" in said
    why = "not an image of a known format"
    first = f"1 {why}; first: {data}/people/images/1.png: {why}"
    assert f"warning: {rate} images failed (see rows.parquet): {first}\n" in warned
    made = EmbeddingSet.load(out)
    assert made.rows["path"].tolist() == [f"images/{i}.png" for i in range(6)]


def test_options_reach_the_extraction(facever, model: Path, data: Path, tmp_path: Path):
    out = tmp_path / "out"
    options = [
        "--flip",
        "--precision",
        "bf16",
        "--batch-size",
        3,
        "--workers",
        0,
        "--device",
        "cpu",
    ]
    named = ["people/people.csv", "--data", data, "--subset", "test", "--layout", "table"]
    status, said, _ = facever("embed", model, *named, "--out", out, *options, "--json")
    assert status == 0
    result = json.loads(said)
    assert result["seconds"] > 0
    made = EmbeddingSet.load(out)
    assert set(made.rows["subset"]) == {"test"}
    assert {k: v for k, v in result.items() if k != "seconds"} == {
        "embeddings": str(out),
        "images": 4,
        "failed": 1,
        "failure_to_acquire": FailureRate(1, 4).to_dict()
        | {"reasons": {"not an image of a known format": 1}},
        "acquisition": {"images": "crops"},
        "identities": 2,
        "without_identity": 0,
        "dimension": 8,
        "metric": "cosine",
        "fingerprint": made.meta.fingerprint,
        "options": {
            "flip": True,
            "precision": "bf16",
            "batch_size": 3,
            "on_error": "skip",
            "device": "cpu",
        },
    }
    assert made.meta.fingerprint != extraction_fingerprint("")


def test_several_subsets(facever, model: Path, data: Path, tmp_path: Path):
    both = ["--subset", "test", "--subset", "train", "--workers", 0, "--json"]
    table = data / "people" / "people.csv"
    assert (
        json.loads(facever("embed", model, table, "--out", tmp_path / "o", *both)[1])["images"] == 6
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL", "nowhere", "--out", "OUT"], "no data 'nowhere' (searched: here"),
        (["gone", "TABLE", "--out", "OUT"], "no model at gone: give a run folder, a"),
        (["MODEL", "TABLE", "--out", "OUT", "--subset", "x"], "people: no image has subset x"),
        (["MODEL", "TABLE", "--out", "OUT", "--layout", "x"], "unknown layout 'x'"),
        (["MODEL", "TABLE", "--out", "OUT", "--workers", "many"], "--workers is 'many' (allowed"),
        (["MODEL", "TABLE", "--out", "OUT", "--precision", "x"], "precision is 'x' (allowed: fp32"),
        (["MODEL", "TABLE", "--out", "OUT", "--batch-size", "0"], "batch size 0: it must be 1"),
        (["MODEL", "TABLE", "--out", "OUT", "--device", "x"], "unknown device 'x' (allowed: auto"),
        (["MODEL", "TABLE", "--out", "OUT", "--strict", "--workers", "0"], "IMAGES/1.png: not an"),
        (["MODEL", "TABLE", "--out", "ROOT"], "ROOT exists and is not an embedding set"),
    ],
)
def test_bad_input_is_one_line(words, message, facever, model: Path, data: Path, tmp_path: Path):
    places = {
        "MODEL": str(model),
        "TABLE": str(data / "people" / "people.csv"),
        "OUT": str(tmp_path / "out"),
        "ROOT": str(data),
        "IMAGES": str(data / "people" / "images"),
    }
    for name, place in places.items():
        words = [place if word == name else word for word in words]
        message = message.replace(name, place)
    status, said, warned = facever("embed", *words)
    assert (status, said) == (2, "")
    assert warned.startswith(f"error: {message}")
    assert warned.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_finished_set_is_replaced_only_when_asked(
    facever, model: Path, data: Path, tmp_path: Path
):
    table = data / "people" / "people.csv"
    words = ["embed", model, table, "--out", tmp_path / "out", "--workers", 0]
    assert facever(*words)[0] == 0
    status, _, warned = facever(*words, "--subset", "test")
    assert (status, warned) == (
        2,
        f"error: {tmp_path}/out already contains an embedding set: choose another path, or "
        "overwrite it\n",
    )
    assert facever(*words, "--subset", "test", "--overwrite")[0] == 0
    assert len(EmbeddingSet.load(tmp_path / "out")) == 4
