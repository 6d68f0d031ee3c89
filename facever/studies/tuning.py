"""Which kind of index a gallery should have: each kind tried on the gallery's own people.

A gallery's approximate index only proposes people; their scores are exact. So what an index does
not propose is missed, which FNIR shows, and nobody passes a threshold whom exact search would not
let pass: its FPIR is never higher. Each kind is built on the gallery's entries as the gallery
builds it, and answers the same probes at the same threshold.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from facever.core.console import say
from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.template_policies import ALL
from facever.errors import GalleryError, unknown
from facever.evaluation.columns import people_column
from facever.evaluation.inputs import shared_codes
from facever.evaluation.one_to_many.candidates import recall, searched_from_lists
from facever.evaluation.one_to_many.identified import IdentifiedPoint, rates_at
from facever.evaluation.one_to_many.search import Searched, cut
from facever.evaluation.scoring.similarity import Ints
from facever.evaluation.scoring.trials import budget, needed
from facever.gallery.checksums import checksums_of
from facever.gallery.gallery import Gallery
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.kinds import FLAT, build, checked_kind, resolved
from facever.gallery.index.people import Part
from facever.gallery.index.view import View
from facever.gallery.records import Entries, Vectors
from facever.operating_point import OperatingPoint, ScoreRule
from facever.render.blocks import Cell, Section, Table
from facever.render.numbers import far, far_text, megabytes, milliseconds, rate, seconds
from facever.render.result import Result
from facever.studies.index_cost import alone, index_bytes

_FPIR = 0.01  # for which the threshold is set where nothing else is asked for
_MOST_PROBES = 2000  # of each sort, drawn of those held out


@dataclass(frozen=True)
class TuningRow:
    """One kind of index.

    Attributes:
        kind: "flat", or as FAISS's factory names it with search parameters after a colon.
        recall: Share of the people that exact search lists first whom this index lists too.
        point: FPIR and FNIR (rank 1) at the threshold.
        memory_bytes: What a search reads of: the vectors of exact search, or the index.
        latency_seconds: A probe searched alone, the median.
        batch_seconds: A probe, when all are searched at once.
        build_seconds: Training and adding the entries.
    """

    kind: str
    recall: float
    point: IdentifiedPoint
    memory_bytes: int
    latency_seconds: float
    batch_seconds: float
    build_seconds: float


@dataclass(frozen=True)
class Tuning(Result):
    """Kinds of index on one gallery.

    Attributes:
        rows: The kinds, exact search first.
        entries, people: How many were searched.
        mated, nonmated: Probes of people who are, and who are not, among them.
        held_out: Whether the probes were taken out of the gallery itself.
        operating_point: What gave the threshold; None where exact search gave it.
        rule: How a person's entries make one score.
        k: How many people each search lists.
        threads: That FAISS searched with.
        warnings: What the reader must know.
    """

    rows: list[TuningRow]
    entries: int
    people: int
    mated: int
    nonmated: int
    held_out: bool
    operating_point: OperatingPoint | None
    rule: ScoreRule
    k: int
    threads: int
    warnings: list[str]

    json_keys = (
        "entries people probes.mated=mated probes.nonmated=nonmated probes.held_out=held_out "
        "threshold=rows.0.point.threshold fpir_target=rows.0.point.fpir_target operating_point "
        "rule k threads rows=_row_values warnings"
    )

    def describe(self) -> list[Section]:
        """Return recall, errors, memory and times of each kind."""
        point = self.rows[0].point
        made = "the operating point's" if self.operating_point is not None else "exact search's"
        held = ", held out of the gallery" if self.held_out else ""
        lead = (
            f"{self.entries:,} entries of {self.people:,} people, {self.rule} of cosines; "
            f"{self.mated:,} mated and {self.nonmated:,} non-mated probes{held}"
        )
        caption = (
            f"At {made} threshold for FPIR {far_text(point.fpir_target)} "
            f"({point.threshold:.6g}), rank 1, {self.threads} threads"
        )
        headers = ["index", f"recall@{self.k}", "FNIR", "FPIR", "MB", "ms alone", "ms/probe"]
        rows: list[list[Cell]] = [
            [
                row.kind,
                rate(row.recall),
                rate(row.point.missed[1] / self.mated),
                far(row.point.false_positives / self.nonmated),
                megabytes(row.memory_bytes),
                milliseconds(row.latency_seconds),
                milliseconds(row.batch_seconds),
                seconds(row.build_seconds),
            ]
            for row in self.rows
        ]
        table = Table(caption, [*headers, "build s"], rows)
        return [Section("indexes", "Indexes", [table], lead)]

    @property
    def _row_values(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": row.kind,
                "recall": row.recall,
                "fnir": row.point.missed[1] / self.mated,
                "missed": row.point.missed[1],
                "fnir_interval": row.point.fnir_intervals[1],
                "fpir": row.point.false_positives / self.nonmated,
                "false_positives": row.point.false_positives,
                "fpir_interval": row.point.fpir_interval,
                "memory_bytes": row.memory_bytes,
                "latency_seconds": row.latency_seconds,
                "batch_seconds": row.batch_seconds,
                "build_seconds": row.build_seconds,
            }
            for row in self.rows
        ]


def tune(
    gallery: Gallery,
    probes: EmbeddingSet | None = None,
    kinds: Sequence[str] | None = None,
    *,
    operating_point: OperatingPoint | str | None = None,
    fpir: float | None = None,
    rule: ScoreRule | None = None,
    k: int = 10,
    share: float = 0.1,
    seed: int = 0,
    level: float = 0.95,
) -> Tuning:
    """Try kinds of index on a gallery; nothing of it changes.

    Args:
        gallery: Open.
        probes: Who is searched for: people of the gallery, by other images, and strangers. By
            default they are held out: a share of the people is taken for strangers, and of the
            others who have several images one each is taken for a probe.
        kinds: As the gallery's setting: "flat" (always the first row), a factory string, "auto".
            By default some that fit the gallery's size.
        operating_point: A 1:N operating point or the name of the gallery's, whose threshold and
            score rule are taken; by default the gallery's only one, where neither `fpir` nor
            `rule` is given.
        fpir: Without an operating point, the FPIR for which exact search gives the threshold,
            0.01 by default.
        rule: Without an operating point, a person's score: "max" (the default) or "mean".
        k: How many people a search lists.
        share: Of the people held out, above 0 and below 1.
        seed: Of what is held out.
        level: Confidence of the intervals.

    Raises:
        GalleryError: An unknown kind or rule; no operating point of that name, or one that decides
            no search; probes of another model, or that support no such FPIR; nobody to hold out.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise GalleryError(f"k is a whole number from 1 on, not {k!r}")
    if rule not in (None, "max", "mean"):
        raise GalleryError(f"rule is {rule!r} (allowed: max, mean)")
    asked_otherwise = fpir is not None or rule is not None
    if operating_point is not None and asked_otherwise:
        raise GalleryError("an operating point has its own FPIR and rule: give it, or these")
    point = None if asked_otherwise else _point(gallery, operating_point)
    fpir = _FPIR if fpir is None else fpir
    for name, limit in (("fpir", fpir), ("share", share)):
        if not 0 < limit < 1:
            raise GalleryError(f"{name} is {limit:g}: above 0 and below 1")
    rule = (point.score_rule if point is not None else None) or rule or "max"
    trials = _held_out(gallery, share, seed) if probes is None else _given(gallery, probes)
    mated, nonmated = int(trials.mated.sum()), int((~trials.mated).sum())
    if not mated or not nonmated:
        lacking = "of people in the gallery" if not mated else "of strangers"
        raise GalleryError(f"there are no probes {lacking}: FNIR and FPIR need both")
    if point is None and not budget(fpir, nonmated):
        raise GalleryError(
            f"a FPIR of {fpir:g} needs {needed(fpir):,} probes of strangers; there are {nonmated:,}"
        )
    size, dimension = trials.vectors.shape
    named = default_kinds(size, dimension) if kinds is None else kinds
    asked = [resolved(checked_kind(kind, dimension), size, dimension) for kind in named]
    trial = _Trial(trials, rule, k, level)
    exact = trial.searched(FLAT)
    if point is None:
        threshold = fpir, cut(exact.lists, budget(fpir, nonmated))
    else:
        threshold = point.target_rate, point.threshold
    rows, warnings = [trial.row(exact, exact, threshold)], []
    for kind in dict.fromkeys(asked):
        if kind == FLAT:
            continue
        try:
            found = trial.searched(kind)
        except GalleryError as error:
            warnings.append(str(error))
            continue
        rows.append(trial.row(found, exact, threshold))
        warnings += [found.note] if found.note else []
    return Tuning(
        rows,
        size,
        trials.people,
        mated,
        nonmated,
        probes is None,
        point,
        rule,
        k,
        int(import_faiss().omp_get_max_threads()),
        warnings,
    )


