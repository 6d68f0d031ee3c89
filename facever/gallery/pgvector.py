"""Kinds of index with which the database of a gallery in PostgreSQL searches, by pgvector.

"pgvector" is exact search. "pgvector:hnsw,m=16,ef_construction=64,ef_search=200" and
"pgvector:ivfflat,lists=100,probes=10" are approximate: `facever gallery tune --recall` chooses
`ef_search` or `probes`.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

from facever.errors import GalleryError, nearest

PGVECTOR = "pgvector"
ONLY_POSTGRES = (
    "index 'pgvector' is for galleries in PostgreSQL: give another kind, or an address "
    "postgresql://HOST/DATABASE?gallery=NAME"
)
_MOST = 16_000  # dimensions of pgvector's type `vector`
_MOST_OF_INDEX = 2_000  # dimensions of an index of `vector`
_MOST_OF_HALF_INDEX = 4_000  # dimensions of an index of `halfvec`
_BUILT = {
    "hnsw": {"m": (2, 100, 16), "ef_construction": (4, 1000, 64)},
    "ivfflat": {"lists": (1, 32_768, 100)},
}
"""Options of each index with the least, the largest and the default value."""
_SEARCHED = {"hnsw": ("ef_search", 1000), "ivfflat": ("probes", 32_768)}
"""The option of each search, and its largest value."""


@dataclass(frozen=True)
class PgvectorKind:
    """A kind of search in the database.

    Attributes:
        method: "hnsw" or "ivfflat"; None for exact search.
        built: Options with which the index is built.
        effort: `ef_search` or `probes`; None for exact search, or if it is not chosen yet.
    """

    method: str | None = None
    built: tuple[tuple[str, int], ...] = ()
    effort: int | None = None

    @classmethod
    def parse(cls, kind: str, dimension: int) -> Self:
        """Return the kind in a text; it may lack `ef_search` or `probes`.

        Args:
            kind: "pgvector", or "pgvector:METHOD,NAME=VALUE,...".
            dimension: Dimension of the vectors.

        Raises:
            GalleryError: There is no such method or option, a value is out of range, or pgvector
                cannot hold or index vectors of this dimension.
        """
        if dimension > _MOST:
            raise GalleryError(
                f"pgvector has vectors of up to {_MOST:,} dimensions, the gallery's have "
                f"{dimension:,}: use another kind of index"
            )
        _, colon, said = kind.strip().partition(":")
        if not colon:
            return cls()
        method, *words = said.lower().split(",")
        if method not in _BUILT:
            raise GalleryError(
                f"index '{kind}': unknown method '{method}'{nearest(method, _BUILT)} (allowed: "
                "pgvector, pgvector:hnsw,ef_search=N and pgvector:ivfflat,lists=N,probes=N)"
            )
        if dimension > _MOST_OF_HALF_INDEX:
            raise GalleryError(
                f"pgvector indexes vectors of up to {_MOST_OF_HALF_INDEX:,} dimensions, the "
                f"gallery's have {dimension:,}: use exact search ('pgvector')"
            )
        return cls._of(kind, method, words)

    @classmethod
    def _of(cls, kind: str, method: str, words: list[str]) -> Self:
        searched, most = _SEARCHED[method]
        built = _BUILT[method]
        limits = {name: limit[:2] for name, limit in built.items()} | {searched: (1, most)}
        said: dict[str, int] = {}
        for name, _, value in (word.partition("=") for word in words):
            least, largest = limits.get(name, (1, 0))
            if not value.isdecimal() or not least <= int(value) <= largest:
                allowed = ", ".join(f"{a} from {b} to {c:,}" for a, (b, c) in limits.items())
                raise GalleryError(f"index '{kind}': '{name}={value}' (allowed: {allowed})")
            said[name] = int(value)
        chosen = {name: said.get(name, limit[2]) for name, limit in built.items()}
        if method == "hnsw" and chosen["ef_construction"] < 2 * chosen["m"]:
            raise GalleryError(f"index '{kind}': ef_construction must be at least twice m")
        effort = said.get(searched)
        if method == "ivfflat" and effort is not None and effort > chosen["lists"]:
            raise GalleryError(f"index '{kind}': probes must be at most lists")
        return cls(method, tuple(chosen.items()), effort)

    def __str__(self) -> str:
        """Return the kind as it is stored."""
        if self.method is None:
            return PGVECTOR
        options = [*self.built, *([] if self.effort is None else [(self.option, self.effort)])]
        words = [self.method, *(f"{name}={value}" for name, value in options)]
        return f"{PGVECTOR}:{','.join(words)}"

    @property
    def option(self) -> str:
        """The name of the option that `effort` is the value of."""
        return _SEARCHED[str(self.method)][0]

    @property
    def most_effort(self) -> int:
        """The largest value of `effort`."""
        most = _SEARCHED[str(self.method)][1]
        return min(most, dict(self.built).get("lists", most))

    def with_effort(self, effort: int) -> Self:
        """Return the same index, searched with another `ef_search` or `probes`."""
        return replace(self, effort=effort)


def is_pgvector(kind: str) -> bool:
    """Return whether a kind of index is a search in the database."""
    return kind.strip().partition(":")[0].lower() == PGVECTOR


def checked_pgvector(kind: str, dimension: int) -> str:
    """Return a kind of search in the database in stored form.

    Raises:
        GalleryError: As by `PgvectorKind.parse`; or `ef_search` or `probes` is missing.
    """
    parsed = PgvectorKind.parse(kind, dimension)
    if parsed.method is not None and parsed.effort is None:
        raise GalleryError(
            f"index '{kind}' needs {parsed.option}=N: choose it with 'facever gallery tune GALLERY "
            f"--index {parsed} --recall 0.99'"
        )
    return str(parsed)


def index_type(dimension: int) -> str:
    """Return pgvector's type that an index of vectors has: `vector`, or the smaller `halfvec`."""
    return "vector" if dimension <= _MOST_OF_INDEX else "halfvec"


def efforts(kind: PgvectorKind, least: int) -> list[int]:
    """Return values of `ef_search` or `probes` to try, ascending, each about 1.4 times the last."""
    first = min(max(1, least), kind.most_effort) if kind.method == "hnsw" else 1
    steps = math.ceil(2 * math.log2(kind.most_effort / first)) if first < kind.most_effort else 0
    tried = {min(kind.most_effort, round(first * 2 ** (step / 2))) for step in range(steps + 1)}
    return sorted(tried)
