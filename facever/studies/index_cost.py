"""What an approximate index costs: identification by FAISS indexes beside exact search.

Every index answers the same probes with lists of candidates; the thresholds are those that exact
search needs for each FPIR. As in a gallery an index only proposes: candidates are ranked and
decided by the pairs' own scores. So what it does not find is missed, which FNIR shows, and its FPIR
is never above that of exact search.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from facever.core.console import say
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.columns import people_column
from facever.evaluation.inputs import shared_codes, vectors_for
from facever.evaluation.one_to_many.candidates import recall, searched_from_lists
from facever.evaluation.one_to_many.identification import (
    DEFAULT_FPIRS,
    DEFAULT_RANKS,
    identification,
    searchable,
)
from facever.evaluation.one_to_many.identified import (
    IdentificationResult,
    IdentifiedPoint,
    rates_at,
)
from facever.evaluation.scoring.similarity import Floats, Ints, Scorer, make_scorer
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.kinds import build, reason
from facever.render.blocks import Block, Cell, Section, Table
from facever.render.numbers import far, far_text, megabytes, milliseconds, rate, seconds
from facever.render.result import Result
from facever.render.values import json_value

DEFAULT_INDEXES = ("Flat", "IVF256,Flat", "HNSW32", "PQ64")
_ALONE = 200  # probes that are searched one by one for the latency


@dataclass(frozen=True)
class IndexRow:
    """One index.

    Attributes:
        index: As FAISS's factory names it, with search parameters after a colon.
        points: FPIR and FNIR at the thresholds of exact search.
        recall: Share of the images that exact search lists first, which this index lists too.
        build_seconds: Training and adding the gallery.
        probe_seconds: A probe, when all are searched at once.
        latency_seconds: A probe searched alone, the median.
        bytes: The index as FAISS writes it.
    """

    index: str
    points: list[IdentifiedPoint]
    recall: float
    build_seconds: float
    probe_seconds: float
    latency_seconds: float
    bytes: int


@dataclass(frozen=True)
class IndexCost(Result):
    """Exact identification, and what each index makes of it.

    Attributes:
        exact: Identification by comparison with everyone.
        rows: The indexes, the exact one first.
        candidates: How many images each index was asked for.
        threads: That FAISS searched with.
        warnings: What the reader must know.
    """

    exact: IdentificationResult
    rows: list[IndexRow]
    candidates: int
    threads: int
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: those of exact search, and the indexes."""
        rows = [
            {
                "index": row.index,
                "operating_points": [self.exact.point_values(point) for point in row.points],
                "recall": row.recall,
                "build_seconds": row.build_seconds,
                "probe_seconds": row.probe_seconds,
                "latency_seconds": row.latency_seconds,
                "bytes": row.bytes,
            }
            for row in self.rows
        ]
        indexes = {"candidates": self.candidates, "threads": self.threads, "rows": rows}
        return {**self.exact.to_dict(), "indexes": json_value(indexes), "warnings": self.warnings}

    def describe(self) -> list[Section]:
        """Return exact identification, and what each index makes of it at its thresholds."""
        exact = self.exact
        blocks: list[Block] = []
        for place, point in enumerate(exact.points):
            rows: list[list[Cell]] = [
                [
                    row.index,
                    far(row.points[place].false_positives / exact.nonmated),
                    *(rate(miss / exact.mated) for miss in row.points[place].missed.values()),
                    rate(row.recall),
                    milliseconds(row.probe_seconds),
                    milliseconds(row.latency_seconds),
                    seconds(row.build_seconds),
                    megabytes(row.bytes),
                ]
                for row in self.rows
            ]
            headers = ["index", "FPIR", *(f"FNIR rank {rank}" for rank in exact.ranks)]
            headers += [f"recall@{self.candidates}", "ms/probe", "ms alone", "build s", "MB"]
            caption = (
                f"At the threshold of exact search for FPIR {far_text(point.fpir_target)} "
                f"({point.threshold:.6g}), {self.threads} threads"
            )
            blocks.append(Table(caption, headers, rows))
        return [*exact.describe(), Section("indexes", "Indexes", blocks)]


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
    """Identify the same probes by several FAISS indexes, at the thresholds of exact search.

    A person's score is that of the best of their images that the index proposes.

    Args:
        probes: Who is searched for.
        gallery: Who is enrolled.
        indexes: FAISS factory strings, such as "IVF256,Flat", each with search parameters after a
            colon where they are wanted: "IVF256,Flat:nprobe=8", "HNSW32:efSearch=64". "flat" is
            always the first row.
        fpir, ranks, similarity, level: As in `identification`.
        candidates: How many images an index is asked for. By default as many as make sure of the
            largest rank: ranks times the most images that a person has.

    Raises:
        EvaluationError: An index that cannot search by this similarity, no FPIR that the probes
            support, and what `identification` raises.
        GalleryError: An index that FAISS does not know or that these vectors cannot train; FAISS
            is not installed.
    """
    faiss = import_faiss()
    if candidates is not None and candidates < 1:
        raise EvaluationError(f"{candidates} candidates: ask for 1 or more")
    exact = identification(probes, gallery, fpir=fpir, ranks=ranks, similarity=similarity)
    if not exact.points:
        raise EvaluationError(
            f"{exact.nonmated:,} non-mated probes support no FPIR of those asked for: there is no "
            "threshold to compare indexes at"
        )
    names = [people_column(side.identities).to_numpy() for side in (probes, gallery)]
    codes = shared_codes(names)
    kept, _ = searchable(codes, probes.acquired, gallery.acquired)
    people = [side[rows] for side, rows in zip(codes, kept, strict=True)]
    vectors = [
        np.ascontiguousarray(vectors_for(side, exact.similarity)[rows], np.float32)
        for side, rows in zip((probes, gallery), kept, strict=True)
    ]
    most = int(np.bincount(people[1]).max())
    k = min(len(vectors[1]), max(exact.ranks) * most if candidates is None else candidates)
    trial = _Trial(faiss, vectors[0], vectors[1], people, exact, k, level)
    named = ["Flat", *(name for name in indexes if name.lower() != "flat")]
    rows = [trial.row(name) for name in dict.fromkeys(named)]
    return IndexCost(
        exact, rows, k, faiss.omp_get_max_threads(), [*exact.warnings, *trial.warnings]
    )


