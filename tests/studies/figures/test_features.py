"""Which images a feature picture shows, and how right its prototypes are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.errors import DataError
from facever.studies.figures.features import Features, split_images


def manifest(tmp_path: Path, counts: dict[str, int]) -> Manifest:
    rows = [(f"{name}/{k}.png", name) for name, n in counts.items() for k in range(n)]
    frame = pd.DataFrame(rows, columns=["path", "identity"]).sample(frac=1, random_state=0)
    return Manifest.from_frame(frame, tmp_path, "d")


def test_a_fifth_of_the_best_known_identities_is_held_out(tmp_path: Path) -> None:
    parts = split_images(manifest(tmp_path, {"a": 10, "b": 3, "c": 20, "d": 1, "e": 5}), 4, 0)
    counts = parts.frame.groupby(["identity", "subset"]).size().unstack()
    assert counts["test"].to_dict() == {"a": 2, "b": 1, "c": 4, "e": 1}
    assert counts["train"].to_dict() == {"a": 8, "b": 2, "c": 16, "e": 4}
    again = split_images(manifest(tmp_path, {"a": 10, "b": 3, "c": 20, "e": 5}), 4, 0)
    assert again.frame["subset"].tolist() != parts.frame["subset"].tolist()[::-1]
    other = split_images(manifest(tmp_path, {"a": 10, "b": 3, "c": 20, "d": 1, "e": 5}), 4, 1)
    assert other.frame["subset"].tolist() != parts.frame["subset"].tolist()


def test_identities_with_one_image_cannot_be_held_out(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        split_images(manifest(tmp_path, {"a": 4, "b": 1}), 2, 0)


@pytest.mark.parametrize(("metric", "right"), [("euclidean", 1.0), ("dot", 0.25), ("cosine", 0.75)])
def test_accuracy_is_by_the_heads_own_metric(metric: str, right: float) -> None:
    prototypes = np.array([[1.0, 0.0], [4.0, 1.0]], np.float32)
    points = np.array([[1.2, 0.1], [1.5, 0.0], [0.5, 0.2], [3.0, 1.0]], np.float32)
    labels = np.array([0, 0, 0, 1])
    features = Features("h", Path(), metric, points, labels, ["a", "b"], prototypes)
    by_hand = [
        max(
            range(2),
            key=lambda j: {
                "euclidean": -float(((p - prototypes[j]) ** 2).sum()),
                "dot": float(p @ prototypes[j]),
                "cosine": float(p @ prototypes[j]) / float(np.linalg.norm(prototypes[j])),
            }[metric],
        )
        for p in points
    ]
    assert features.accuracy == np.mean(np.array(by_hand) == labels) == right


def test_no_prototypes_no_accuracy() -> None:
    points = np.zeros((2, 2), np.float32)
    features = Features("h", Path(), "cosine", points, np.array([0, 1]), ["a", "b"], None)
    assert features.accuracy is None
    assert "own prototype" not in features.figure().caption
