"""Comparison of kinds of FAISS index on the same probes, at the thresholds of exact search.

An index proposes images; exact scores rank them and decide. So people that the index does not
propose are missed, which increases FNIR, and the FPIR is never above that of exact search.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from facever.deprecated import Former, former_names
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import GalleryError, unknown
from facever.evaluation.cells import refused_note
from facever.evaluation.one_to_many.candidates import recall as recall_of
from facever.evaluation.one_to_many.identified import (
    IdentificationResult,
    IdentifiedPoint,
    rates_at,
)
from facever.gallery.gallery import Gallery
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.kinds import FLAT, checked_kind, resolved
from facever.gallery.pgvector import ONLY_POSTGRES, PgvectorKind, is_pgvector
from facever.gallery.records import Vectors
from facever.operating_point import OperatingPoint, ScoreRule
from facever.render.blocks import Block, Cell, Section, Table
from facever.render.numbers import far, far_text, megabytes, milliseconds, rate, seconds
from facever.render.result import Result
from facever.render.values import json_value
from facever.studies.index_searches import (
    GallerySearches,
    ImageSearches,
    KindSearched,
    Rates,
    Searches,
)

_FPIR = 0.01  # default target of the threshold
_FOR_RECALL = ("pgvector", "pgvector:hnsw", "pgvector:ivfflat")
_ALONE = 200  # probes that are searched singly for the latency

__getattr__ = former_names(
    __name__,
    {
        "Tuning": Former(f"{__name__}:IndexTuning", f"{__name__}.IndexTuning"),
        "TuningRow": Former(f"{__name__}:IndexRow", f"{__name__}.IndexRow"),
        "index_cost": Former("facever.studies.former:index_cost", f"{__name__}.tune"),
        "IndexCost": Former("facever.studies.former:IndexCost", f"{__name__}.IndexTuning"),
    },
)


@dataclass(frozen=True)
class IndexRow:
    """One kind of index.

    Attributes:
        kind: "flat", or a FAISS factory string with search parameters after a colon.
        recall: Share of the first candidates of exact search that this index lists too.
        points: FPIR and FNIR at each threshold.
        memory_bytes: Size of the vectors of exact search, or of the index.
        latency_seconds: Time of a single search, the median of up to 200 probes.
        batch_seconds: Time per probe if all are searched at once.
        build_seconds: Time to train the index and add the entries.
    """

    kind: str
    recall: float
    points: list[IdentifiedPoint]
    memory_bytes: int
    latency_seconds: float
    batch_seconds: float
    build_seconds: float


@dataclass(frozen=True)
class IndexTuning(Result):
    """Kinds of index on one gallery.

    Attributes:
        exact: Rates of exact search, whose thresholds are used for all kinds. For a gallery, the
            lists and the CMC end after k people.
        rows: The kinds, exact search first.
        entries: Number of searched images or templates.
        held_out: Whether the probes were held out of the gallery.
        operating_point: Source of the threshold; None if exact search set it.
        k: Number of listed people.
        candidates: Number of images requested from FAISS; None for a gallery, which requests as
            many as it needs.
        threads: Number of FAISS threads.
        warnings: Warnings for the reader.
    """

    exact: IdentificationResult
    rows: list[IndexRow]
    entries: int
    held_out: bool
    operating_point: OperatingPoint | None
    k: int
    candidates: int | None
    threads: int
    warnings: list[str]

    json_keys = (
        "entries people=exact.gallery_size probes.mated=exact.mated probes.nonmated=exact.nonmated "
        "probes.held_out=held_out similarity=exact.similarity rule=exact.score_rule "
        "threshold=rows.0.points.0.threshold fpir_target=rows.0.points.0.fpir_target "
        "operating_point ranks=exact.ranks k candidates threads rows=_row_values warnings"
    )

    def describe(self) -> list[Section]:
        """Return recall, errors, memory and times of each kind, a table for each threshold."""
        exact = self.exact
        held = ", held out of the gallery" if self.held_out else ""
        lead = (
            f"{self.entries:,} entries of {exact.gallery_size:,} people, {exact.score_rule} of "
            f"{exact.similarity} scores; {exact.mated:,} mated and {exact.nonmated:,} non-mated "
            f"probes{held}"
        )
        blocks: list[Block] = [self._table(place) for place in range(len(self.rows[0].points))]
        blocks += [
            refused_note("FPIR", refused.far_target, refused.needs, "non-mated probes")
            for refused in exact.refused
        ]
        return [Section("indexes", "Indexes", blocks, lead)]

    def _table(self, place: int) -> Table:
        """Return the table of the kinds at one of the thresholds."""
        exact, point = self.exact, self.rows[0].points[place]
        made = "the operating point's" if self.operating_point is not None else "exact search's"
        caption = (
            f"At {made} threshold for FPIR {far_text(point.fpir_target)} "
            f"({point.threshold:.6g}), {self.threads} threads"
        )
        rows: list[list[Cell]] = [
            [
                row.kind,
                rate(row.recall),
                *(rate(missed / exact.mated) for missed in row.points[place].missed.values()),
                far(row.points[place].false_positives / exact.nonmated),
                megabytes(row.memory_bytes),
                milliseconds(row.latency_seconds),
                milliseconds(row.batch_seconds),
                seconds(row.build_seconds),
            ]
            for row in self.rows
        ]
        headers = ["index", f"recall@{self.candidates or self.k}"]
        headers += [f"FNIR rank {rank}" for rank in point.missed]
        headers += ["FPIR", "MB", "ms alone", "ms/probe", "build s"]
        return Table(caption, headers, rows)

    @property
    def _row_values(self) -> list[dict[str, Any]]:
        """Return JSON values; values outside `operating_points` are those of the first point."""
        exact = self.exact
        rank = exact.ranks[0]
        return [
            {
                "kind": row.kind,
                "recall": row.recall,
                "fnir": row.points[0].missed[rank] / exact.mated,
                "missed": row.points[0].missed[rank],
                "fnir_interval": row.points[0].fnir_intervals[rank],
                "fpir": row.points[0].false_positives / exact.nonmated,
                "false_positives": row.points[0].false_positives,
                "fpir_interval": row.points[0].fpir_interval,
                "operating_points": [json_value(exact.point_values(one)) for one in row.points],
                "memory_bytes": row.memory_bytes,
                "latency_seconds": row.latency_seconds,
                "batch_seconds": row.batch_seconds,
                "build_seconds": row.build_seconds,
            }
            for row in self.rows
        ]


def tune(
    gallery: Gallery | EmbeddingSet,
    probes: EmbeddingSet | None = None,
    kinds: Sequence[str] | None = None,
    *,
    operating_point: OperatingPoint | str | None = None,
    fpir: float | Sequence[float] | None = None,
    ranks: Sequence[int] = (1,),
    rule: ScoreRule | None = None,
    similarity: str | None = None,
    k: int = 10,
    candidates: int | None = None,
    recall: float | None = None,
    share: float = 0.1,
    seed: int = 0,
    level: float = 0.95,
) -> IndexTuning:
    """Compare kinds of index on a gallery, which is not changed.

    Args:
        gallery: An open gallery, or the embeddings of the enrolled people.
        probes: Other images of enrolled people, and images of other people (strangers). By default
            they are held out: a share of the people become strangers, and one image of each other
            person with several images becomes a probe.
        kinds: As for the gallery's setting: "flat" (always the first row), a factory string,
            "auto". By default kinds that fit the gallery's size.
        operating_point: A 1:N operating point, or the name of one of the gallery's, for threshold
            and score rule; by default the gallery's only one, if neither `fpir` nor `rule` is
            given.
        fpir: Without an operating point, one or several FPIRs for which exact search sets the
            threshold; 0.01 by default. FPIRs that the probes do not support are omitted.
        ranks: Ranks at which FNIR is measured, from 1 to k.
        rule: Without an operating point, a person's score: "max" (the default) or "mean"; for
            embedding sets "max" only.
        similarity: For embedding sets: as for `facever.evaluate.identification`.
        k: Number of people that a search lists.
        candidates: For embedding sets: number of images requested from FAISS. By default enough
            for k people: k times the largest number of images of a person.
        recall: For kinds of "pgvector" without `ef_search` or `probes`: the recall, above 0 and at
            most 1, for which they get the least value; without kinds, for an HNSW and an IVFFlat
            index of pgvector.
        share: Share of the people that are held out, above 0 and below 1.
        seed: Seed of the held-out choice.
        level: Confidence level of the intervals.

    Raises:
        GalleryError: A kind, rule or operating point is unknown, an operating point is not 1:N, the
            probes are of another model, nobody can be held out, or an option does not apply to
            embedding sets or to galleries.
        EvaluationError: The probes support no FPIR, or all are mated or all non-mated; also the
            errors of `facever.evaluate.identification` for embedding sets.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise GalleryError(f"k is {k!r}: it must be a whole number, 1 or more")
    if not ranks or max(ranks) > k:
        raise GalleryError(f"ranks are {list(ranks)}: they must be from 1 to k, which is {k}")
    if rule not in (None, "max", "mean"):
        raise GalleryError(f"rule is {rule!r} (allowed: max, mean)")
    if not 0 < share < 1:
        raise GalleryError(f"share is {share:g}: it must be above 0 and below 1")
    asked_otherwise = fpir is not None or rule is not None
    if operating_point is not None and asked_otherwise:
        raise GalleryError(
            "an operating point has its own FPIR and rule: omit either it or fpir and rule"
        )
    stored = gallery.operating_points() if isinstance(gallery, Gallery) else {}
    point = None if asked_otherwise else _point(stored, operating_point)
    wanted = Rates(
        [_FPIR] if fpir is None else [fpir] if isinstance(fpir, int | float) else list(fpir),
        ranks,
        (point.score_rule if point is not None else None) or rule or "max",
        [] if point is None else [point],
        level,
    )
    dimension = gallery.dimension if isinstance(gallery, Gallery) else gallery.vectors.shape[1]
    asked = _asked_kinds(kinds, recall, dimension)
    searches: Searches
    if isinstance(gallery, Gallery):
        if similarity is not None or candidates is not None:
            raise GalleryError(
                "a gallery compares by cosine and requests as many images as it needs: "
                "omit similarity and candidates, or give embeddings in place of the gallery"
            )
        searches = GallerySearches(gallery, probes, wanted, k, share, seed, recall)
    else:
        if asked is not None and any(map(is_pgvector, asked)):
            raise GalleryError(f"embeddings are not in a database: {ONLY_POSTGRES}")
        searches = ImageSearches(gallery, probes, wanted, k, candidates, similarity, share, seed)
    with closing(searches):
        exact, flat = searches.exact, searches.flat
        points = [one.found for one in exact.realised] if point is not None else exact.points
        if not points:
            exact.at(max(wanted.fpirs))  # names the number of probes that it needs
        size = len(searches.vectors)
        named = default_kinds(size, dimension) if asked is None else asked
        rows, warnings = [_row(flat, searches, points, wanted)], list(exact.warnings)
        for kind in dict.fromkeys(resolved(kind, size, dimension) for kind in named):
            if kind == FLAT:
                continue
            try:
                found = searches.searched(kind)
            except GalleryError as error:
                warnings.append(str(error))
                continue
            rows.append(_row(found, searches, points, wanted))
            warnings += [found.built.note] if found.built.note else []
        return IndexTuning(
            exact,
            rows,
            size,
            probes is None,
            point,
            k,
            searches.candidates,
            int(import_faiss().omp_get_max_threads()),
            warnings,
        )


