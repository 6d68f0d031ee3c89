"""Galleries of made-up people, and the slow search that they are compared with.

Every test whose gallery is at `place` runs on galleries in folders and in PostgreSQL, except those
with the mark `in_folder`, which says why. Tests that make a folder themselves are about its files.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import Answer
from facever.gallery.gallery import Gallery
from facever.gallery.store.postgres.address import parse_address
from facever.operating_point import OperatingPoint

Ranking = list[tuple[str, float]]
KEPT = ("folder", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on every kind of gallery, unless it has a reason."""
    if "where_kept" in metafunc.fixturenames:
        in_folder = metafunc.definition.get_closest_marker("in_folder")
        assert in_folder is None or in_folder.args, "in_folder needs a reason"
        metafunc.parametrize("where_kept", KEPT if in_folder is None else KEPT[:1])


@pytest.fixture
def where_kept() -> str:
    """How the gallery of a test is kept; see `pytest_generate_tests`."""
    raise AssertionError("it is given by pytest_generate_tests")


@pytest.fixture
def place(where_kept: str, tmp_path: Path, request: pytest.FixtureRequest) -> str | Path:
    """Where a test makes its gallery: a folder, or an address in PostgreSQL."""
    if where_kept == "folder":
        return tmp_path / "gallery"
    cache = f"&cache={tmp_path / 'cache'}" if "index_folder" in request.fixturenames else ""
    return f"{request.getfixturevalue('postgres_emptied')}&gallery=people{cache}"


@pytest.fixture
def index_folder(where_kept: str, tmp_path: Path) -> Path:
    """The folder of the index's files of the gallery at `place`."""
    return tmp_path / "gallery" if where_kept == "folder" else tmp_path / "cache" / "people"


@pytest.fixture
def run_sql(place: str | Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Run a statement on the tables of the gallery at `place`, past facever; return its rows."""

    def run(sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if isinstance(place, Path):
            with closing(sqlite3.connect(place / "gallery.db")) as db, db:
                return db.execute(sql, values).fetchall()
        import psycopg

        address = parse_address(place)
        with psycopg.connect(address.conninfo) as raw:
            raw.execute(f"SET search_path TO {address.schema}".encode())
            found = raw.execute(sql.replace("?", "%s").encode(), values)
            return found.fetchall() if found.description else []

    return run


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