def default_kinds(entries: int, dimension: int) -> list[str]:
    """Return kinds that fit so many entries.

    IVF has about 4 sqrt(N) cells, as `auto` has, but none of less than 39 entries.
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
        "HNSW32:efSearch=64",
    ]


class _Trials(NamedTuple):
    """Entries and probes: vectors [N, D], owners [N], queries [P, D], codes [P], mated [P]."""

    vectors: Vectors
    owners: Ints
    queries: Vectors
    codes: Ints
    mated: Any
    people: int


class _Found(NamedTuple):
    """What one kind found: lists of people, and what it cost."""

    kind: str
    keys: Ints
    lists: Searched
    view: View
    memory: int
    batch: float
    build: float
    note: str


class _Trial:
    """The same probes searched by one kind of index after the other."""

    def __init__(self, trials: _Trials, rule: ScoreRule, k: int, level: float) -> None:
        self._trials, self._rule, self._k, self._level = trials, rule, k, level
        numbers = np.arange(1, len(trials.owners) + 1)
        checksums = checksums_of(numbers, trials.owners, trials.vectors)
        self._part = Part(Entries(numbers, trials.owners, trials.vectors, checksums))

    def searched(self, kind: str) -> _Found:
        """Build an index and search for all probes at once."""
        say(f"index {kind}")
        trials, approximate, note = self._trials, None, ""
        memory = trials.vectors.nbytes
        start = time.perf_counter()
        if kind != FLAT:
            index, note = build(kind, trials.vectors)
            rows = np.arange(len(trials.vectors))
            approximate = Approximate(kind, index, rows, len(rows))
            memory = index_bytes(index)
        built = time.perf_counter() - start
        nothing = Part(self._part.entries.rows(slice(0)))
        view = View([self._part, nothing], trials.people, approximate)
        view.search(trials.queries[:1], self._k, self._rule, None)  # what the first search makes
        start = time.perf_counter()
        scores, keys = view.search(trials.queries, self._k, self._rule, None)
        taken = (time.perf_counter() - start) / len(trials.queries)
        people = np.unique(trials.owners)
        places = np.where(keys >= 0, np.searchsorted(people, keys), -1)
        lists = searched_from_lists(scores, places, [trials.codes, people])
        return _Found(kind, keys, lists, view, memory, taken, built, note)

    def row(self, found: _Found, exact: _Found, decided: tuple[float, float]) -> TuningRow:
        """Judge what was found at a target's threshold, and search for probes one by one."""
        target, threshold = decided
        return TuningRow(
            kind=found.kind,
            recall=recall(found.keys, exact.keys),
            point=rates_at(found.lists, [target], [threshold], [1], self._level)[0],
            memory_bytes=found.memory,
            latency_seconds=alone(
                lambda query: found.view.search(query, self._k, self._rule, None),
                self._trials.queries,
            ),
            batch_seconds=found.batch,
            build_seconds=found.build,
        )


