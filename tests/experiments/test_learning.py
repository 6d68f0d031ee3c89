"""tools/experiments/learning.py: what is measured of a small training."""

import numpy as np
import pytest

from facever.core.seeding import stream


def test_all_pairs_are_judged_by_each_similarity(tools):
    """Against loops over pairs; lengths differ, so that the three similarities do."""
    draw = stream(3, "verify")
    labels = np.repeat(np.arange(8), 6)
    x = (draw.normal(size=(8, 5))[labels] + draw.normal(size=(48, 5))) * draw.uniform(
        0.2, 5, (48, 1)
    )
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = tools.learning.verify(x.astype(np.float32), labels)
    scores = {
        "cosine": unit @ unit.T,
        "dot": x @ x.T,
        "euclidean": -np.square(x[:, None] - x[None]).sum(2),
    }
    one, other = np.triu_indices(48, 1)
    same = labels[one] == labels[other]
    for similarity, table in scores.items():
        genuine, impostor = table[one, other][same], table[one, other][~same]
        above = (genuine[:, None] > impostor[None]).mean()
        assert found[f"AUC ({similarity})"] == pytest.approx(above, abs=1e-4)
        threshold = np.sort(impostor)[::-1][
            int(tools.learning.FAR * len(impostor))
        ]  # not accepted itself
        tar = (genuine > threshold).mean()
        assert found[f"TAR at FAR 1e-2 ({similarity})"] == pytest.approx(tar, abs=1e-9)
    assert len({round(value, 6) for value in found.values()}) == 6
