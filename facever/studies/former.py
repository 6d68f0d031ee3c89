"""Former function `index_cost`, replaced by `tune`; removed in the next version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.one_to_many.identification import DEFAULT_FPIRS, DEFAULT_RANKS
from facever.evaluation.one_to_many.identified import IdentificationResult
from facever.render.blocks import Section
from facever.render.result import Result
from facever.studies.index_tuning import IndexRow, IndexTuning, tune

DEFAULT_INDEXES = ("Flat", "IVF256,Flat", "HNSW32", "PQ64")


@dataclass(frozen=True)
class IndexCost(Result):
    """Exact identification and the rates of each index; replaced by `IndexTuning`."""

    tuning: IndexTuning

    @property
    def exact(self) -> IdentificationResult:
        """Identification by exact search."""
        return self.tuning.exact

    @property
    def rows(self) -> list[IndexRow]:
        """The indexes, the exact one first."""
        return self.tuning.rows

    @property
    def warnings(self) -> list[str]:
        """Warnings for the reader."""
        return self.tuning.warnings

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values by their former keys."""
        tuned = self.tuning.to_dict()
        rows = [
            {
                "index": "Flat" if row["kind"] == "flat" else row["kind"],
                "operating_points": row["operating_points"],
                "recall": row["recall"],
                "build_seconds": row["build_seconds"],
                "probe_seconds": row["batch_seconds"],
                "latency_seconds": row["latency_seconds"],
                "bytes": row["memory_bytes"],
            }
            for row in tuned["rows"]
        ]
        indexes = {"candidates": tuned["candidates"], "threads": tuned["threads"], "rows": rows}
        return {**self.exact.to_dict(), "indexes": indexes, "warnings": self.warnings}

    def describe(self) -> list[Section]:
        """Return exact identification, and the rates of each index."""
        return [*self.exact.describe(), *self.tuning.describe()]


def index_cost(
    probes: EmbeddingSet,
    gallery: EmbeddingSet,
    indexes: Sequence[str] = DEFAULT_INDEXES,
    *,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    similarity: str | None = None,
    candidates: int | None = None,
    level: float = 0.95,
) -> IndexCost:
    """Call `facever.studies.index_tuning.tune` in its former form."""
    tuned = tune(
        gallery,
        probes,
        indexes,
        fpir=fpir,
        ranks=ranks,
        similarity=similarity,
        k=max(ranks, default=1),
        candidates=candidates,
        level=level,
    )
    return IndexCost(tuned)