def _point(gallery: Gallery, given: OperatingPoint | str | None) -> OperatingPoint | None:
    """Return the 1:N operating point that is meant; None where there is not just one."""
    stored = gallery.operating_points()
    if isinstance(given, str):
        if given not in stored:
            raise GalleryError(unknown("operating point", given, stored))
        given = stored[given]
    if given is None:
        fitting = [point for point in stored.values() if point.kind == "1:N"]
        return fitting[0] if len(fitting) == 1 else None
    if given.kind != "1:N":
        raise GalleryError(f"a {given.kind} operating point does not decide a search: give a 1:N")
    return given


def _given(gallery: Gallery, probes: EmbeddingSet) -> _Trials:
    if probes.meta.fingerprint != gallery.fingerprint:
        raise GalleryError(
            f"probes of fingerprint {probes.meta.fingerprint} are not of the gallery's "
            f"{gallery.fingerprint}: embed them with its model"
        )
    ids, vectors = gallery.entries()
    if not ids:
        raise GalleryError(f"nobody is enrolled in {gallery.path}")
    kept = np.flatnonzero(probes.acquired)
    asked, enrolled = people_column(probes.identities[kept]), people_column(ids)
    codes, owners = shared_codes([asked.to_numpy(), enrolled.to_numpy()])
    queries = np.ascontiguousarray(probes.vectors[kept], np.float32)
    mated = np.isin(codes, owners)
    return _Trials(vectors, owners, queries, codes, mated, len(np.unique(owners)))


def _held_out(gallery: Gallery, share: float, seed: int) -> _Trials:
    """Take probes out of the gallery's entries: strangers with all of their images, and mates."""
    policy = gallery.info().templates
    if policy != ALL:
        raise GalleryError(
            f"people are compared by templates '{policy}', of which no probe can be held out: "
            "give probes"
        )
    ids, vectors = gallery.entries()
    _, owners = np.unique(np.array(ids, dtype=str), return_inverse=True)
    random = stream(seed, "tuning")
    people = random.permutation(int(owners.max(initial=-1)) + 1)
    strangers = people[: int(share * len(people))]
    strange = np.isin(owners, strangers)
    order = random.permutation(len(owners))
    first = order[np.unique(owners[order], return_index=True)[1]]  # one image of each person
    several = np.bincount(owners, minlength=len(people)) > 1
    first = first[several[owners[first]] & ~strange[first]]
    rows = np.concatenate(
        [random.permutation(which)[:_MOST_PROBES] for which in (first, np.flatnonzero(strange))]
    ).astype(np.int64)
    kept = ~strange
    kept[first[np.isin(first, rows)]] = False
    mated = ~strange[rows]
    left = owners[kept]
    return _Trials(vectors[kept], left, vectors[rows], owners[rows], mated, len(np.unique(left)))
