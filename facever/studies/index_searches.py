"""Searches of the same probes with several kinds of FAISS index.

A gallery is searched by its own method: lists of people, with as many proposals as these need. For
two embedding sets, FAISS is queried once for a fixed number of images, by any similarity.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from facever.core.console import say
from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.template_policies import ALL
from facever.errors import GalleryError
from facever.evaluation.columns import people_column
from facever.evaluation.inputs import shared_codes, vectors_for
from facever.evaluation.one_to_many.candidates import recall, searched_from_lists
from facever.evaluation.one_to_many.identification import identification, measured, searchable
from facever.evaluation.one_to_many.identified import IdentificationResult
from facever.evaluation.one_to_many.search import Searched
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints, make_scorer
from facever.gallery.checksums import checksums_of
from facever.gallery.gallery import Gallery
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.codes import Codes
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.in_database import Question, answered
from facever.gallery.index.kinds import FLAT, build, reason
from facever.gallery.index.people import Part, nobody
from facever.gallery.index.screen import CodeScreen
from facever.gallery.index.view import View
from facever.gallery.pgvector import PgvectorKind, efforts, is_pgvector
from facever.gallery.records import Entries, Vectors
from facever.gallery.store.entry_search import EntrySearch
from facever.operating_point import OperatingPoint, ScoreRule

_CHOOSING = 200  # probes that are searched first to choose ef_search or probes
_MOST_PROBES = 2000  # of each class, drawn from those held out


class Rates(NamedTuple):
    """The rates to measure: FPIRs or stored points, ranks and score rule."""

    fpirs: list[float]
    ranks: Sequence[int]
    rule: ScoreRule
    points: list[OperatingPoint]
    level: float


class BuiltIndex(NamedTuple):
    """A built index: function from queries [Q, D] to scores and rows [Q, L]; size in bytes.

    `kind` is the kind with what the build chose; empty if it chose nothing.
    """

    search: Callable[[Vectors], tuple[Floats, Ints]]
    memory: int
    note: str = ""
    kind: str = ""


class KindSearched(NamedTuple):
    """The results of one kind for all probes, with times."""

    kind: str
    built: BuiltIndex
    rows: Ints
    lists: Searched
    build_seconds: float
    batch_seconds: float


class Searches(ABC):
    """Searches of the same probes with several kinds of index.

    Attributes:
        vectors: float32 [N, D], the entries.
        queries: float32 [P, D], the probes.
        candidates: Number of images requested from an index, or None.
        flat, exact: The results of exact search, and its rates.
    """

    vectors: Vectors
    queries: Vectors
    candidates: int | None
    flat: KindSearched
    exact: IdentificationResult

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what the searches hold."""

    @abstractmethod
    def build(self, kind: str) -> BuiltIndex:
        """Return an index of the entries.

        Raises:
            GalleryError: The entries cannot train the index, or it does not support the similarity.
        """

    @abstractmethod
    def lists(self, scores: Floats, rows: Ints) -> Searched:
        """Return the search results from the lists of all probes."""

    def searched(self, kind: str) -> KindSearched:
        """Build an index and search for all probes at once."""
        say(f"index {kind}")
        start = time.perf_counter()
        index = self.build(kind)
        built = time.perf_counter()
        try:
            index.search(self.queries[:1])  # the first search allocates memory, and may fail
        except RuntimeError as error:
            raise GalleryError(
                f"index '{kind}' cannot search these vectors ({reason(error)})"
            ) from error
        before = time.perf_counter()
        scores, rows = index.search(self.queries)
        taken = (time.perf_counter() - before) / len(self.queries)
        return KindSearched(
            index.kind or kind, index, rows, self.lists(scores, rows), built - start, taken
        )


