"""--engine and --precision wherever a command takes a model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facever.config import parse
from facever.core.run_folder import RunFolder
from facever.models import Embedder, ModelConfig, save_embedder
from facever.models.loading import load_model
from facever.models.onnx.adding import add_model


@pytest.fixture
def path(make_onnx, tmp_path: Path) -> Path:
    return add_model(make_onnx(), tmp_path / "m.onnx", mean=120, std=50).path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with an untrained model, without an ONNX file."""
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    torch.manual_seed(0)
    folder = tmp_path / "run"
    folder.mkdir()
    save_embedder(
        Embedder(parse(ModelConfig, config)), folder / "model.safetensors", metric="cosine"
    )
    return folder


def test_embed_and_verify(facever, path: Path, coloured: list[Path], tmp_path: Path) -> None:
    data = coloured[0].parent.parent
    found = {}
    for engine in ("auto", "onnxruntime", "openvino"):
        words = ["embed", path, data, "--out", tmp_path / engine, "--engine", engine, "--json"]
        status, said, noted = facever(*words)
        assert status == 0, noted
        found[engine] = json.loads(said)
    assert found["auto"]["fingerprint"] == found["onnxruntime"]["fingerprint"]
    assert found["openvino"]["fingerprint"] == load_model(path, engine="openvino").fingerprint
    assert found["openvino"]["options"]["engine"] == "openvino"
    one, two = (np.load(tmp_path / name / "vectors.npy") for name in ("auto", "openvino"))
    np.testing.assert_allclose(one, two, atol=1e-5)
    scores = []
    for engine in ("onnxruntime", "openvino"):
        words = ["verify", path, *coloured[:2], "--engine", engine, "--json"]
        scores.append(json.loads(facever(*words)[1])["score"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_a_gallery_of_an_engine(facever, path: Path, coloured: list[Path], tmp_path: Path) -> None:
    data, gallery = coloured[0].parent.parent, tmp_path / "gallery"
    status, _, noted = facever(
        "gallery", "create", gallery, "--model", path, "--engine", "openvino"
    )
    assert status == 0, noted
    assert facever("gallery", "enroll", gallery, data, "--model", path)[0] == 0  # its own engine
    search = ["gallery", "search", gallery, coloured[0], "--model", path, "--json"]
    status, said, _ = facever(*search)
    assert (status, json.loads(said)["answers"][0]["candidates"][0]["person"]) == (0, "p0")
    status, _, noted = facever(*search, "--engine", "onnxruntime")
    other, own = (load_model(path, engine=one).fingerprint for one in ("onnxruntime", "openvino"))
    assert status == 2
    assert other in noted
    assert own in noted
    words = ["gallery", "migrate", gallery, "--model", path, "--engine", "onnxruntime", "--json"]
    status, said, noted = facever(*words)
    assert (status, json.loads(said)["fingerprint"]) == (0, other), noted
    assert facever(*search)[0] == 0


def test_a_run_by_an_engine_of_onnx(
    facever, run: Path, make_onnx, coloured: list[Path], tmp_path: Path
) -> None:
    words = ["verify", run, *coloured[:2], "--engine", "onnxruntime"]
    status, _, noted = facever(*words)
    assert status == 2
    assert f"facever export {run} --out {RunFolder(run).onnx}" in noted
    weights = RunFolder(run).model
    status, _, noted = facever("verify", weights, *coloured[:2], "--engine", "openvino")
    assert status == 2
    assert f"facever export {weights} --out MODEL.onnx" in noted
    file = RunFolder(run).onnx
    add_model(make_onnx(), file, mean=120, std=50)
    status, _, noted = facever(*words)
    assert status == 2
    assert f"facever export {run} --out {file} --overwrite" in noted  # of other weights
    assert facever("export", run, "--out", file, "--overwrite")[0] == 0
    status, said, noted = facever(*words, "--json")
    assert json.loads(said)["fingerprint"] == load_model(file).fingerprint, noted
    plain = json.loads(facever("verify", run, *coloured[:2], "--json")[1])
    assert plain["fingerprint"] == load_model(run).fingerprint  # auto: torch, as before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["verify", "MODEL", "A", "A", "--engine", "fast"], "unknown engine 'fast'"),
        (["verify", "MODEL", "A", "A", "--engine", "torch"], "engine is 'torch'"),
        (["verify", "MODEL", "A", "A", "--precision", "int8"], "precision is 'int8'"),
        (
            ["gallery", "create", "G", "--from-embeddings", "E", "--engine", "openvino"],
            "--engine are set by the embedding set",
        ),
        (["gallery", "search", "G", "--embeddings", "E", "--engine", "openvino"], "--engine"),
        (["gallery", "enroll", "G", "E", "--engine", "openvino"], "--engine apply to images"),
        (["gallery", "migrate", "G", "--abandon", "--engine", "openvino"], "omit all other"),
    ],
)
def test_wrong_use(words: list[str], named: str, facever, path: Path, coloured: list[Path]) -> None:
    given = {"MODEL": path, "A": coloured[0]}
    status, _, noted = facever(*(given.get(word, word) for word in words))
    assert status == 2
    assert named in noted
    assert len(noted.strip().splitlines()) == 1
