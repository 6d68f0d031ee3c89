"""Every command takes an ONNX model where it takes a run."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.models.loading import load_model
from facever.models.onnx.adding import add_model


@pytest.fixture
def model(make_onnx, tmp_path: Path) -> Path:
    return add_model(make_onnx(size=(32, 32)), tmp_path / "m.onnx", mean=120, std=50).path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six people of a colour each, four images."""
    random = np.random.default_rng(2)
    root = tmp_path / "people"
    for person in range(6):
        (root / f"p{person}").mkdir(parents=True)
        colour = random.integers(0, 256, 3)
        for shot in range(4):
            image = np.clip(colour + random.normal(0, 9, (40, 30, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / f"p{person}" / f"{shot}.png"), image)
    return root


def test_from_images_to_a_report(facever, model: Path, people: Path, tmp_path: Path) -> None:
    embeddings, report = tmp_path / "embeddings", tmp_path / "report.html"
    assert facever("embed", model, people, "--out", embeddings)[0] == 0
    held = EmbeddingSet.load(embeddings)
    files = [people / path for path in held.rows["path"]]
    np.testing.assert_array_equal(held.vectors, load_model(model).embed(files))
    assert held.meta.fingerprint == load_model(model).fingerprint
    point = tmp_path / "point.json"
    words = ("--far", "0.1", "--at-far", "0.1", "--save-operating-point", point, "--json")
    status, out, _ = facever("evaluate", "verification", embeddings, *words)
    assert (status, json.loads(out)["trials"]["genuine"]) == (0, 6 * 6)
    assert facever("report", embeddings, "--far", "0.1", "--out", report)[0] == 0
    page = report.read_text(encoding="utf-8")
    assert held.meta.fingerprint[:8] in page
    assert "data:image" in page  # pictures of pairs
    pair = (people / "p0" / "0.png", people / "p0" / "1.png")
    status, out, _ = facever("verify", model, *pair, "--operating-point", point)
    assert (status, "same" in out) == (0, True)


def test_a_gallery(facever, model: Path, people: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    assert facever("gallery", "create", gallery, "--model", model)[0] == 0
    assert facever("gallery", "enroll", gallery, people, "--model", model)[0] == 0
    image = people / "p3" / "2.png"
    words = ("gallery", "search", gallery, image, "--model", model, "--json")
    status, out, _ = facever(*words)
    assert status in (0, 2)  # 2: no operating point decides
    assert "p3" in out
    assert facever("gallery", "check", gallery)[0] == 0
