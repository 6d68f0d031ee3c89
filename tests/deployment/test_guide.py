"""The Python of docs/deployment.md gives the vectors of facever."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.deployment.export import export_model
from facever.faces.alignment import align
from facever.models.loading import load_model

GUIDE = Path(__file__).parents[2] / "docs" / "deployment.md"
LANDMARKS = np.array([[20.3, 30.1], [61.7, 25.2], [44.9, 52.8], [27.4, 77.7], [66.2, 71.9]])


@pytest.fixture
def guide(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of the guide's Python, with its model, and that model's run."""
    run = make_run(
        backbone="tests.deployment.backbones:Plain",
        alignment="arcface-112",
        preprocessing={"size": 112},
    )
    export_model(run, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(compile(code, os.fspath(GUIDE), "exec"), names)
    return names, run


@pytest.mark.parametrize("shift", [0.0, -15.5, 40.0], ids=["inside", "beyond", "far beyond"])
def test_the_python(guide: Any, shift: float) -> None:
    names, run = guide
    draw = np.random.default_rng(0)
    photo = draw.integers(0, 256, (12, 10, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    mine, crop = (cut(photo, LANDMARKS + shift) for cut in (names["aligned"], align))
    assert np.abs(mine.astype(int) - crop).max() <= 4  # OpenCV's weights have 5 bits
    assert np.abs(mine.astype(int) - crop).mean() < 0.5
    found = names["embed"](np.stack([mine, mine]))
    assert found.shape == (2, 8)
    wanted = load_model(run).embed(crop, photos=False)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found @ wanted.T, 1, atol=1e-5)
