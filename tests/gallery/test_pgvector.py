"""Kinds of searches in the database: their forms, limits and defaults."""

from itertools import pairwise

import pytest

from facever.errors import GalleryError
from facever.gallery.index.kinds import checked_kind
from facever.gallery.pgvector import PgvectorKind, efforts


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (" PGVector ", "pgvector"),
        ("pgvector:hnsw,ef_search=80", "pgvector:hnsw,m=16,ef_construction=64,ef_search=80"),
        (
            "pgvector:HNSW,ef_search=1000,m=32,ef_construction=100",
            "pgvector:hnsw,m=32,ef_construction=100,ef_search=1000",
        ),
        ("pgvector:ivfflat,probes=100", "pgvector:ivfflat,lists=100,probes=100"),
        ("pgvector:ivfflat,lists=7,probes=3", "pgvector:ivfflat,lists=7,probes=3"),
    ],
)
def test_a_kind_is_stored_with_all_its_options(given: str, stored: str) -> None:
    assert checked_kind(given, 512) == stored == checked_kind(stored, 512)


@pytest.mark.parametrize(
    ("given", "dimension", "said"),
    [
        ("pgvector", 16_001, "16,000"),
        ("pgvector:hnsw,ef_search=80", 4_001, "4,000"),
        ("pgvector:ivfflat,probes=8", 4_001, "4,000"),
        ("pgvector:hnws,ef_search=80", 512, "did you mean 'hnsw'"),
        ("pgvector:", 512, "allowed: pgvector, pgvector:hnsw"),
        ("pgvector:hnsw", 512, "gallery tune GALLERY --index pgvector:hnsw"),
        ("pgvector:ivfflat,lists=10", 512, "needs probes=N"),
        ("pgvector:hnsw,ef_search=1001", 512, "ef_search from 1 to 1,000"),
        ("pgvector:hnsw,ef_search=x", 512, "'ef_search=x'"),
        ("pgvector:hnsw,probes=3", 512, "'probes=3'"),
        ("pgvector:hnsw,m=40,ef_search=3", 512, "ef_construction must be at least twice m"),
        ("pgvector:ivfflat,lists=10,probes=11", 512, "probes must be at most lists"),
    ],
)
def test_what_is_not_possible_is_one_line(given: str, dimension: int, said: str) -> None:
    with pytest.raises(GalleryError) as raised:
        checked_kind(given, dimension)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dimension", [16_000, 2_001])
def test_the_largest_dimensions_are_allowed(dimension: int) -> None:
    assert checked_kind("pgvector", dimension) == "pgvector"
    assert checked_kind("pgvector:hnsw,ef_search=9", min(dimension, 4_000))


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("pgvector:hnsw", 10, 1000),
        ("pgvector:ivfflat,lists=37", 1, 37),
        ("pgvector:ivfflat,lists=1", 1, 1),
    ],
)
def test_efforts_go_up_to_the_largest_in_steps(kind: str, least: int, most: int) -> None:
    tried = efforts(PgvectorKind.parse(kind, 512), 10)
    assert (tried[0], tried[-1]) == (least, most)
    assert all(a < b <= max(a + 1, 1.5 * a) for a, b in pairwise(tried))
