import numpy as np
import pytest

from facever.gallery.index.people import best_people, mean_vectors


@pytest.mark.parametrize("k", [1, 3, 7])
def test_best_people_against_a_loop(k: int) -> None:
    random = np.random.default_rng(k)
    scores = -np.sort(-random.normal(size=(50, 12)), axis=1).astype(np.float32)
    owners = random.integers(-1, 6, size=(50, 12))
    found_scores, found_owners = best_people(scores, owners, k)
    for row in range(50):
        best: dict[int, float] = {}
        for score, owner in zip(scores[row], owners[row], strict=True):
            if owner >= 0:
                best.setdefault(int(owner), float(score))
        expected = list(best.items())[:k]
        padded = expected + [(-1, -np.inf)] * (k - len(expected))
        assert list(zip(found_owners[row], found_scores[row], strict=True)) == padded


def test_means_over_parts_without_the_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facever.gallery.index.people._ROWS_AT_ONCE", 7)
    random = np.random.default_rng(0)
    sizes = (20, 0, 9)
    parts = [
        (
            random.normal(size=(size, 3)).astype(np.float32),
            np.arange(size),
            random.integers(-1, 5, size=size) * 10,
        )
        for size in sizes
    ]
    for _, _, owners in parts:
        owners[owners < 0] = -1
    keys, means = mean_vectors(parts, 3)
    vectors = np.concatenate([vectors for vectors, _, _ in parts])
    owners = np.concatenate([owners for _, _, owners in parts])
    assert keys.tolist() == sorted(set(owners.tolist()) - {-1})
    for key, mean in zip(keys, means, strict=True):
        assert np.allclose(mean, vectors[owners == key].mean(axis=0), atol=1e-6)