class GallerySearches(Searches):
    """Searches of a gallery with each index: each lists k people."""

    def __init__(
        self,
        gallery: Gallery,
        probes: EmbeddingSet | None,
        wanted: Rates,
        k: int,
        share: float,
        seed: int,
        least_recall: float | None = None,
    ) -> None:
        self._k, self._rule, self.candidates = k, wanted.rule, None
        self._gallery, self._least_recall = gallery, least_recall
        self._opened = ExitStack()
        ids, vectors = gallery.entries()
        if probes is None:
            policy = gallery.info().templates
            if policy != ALL:
                raise GalleryError(
                    f"the gallery uses templates '{policy}', so probes cannot be held out: give "
                    "probes"
                )
            _, owners = np.unique(np.array(ids, dtype=str), return_inverse=True)
            kept, held = _held_out(owners, share, seed)
            self.vectors, self._owners = vectors[kept], owners[kept]
            self.queries, self._codes = vectors[held], owners[held]
        else:
            if not gallery.accepts(probes.meta.fingerprint):
                raise GalleryError(
                    f"the probes have fingerprint {probes.meta.fingerprint}, the gallery has "
                    f"{gallery.fingerprint}: embed the probes with the gallery's model"
                )
            if not ids:
                raise GalleryError(f"no person is enrolled in {gallery.path}")
            there = np.flatnonzero(probes.acquired)
            names = [people_column(probes.identities[there]), people_column(ids)]
            self.vectors = vectors
            self._codes, self._owners = shared_codes([side.to_numpy() for side in names])
            self.queries = np.ascontiguousarray(probes.vectors[there], np.float32)
        self._people = np.unique(self._owners)
        numbers = np.arange(1, len(self._owners) + 1)
        checksums = checksums_of(numbers, self._owners, self.vectors)
        self._part = Part(Entries(numbers, self._owners, self.vectors, checksums))
        _require_both(np.isin(self._codes, self._people))
        self.flat = self.searched(FLAT)
        fpirs, ranks, rule, points, level = wanted
        self.exact = measured(
            self.flat.lists, rule, "cosine", fpirs, ranks, level, operating_points=points
        )

    def build(self, kind: str) -> BuiltIndex:
        """Return the view of the gallery with that index."""
        if is_pgvector(kind):
            return self._in_database(PgvectorKind.parse(kind, self.vectors.shape[1]))
        approximate, screen, memory, note = None, None, self.vectors.nbytes, ""
        codes = Codes.of(self.vectors) if kind == FLAT else None
        if codes is not None:
            screen, memory = CodeScreen(codes), memory + codes.codes.nbytes
        if kind != FLAT:
            index, note = build(kind, self.vectors)
            rows = np.arange(len(self.vectors))
            approximate = Approximate(kind, index, rows, len(rows))
            memory = _index_bytes(index)
        nothing = Part(self._part.entries.rows(slice(0)))
        view = View([self._part, nothing], len(self._people), approximate, screen)
        return BuiltIndex(
            lambda queries: view.search(queries, self._k, self._rule, None), memory, note
        )

    def close(self) -> None:
        """Close the connections of searches in the database."""
        self._opened.close()

    def _in_database(self, kind: PgvectorKind) -> BuiltIndex:
        """Return the search of the entries in the gallery's database.

        Without `ef_search` or `probes`, they get the least value tried with the recall asked for.

        Raises:
            GalleryError: No value has that recall; as `Gallery.trial_search`.
        """
        entries = self._part.entries
        there = self._opened.enter_context(self._gallery.trial_search(kind, entries))
        asked = Question(self._k, self._rule)

        def search(with_: EntrySearch, queries: Vectors) -> tuple[Floats, Ints]:
            scores, keys = nobody(len(queries), self._k)
            for row, query in enumerate(queries):
                scores[row], keys[row] = answered(
                    with_,
                    lambda numbers: entries.rows(np.sort(np.array(numbers, np.int64)) - 1),
                    query,
                    asked,
                    len(self._people),
                )
            return scores, keys

        if kind.method is None or kind.effort is not None:
            return BuiltIndex(partial(search, there), there.size())
        assert self._least_recall is not None  # checked by the caller
        reached, some = 0.0, slice(None, None, -(-len(self.queries) // _CHOOSING))
        for effort in efforts(kind, self._k):
            tried = partial(search, there.with_effort(effort))
            for which in (some, slice(None)):  # all probes only if some of them suffice
                reached = recall(tried(self.queries[which])[1], self.flat.rows[which])
                if reached < self._least_recall:
                    break
            else:
                chosen = str(kind.with_effort(effort))
                return BuiltIndex(tried, there.size(), kind=chosen)
        raise GalleryError(
            f"index '{kind}' has recall {reached:.4f} with {kind.option}={kind.most_effort}, less "
            f"than {self._least_recall:g}: build it with larger values, or use exact search"
        )

    def lists(self, scores: Floats, rows: Ints) -> Searched:
        """Return the search results from lists of people."""
        places = np.where(rows >= 0, np.searchsorted(self._people, rows), -1)
        return searched_from_lists(scores, places, [self._codes, self._people])


class ImageSearches(Searches):
    """Searches with one FAISS query per probe; a person's score is that of the best image."""

    def __init__(
        self,
        gallery: EmbeddingSet,
        probes: EmbeddingSet | None,
        wanted: Rates,
        k: int,
        candidates: int | None,
        similarity: str | None,
        share: float,
        seed: int,
    ) -> None:
        if candidates is not None and candidates < 1:
            raise GalleryError(f"candidates {candidates}: give 1 or more")
        if wanted.rule != "max":
            raise GalleryError(
                f"embedding sets support rule max only: omit rule '{wanted.rule}', or "
                "give a gallery"
            )
        if probes is None:
            gallery = gallery.select(gallery.acquired)
            _, owners = np.unique(people_column(gallery.identities), return_inverse=True)
            kept, held = _held_out(owners, share, seed)
            gallery, probes = gallery.select(kept), gallery.select(held)
            _require_both(np.isin(owners[held], owners[kept]))
        self.exact = identification(
            probes,
            gallery,
            fpir=wanted.fpirs,
            ranks=wanted.ranks,
            similarity=similarity,
            operating_points=wanted.points,
            level=wanted.level,
        )
        assert self.exact.similarity is not None  # it was measured on vectors
        self._similarity = self.exact.similarity
        names = [people_column(side.identities).to_numpy() for side in (probes, gallery)]
        codes = shared_codes(names)
        there, _ = searchable(codes, probes.acquired, gallery.acquired)
        self._people = [side[rows] for side, rows in zip(codes, there, strict=True)]
        self.queries, self.vectors = (
            np.ascontiguousarray(vectors_for(side, self._similarity)[rows], np.float32)
            for side, rows in zip((probes, gallery), there, strict=True)
        )
        most = k * int(np.bincount(self._people[1]).max())
        self.candidates = min(len(self.vectors), most if candidates is None else candidates)
        self._scorer = make_scorer(self.queries, self._similarity, others=self.vectors)
        self.flat = self.searched(FLAT)

    def build(self, kind: str) -> BuiltIndex:
        """Return a FAISS index of the entries."""
        faiss = import_faiss()
        euclidean = self._similarity == "euclidean"
        metric = faiss.METRIC_L2 if euclidean else faiss.METRIC_INNER_PRODUCT
        index, note = build("Flat" if kind == FLAT else kind, self.vectors, metric)
        return BuiltIndex(
            lambda queries: index.search(queries, self.candidates), _index_bytes(index), note
        )

    def lists(self, scores: Floats, rows: Ints) -> Searched:
        """Return the search results from lists of images, with exact scores."""
        scores = np.full(rows.shape, -np.inf, np.float32)
        probe, place = np.nonzero(rows >= 0)
        scores[probe, place] = self._scorer.pairs(probe, rows[probe, place])
        return searched_from_lists(scores, rows, self._people)


def _index_bytes(index: Any) -> int:
    """Return the serialised size of an index in bytes."""
    faiss, written = import_faiss(), 0

    def count(part: bytes) -> None:
        nonlocal written
        written += len(part)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))
    return written


def _held_out(owners: Ints, share: float, seed: int) -> tuple[Bools, Ints]:
    """Return the entries [N] that stay, and the held-out rows: all of strangers, and mates.

    Args:
        owners: int64 [N], people numbered from 0.
        share: Share of the people that become strangers (non-mated).
        seed: Seed of the choice.
    """
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
    return kept, rows


def _require_both(mated: Bools) -> None:
    """Raise unless there are mated and non-mated probes.

    Raises:
        GalleryError: All probes are mated, or all are non-mated.
    """
    if mated.all() or not mated.any():
        lacking = "non-mated" if mated.any() else "mated"
        raise GalleryError(
            f"there are no {lacking} probes: FNIR and FPIR need probes of enrolled and other people"
        )
