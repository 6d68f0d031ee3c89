"""Galleries of made-up people, and the slow search that they are compared with.

The tests of the files in `ON_BOTH` run on galleries in folders and in PostgreSQL, except those with
the mark `in_folder`; the tests of other files look into the files of a gallery.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import Answer
from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint

Ranking = list[tuple[str, float]]
ON_BOTH = {
    f"test_{name}"
    for name in (
        "checks", "decisions", "expiry", "gallery", "ids", "pages", "probabilities", "ranges",
        "review", "search", "uses", "wrong_use",
    )
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks nothing of files on every kind of gallery."""
    name = metafunc.module.__name__.rpartition(".")[2]
    if "where_kept" in metafunc.fixturenames and name in ON_BOTH:
        in_folder = metafunc.definition.get_closest_marker("in_folder") is not None
        metafunc.parametrize("where_kept", ["folder"] if in_folder else ["folder", "postgres"])


@pytest.fixture
def where_kept() -> str:
    """How the gallery of a test is kept; see `pytest_generate_tests`."""
    return "folder"


@pytest.fixture
def place(where_kept: str, tmp_path: Path, request: pytest.FixtureRequest) -> str | Path:
    """Where a test makes its gallery: a folder, or an address in PostgreSQL."""
    if where_kept == "folder":
        return tmp_path / "gallery"
    return f"{request.getfixturevalue('postgres_emptied')}&gallery=people"


@pytest.fixture
def units() -> Callable[..., NDArray[np.float32]]:
    """Make random unit rows."""

    def make(count: int, seed: int = 0, dimension: int = 8) -> NDArray[np.float32]:
        vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return make


@pytest.fixture
def slow_search() -> Callable[..., Ranking]:
    """Rank every person by float64 products, one at a time."""

    def search(vectors: NDArray, people: list[str], probe: NDArray, rule: str = "max") -> Ranking:
        scores: dict[str, list[float]] = {}
        for vector, person in zip(vectors.tolist(), people, strict=True):
            product = sum(a * b for a, b in zip(vector, probe.tolist(), strict=True))
            scores.setdefault(person, []).append(product)
        ranked = [(p, max(s) if rule == "max" else sum(s) / len(s)) for p, s in scores.items()]
        return sorted(ranked, key=lambda pair: -pair[1])

    return search


@pytest.fixture
def assert_answer() -> Callable[[Answer, Ranking], None]:
    """Compare an answer with the people expected, best first."""

    def check(answer: Answer, expected: Ranking) -> None:
        assert [c.person for c in answer.candidates] == [person for person, _ in expected]
        scores = [score for _, score in expected]
        assert np.allclose([c.score for c in answer.candidates], scores, atol=1e-6)

    return check


@pytest.fixture
def empty(place: str | Path) -> Iterator[Gallery]:
    with Gallery.create(place, fingerprint="model-1", dimension=8) as gallery:
        yield gallery


@pytest.fixture
def faces(units: Callable[..., NDArray[np.float32]]) -> EmbeddingSet:
    """Sixty images of twelve people: one has a single image, one more than half of all."""
    people = ["a"] * 35 + [chr(ord("b") + i % 10) for i in range(24)] + ["single"]
    return EmbeddingSet.from_arrays(
        units(60), people, fingerprint="model-1", path=[f"{i}.jpg" for i in range(60)]
    )


@pytest.fixture
def gallery(empty: Gallery, faces: EmbeddingSet) -> Gallery:
    empty.enroll(faces)
    return empty


@pytest.fixture
def make_point() -> Callable[..., OperatingPoint]:
    def make(kind: str = "1:1-image", threshold: float = 0.5, **changes: object) -> OperatingPoint:
        values: dict[str, object] = {
            "kind": kind,
            "threshold": threshold,
            "target_rate": 1e-3,
            "achieved_rate": 9e-4,
            "trials": {"genuine": 100, "impostor": 10_000},
            "fingerprint": "model-1",
        }
        if kind == "1:N":
            values |= {"score_rule": "max", "gallery_size": 12}
        values |= {"achieved_rate": 0.0} if "target_rate" in changes else {}
        return OperatingPoint.model_validate({**values, **changes})

    return make


@pytest.fixture
def make_calibration() -> Callable[..., ScoreCalibration]:
    def make(kind: str = "1:1-image", **changes: object) -> ScoreCalibration:
        values: dict[str, object] = {
            "kind": kind,
            "method": "logistic",
            "scores": (0.0, 1.0),
            "llrs": (-4.0, 6.0),
            "prior": 0.25,
            "trials": {"genuine": 100, "impostor": 10_000},
            "fingerprint": "model-1",
        }
        if kind == "1:N":
            values |= {"score_rule": "max", "gallery_size": 12}
        return ScoreCalibration.model_validate({**values, **changes})

    return make