class _Trial:
    """The same searches with one index after the other."""

    def __init__(
        self,
        faiss: ModuleType,
        probes: Floats,
        gallery: Floats,
        people: list[Ints],
        exact: IdentificationResult,
        k: int,
        level: float,
    ) -> None:
        self._faiss, self._probes, self._gallery = faiss, probes, gallery
        self._people, self._exact, self._k, self._level = people, exact, k, level
        self._scorer: Scorer = make_scorer(probes, exact.similarity, others=gallery)
        self._true: Ints | None = None
        self.warnings: list[str] = []

    def row(self, name: str) -> IndexRow:
        """Build an index, search by it and count."""
        say(f"index {name}")
        start = time.perf_counter()
        index = self._build(name)
        built = time.perf_counter()
        try:
            _, found = index.search(self._probes, self._k)
        except RuntimeError as error:
            raise EvaluationError(
                f"index '{name}' cannot search by {self._exact.similarity} scores ({reason(error)})"
            ) from error
        searched = time.perf_counter()
        if self._true is None:
            self._true = found
        lists = searched_from_lists(self._scores(found), found, self._people)
        points = self._exact.points
        return IndexRow(
            index=name,
            points=rates_at(
                lists,
                [point.fpir_target for point in points],
                [point.threshold for point in points],
                self._exact.ranks,
                self._level,
            ),
            recall=recall(found, self._true),
            build_seconds=built - start,
            probe_seconds=(searched - built) / len(self._probes),
            latency_seconds=alone(lambda probe: index.search(probe, self._k), self._probes),
            bytes=index_bytes(index),
        )

    def _scores(self, found: Ints) -> Floats:
        """Return the pairs' own scores of what was found, [P, k]."""
        scores = np.full(found.shape, -np.inf, np.float32)
        probe, place = np.nonzero(found >= 0)
        scores[probe, place] = self._scorer.pairs(probe, found[probe, place])
        return scores

    def _build(self, name: str) -> Any:
        metric = (
            self._faiss.METRIC_L2
            if self._exact.similarity == "euclidean"
            else self._faiss.METRIC_INNER_PRODUCT
        )
        index, note = build(name, self._gallery, metric)
        if note:
            self.warnings.append(note)
        return index


def alone(search: Callable[[Floats], object], probes: Floats) -> float:
    """Return the median seconds of a search for one probe, of up to 200 searched one by one."""
    taken = []
    for row in range(min(_ALONE, len(probes))):
        start = time.perf_counter()
        search(probes[row : row + 1])
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def index_bytes(index: Any) -> int:
    """Return the size of an index as FAISS writes it."""
    faiss, written = import_faiss(), 0

    def count(part: bytes) -> None:
        nonlocal written
        written += len(part)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))
    return written
