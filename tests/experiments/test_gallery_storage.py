import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet

TOOL = Path(__file__).parents[2] / "tools" / "experiments" / "gallery_storage.py"


def test_smaller_vectors_cost_little_and_something(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("gallery_storage", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gallery_storage", tool)
    spec.loader.exec_module(tool)
    draw = np.random.default_rng(0)
    people = [f"p{i}" for i in range(600) for _ in range(1 + i % 2)] + [f"s{i}" for i in range(200)]
    centres = {person: draw.normal(size=128) for person in people}
    vectors = [centres[person] + 0.5 * draw.normal(size=128) for person in people]
    exact, half, quarter = tool.measure(EmbeddingSet.from_arrays(vectors, people, fingerprint="x"))
    assert (exact.storage, half.storage, quarter.storage) == ("float32", "float16", "int8")
    assert (exact.largest_change, exact.first_changed, exact.decisions_changed) == (0, 0, 0)
    assert 0 < half.mean_change < half.largest_change < 1e-3
    assert half.largest_change < quarter.largest_change < 1e-2
    assert quarter.bytes_per_image < half.bytes_per_image < exact.bytes_per_image
    assert exact.fnir == pytest.approx(0, abs=0.1)  # every mated probe is clearly theirs