def _asked_kinds(
    kinds: Sequence[str] | None, recall: float | None, dimension: int
) -> list[str] | None:
    """Return the kinds to compare in stored form; None for the default ones.

    Raises:
        GalleryError: A kind is unknown; or a recall is given and no kind needs one.
    """
    if recall is None:
        return None if kinds is None else [checked_kind(kind, dimension) for kind in kinds]
    if not 0 < recall <= 1:
        raise GalleryError(f"recall is {recall:g}: it must be above 0 and at most 1")
    found, chosen = [], False
    for kind in _FOR_RECALL if kinds is None else kinds:
        parsed = PgvectorKind.parse(kind, dimension) if is_pgvector(kind) else None
        if parsed is not None and parsed.method is not None and parsed.effort is None:
            found.append(str(parsed))
            chosen = True
        else:
            found.append(checked_kind(kind, dimension))
    if not chosen:
        raise GalleryError(
            "recall chooses ef_search or probes of pgvector: give a kind without them, such as "
            "pgvector:hnsw"
        )
    return found


def default_kinds(entries: int, dimension: int) -> list[str]:
    """Return kinds that fit the number of entries.

    IVF has about 4 sqrt(N) cells, like `auto`, with at least 39 entries per cell.
    """
    cells = 2 ** max(1, round(np.log2(max(2.0, min(4 * entries**0.5, entries / 39)))))
    probed = max(1, cells // 16)
    pieces = max(m for m in range(1, max(1, dimension // 8) + 1) if dimension % m == 0)
    return [
        FLAT,
        "SQfp16",
        "SQ8",
        f"IVF{cells},Flat:nprobe={probed}",
        f"IVF{cells},SQ8:nprobe={probed}",
        f"IVF{cells},PQ{pieces}:nprobe={probed}",
        f"IVF{cells},RaBitQ4:nprobe={probed}",
        f"IVF{cells},RaBitQ,RFlat:nprobe={probed},k_factor_rf=4",
        "HNSW32:efSearch=64",
    ]


def _row(
    found: KindSearched, searches: Searches, points: Sequence[IdentifiedPoint], wanted: Rates
) -> IndexRow:
    """Measure the rates at the thresholds of exact search, and the time of single searches."""
    return IndexRow(
        kind=found.kind,
        recall=recall_of(found.rows, searches.flat.rows),
        points=rates_at(
            found.lists,
            [point.fpir_target for point in points],
            [point.threshold for point in points],
            searches.exact.ranks,
            wanted.level,
        ),
        memory_bytes=found.built.memory,
        latency_seconds=_alone(found.built.search, searches.queries),
        batch_seconds=found.batch_seconds,
        build_seconds=found.build_seconds,
    )


def _alone(search: Callable[[Vectors], object], probes: Vectors) -> float:
    """Return the median time in seconds of single searches for some probes."""
    taken = []
    for row in range(min(_ALONE, len(probes))):
        start = time.perf_counter()
        search(probes[row : row + 1])
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _point(
    stored: dict[str, OperatingPoint], given: OperatingPoint | str | None
) -> OperatingPoint | None:
    """Return the given 1:N operating point, or the gallery's only one; else None."""
    if isinstance(given, str):
        if given not in stored:
            raise GalleryError(unknown("operating point", given, stored))
        given = stored[given]
    if given is None:
        fitting = [point for point in stored.values() if point.kind == "1:N"]
        return fitting[0] if len(fitting) == 1 else None
    if given.kind != "1:N":
        raise GalleryError(
            f"a {given.kind} operating point is not for searches: give a 1:N operating point"
        )
    return given
