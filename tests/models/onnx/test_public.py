"""A public model that is no model of faces goes the same way: catalogue, repair, crops."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from facever.catalogue import entries, is_name
from facever.models.loading import load_model


@pytest.fixture
def reid(
    make_onnx: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a public ReID model on this machine: 24 x 16 crops, no alignment."""
    path = make_onnx("reid.onnx", batch=1, listed=True)
    said = {
        "name": "small-reid",
        "title": "a small network",
        "task": "embedding",
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "urls": [],
        "licence": "none",
        "trained_on": "nobody",
        "source": "this test",
        "input": {"size": [24, 16], "color": "rgb", "mean": [0], "std": [255], "layout": "NCHW"},
    }
    listed = tmp_path / "models.json"
    listed.write_text(json.dumps({"format": 1, "models": [said]}))
    monkeypatch.setattr("facever.catalogue.listing._FILE", listed)
    monkeypatch.setenv("FACEVER_MODELS", str(path.parent))
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    entries.cache_clear()
    yield "small-reid"
    entries.cache_clear()


def test_crops_go_in_as_they_are(
    reid: str, images: list[Path], weights: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_name(reid)
    model = load_model(reid)
    assert "trained on: nobody" in capsys.readouterr().err
    assert (model.alignment, model.dimension) == ("none", weights.shape[1])
    assert model.operating_point is None
    found = model.embed_images(images)
    assert found.meta.acquisition == {"images": "crops"}
    assert "box" not in found.rows  # no face was looked for
    np.testing.assert_allclose(found.vectors, model.embed(images), atol=1e-6)
    assert load_model(reid).fingerprint == model.fingerprint  # of the repaired copy, too
