"""Templates against a slow loop written from the definition."""

import numpy as np
import pytest

import facever.evaluation.pooling as room
from facever.errors import EvaluationError
from facever.evaluate import pool_templates


def slow(vectors, templates, media, weights, acquired):
    """Mean within each media, mean over media, normalised; zero where nothing is left."""
    pooled = {}
    for name in sorted(set(templates)):
        by_media = {}
        for row in range(len(vectors)):
            if templates[row] == name and acquired[row]:
                key = ("alone", row) if media[row] is None else media[row]
                by_media.setdefault(key, []).append(weights[row] * vectors[row].astype(float))
        means = [sum(rows) / len(rows) for rows in by_media.values()]
        mean = sum(means) / len(means) if means else np.zeros(vectors.shape[1])
        pooled[name] = (mean, len(means), sum(map(len, by_media.values())))
    return pooled


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    size = 300
    vectors = rng.standard_normal((size, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    templates = rng.integers(40, size=size)
    return {
        "vectors": vectors.astype(np.float32),
        "templates": [f"t{code:02d}" for code in templates],
        "identities": [f"p{code // 2}" for code in templates],
        # the same number in two templates is two media
        "media": [None if code == 0 else f"v{code}" for code in rng.integers(4, size=size)],
        "weights": rng.random(size),
        "acquired": (rng.random(size) > 0.3) & (templates != 7),
    }


@pytest.mark.parametrize("chunk", [1 << 16, 13])
@pytest.mark.parametrize("left_out", [[], ["media"], ["weights"], ["acquired"]])
def test_templates_are_those_of_the_loop(frames, left_out, chunk, monkeypatch):
    monkeypatch.setattr(room, "_CHUNK", chunk)
    given = {name: values for name, values in frames.items() if name not in left_out}
    found = pool_templates(**given)
    default = {"media": [None] * 300, "weights": np.ones(300), "acquired": np.ones(300, bool)}
    used = {**frames, **{name: default[name] for name in left_out}}
    used.pop("identities")
    expected = slow(**used)
    assert found.names.tolist() == list(expected)
    for t, (mean, media, images) in enumerate(expected.values()):
        length = np.linalg.norm(mean)
        assert (found.media[t], found.images[t]) == (media, images)
        assert found.lengths[t] == pytest.approx(length, rel=1e-6)
        assert found.acquired[t] == (media > 0)
        assert found.vectors[t] == pytest.approx(mean / (length or 1), abs=1e-6)
    assert found.failed.sum() == (~used["acquired"]).sum()
    assert found.identities.tolist() == [f"p{int(name[1:]) // 2}" for name in found.names]


def test_a_long_video_counts_as_one_still():
    rows = [[0.0, 1.0]] + [[1.0, 0.0]] * 9
    media = ["still"] + ["video"] * 9
    pooled = pool_templates(rows, ["t"] * 10, ["Ada"] * 10, media=media)
    assert pooled.vectors[0] == pytest.approx([np.sqrt(0.5)] * 2)
    plain = pool_templates(rows, ["t"] * 10, ["Ada"] * 10)
    assert plain.vectors[0] == pytest.approx(np.array([9, 1]) / np.sqrt(82))


def test_poor_media_count_less_and_equal_weights_change_nothing():
    rows, names = [[1.0, 0.0], [0.0, 1.0]], ["t", "t"]
    weighted = pool_templates(rows, names, ["A"] * 2, media=[1, 2], weights=[3, 1])
    assert weighted.vectors[0] == pytest.approx(np.array([3, 1]) / np.sqrt(10))
    even = pool_templates(rows, names, ["A"] * 2, media=[1, 2], weights=[5, 5])
    assert np.array_equal(even.vectors, pool_templates(rows, names, ["A"] * 2).vectors)


def test_what_leaves_no_direction_is_a_failure_to_acquire():
    rows = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    pooled = pool_templates(
        rows, ["cancels", "cancels", "lost", "weighs nothing"], ["A", "A", "B", "C"],
        weights=[1, 1, 1, 0], acquired=[True, True, False, True],
    )  # fmt: skip
    assert pooled.names.tolist() == ["cancels", "lost", "weighs nothing"]
    assert not pooled.acquired.any()
    assert not pooled.vectors.any()
    assert pooled.failed.tolist() == [0, 1, 0]


def test_vectors_cancel_up_to_rounding():
    angles = np.array([0.3, 0.3 + 2 * np.pi / 3, 0.3 - 2 * np.pi / 3])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert np.linalg.norm(rows.astype(np.float64).sum(axis=0)) > 0
    assert not pool_templates(rows, ["t"] * 3, ["A"] * 3).acquired.any()


def test_an_image_that_failed_needs_neither_vector_nor_weight():
    rows = [[np.nan, 0], [0, 1]]
    pooled = pool_templates(
        rows, ["t", "t"], ["A", "A"], weights=[np.nan, 2], acquired=[False, True]
    )
    assert pooled.vectors.tolist() == [[0, 1]]


def test_bad_input_is_one_line():
    rows = np.eye(3)
    cases = [
        ({"templates": ["a", "b"]}, r"^2 templates for 3 vectors$"),
        ({"media": [1]}, r"^1 media for 3 vectors$"),
        ({"weights": [1, 2]}, r"^2 weights for 3 vectors$"),
        ({"acquired": [True]}, r"^1 acquired for 3 vectors$"),
        ({"templates": ["a", None, "b"]}, r"^the template of row 1 is missing$"),
        ({"identities": ["A", "B", None]}, r"^the identity of row 2 is missing$"),
        ({"weights": [1, -1, 1]}, r"^the weight of row 1 is -1: it must be 0 or more$"),
        ({"weights": [1, 1, np.nan]}, r"^the weight of row 2 is nan: it must be 0 or more$"),
        (
            {"identities": ["A", "B", "A"], "templates": ["t", "t", "t"]},
            r"^template t shows two identities, A and B: a template is of one person$",
        ),
        ({"vectors": np.ones(3)}, r"^vectors must be a matrix \[N, D\], not of shape \(3,\)$"),
    ]
    for changes, message in cases:
        given = {"vectors": rows, "templates": list("abc"), "identities": list("ABC"), **changes}
        with pytest.raises(EvaluationError, match=message):
            pool_templates(**given)
