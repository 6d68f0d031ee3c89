"""The gallery: people and their images' vectors, asked who someone is and whether it is them."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from facever.config import parse
from facever.errors import GalleryError
from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.evaluation.scoring.similarity import make_scorer
from facever.files import atomic_folder
from facever.gallery.answers import (
    Answer,
    Candidate,
    Enrollment,
    GalleryInfo,
    SearchResult,
    Verification,
)
from facever.gallery.decisions import (
    Decision,
    chosen,
    for_search,
    for_verification,
    require_cosine,
    require_fit,
)
from facever.gallery.intake import Faces, checked_vectors, failures, images_of
from facever.gallery.records import Binding, Duplicates, Vectors, shown, text
from facever.gallery.store import Store
from facever.gallery.upkeep import KeptIndex
from facever.vectors.embedding_set import UNDECLARED

_DECIDES_SEARCH = ("1:N",)
_DECIDES_VERIFICATION = ("1:1-image", "1:1-template")


class Gallery:
    """A folder of enrolled people, bound to one model; make it with `create` or `open`.

    Every vector that comes in must be of the model (the fingerprint) that the gallery is bound to.
    An EmbeddingSet says so itself; with plain vectors the caller says so: `fingerprint=`. Scores
    are cosines. One process at a time writes, any number read, and each sees whole enrolments.

    Example:
        >>> from facever import EmbeddingSet, Gallery
        >>> faces = EmbeddingSet.from_arrays([[1, 0], [0, 1]], ["Ada", "Bob"], fingerprint="demo")
        >>> with Gallery.create(path, fingerprint="demo", dimension=2) as gallery:
        ...     _ = gallery.enroll(faces)
        ...     answer = gallery.search([[0.8, 0.6]], k=1, fingerprint="demo")[0]
        >>> answer.candidates
        [Candidate(person='Ada', score=0.800000011920929)]
    """

    def __init__(self, store: Store, path: Path, wait: float) -> None:
        self._store, self.path = store, path
        self._index = KeptIndex(store, wait)

    # -- the life of a gallery --------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        fingerprint: str,
        dimension: int,
        metric: str = "cosine",
        preprocessing: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        wait: float = 10.0,
    ) -> Self:
        """Make an empty gallery, readable by its owner only, and open it.

        Args:
            path: A folder that does not exist or is empty.
            fingerprint: Of the extractor whose vectors it will hold, or any name of their origin.
            dimension: Of the vectors.
            metric: What the model was trained to be compared by; kept for the record.
            preprocessing: Of the model; kept for the record.
            options: Of the extraction; kept for the record.
            wait: Seconds to wait for another writer before giving up.

        Raises:
            GalleryError: Something is at `path`, it cannot be written, or no origin or dimension is
                declared.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise GalleryError(f"{path} is there already; open it, or choose another path")
        if text(fingerprint, "a fingerprint") == UNDECLARED:
            raise GalleryError(
                "nobody declared where these vectors come from: give fingerprint='NAME OF THE "
                "MODEL', so that no others get in"
            )
        if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
            raise GalleryError(f"a dimension is a whole number from 1 on, not {dimension!r}")
        binding = Binding(
            fingerprint, dimension, metric, dict(preprocessing or {}), dict(options or {})
        )
        try:
            with atomic_folder(path) as folder:
                folder.chmod(0o700)
                Store.create(folder, binding)
        except OSError as error:
            raise GalleryError(f"{path} cannot be made: {error.strerror}") from error
        return cls.open(path, wait=wait)

    @classmethod
    def open(cls, path: str | Path, *, wait: float = 10.0) -> Self:
        """Open a gallery.

        Args:
            path: Its folder.
            wait: Seconds to wait for another writer before giving up.

        Raises:
            GalleryError: There is none, or it is damaged or of a newer format.
        """
        path = Path(path)
        return cls(Store.open(path, wait), path, wait)

    def close(self) -> None:
        """Finish writing the index and close the files."""
        self._index.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- what it is -------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Of the extractor that the gallery is bound to."""
        return self._store.binding.fingerprint

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return self._store.binding.dimension

    def info(self) -> GalleryInfo:
        """Return what the gallery is and holds."""
        binding = self._store.binding
        with self._store.reading():
            people, images = self._store.counts()
            return GalleryInfo(
                path=str(self.path),
                gallery=self._store.gallery,
                created=self._store.created,
                change=self._store.change().number,
                fingerprint=binding.fingerprint,
                dimension=binding.dimension,
                metric=binding.metric,
                preprocessing=dict(binding.preprocessing),
                options=dict(binding.options),
                people=people,
                images=images,
                operating_points={
                    name: point.model_dump(mode="json")
                    for name, point in self.operating_points().items()
                },
            )

    def metadata(self, person: str) -> dict[str, Any]:
        """Return what is known of a person.

        Raises:
            GalleryError: Nobody is enrolled under that id.
        """
        return self._store.metadata(person)

    # -- changing it ------------------------------------------------------------------------

    def enroll(
        self,
        faces: Faces,
        people: str | Sequence[str] | None = None,
        *,
        fingerprint: str | None = None,
        sources: Sequence[str | None] | None = None,
        hashes: Sequence[str | None] | None = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        duplicates: Duplicates = "skip",
    ) -> Enrollment:
        """Add images of people: all of them, or on any error none.

        Args:
            faces: An EmbeddingSet, or unit vectors [N, D] (or one [D]). Rows of an EmbeddingSet
                whose image could not be embedded are left out and reported.
            people: Whom the images show: one id for all, or one each; by default the identities
                of the EmbeddingSet.
            fingerprint: The origin of plain vectors, or of an undeclared EmbeddingSet.
            sources: Where each image came from; by default the paths of the EmbeddingSet.
            hashes: A hash of each image's bytes, by which duplicates are recognised; without one
                they are by their source.
            metadata: By person id, any keys and values that JSON can hold; they are added to what
                is known of the person.
            duplicates: An image that is there already is left out ("skip"), enrolled all the same
                ("keep"), or makes the whole enrolment fail ("refuse"). It is reported in any case.

        Raises:
            GalleryError: Vectors of another model, another dimension, not of unit length or NaN;
                lengths that differ; an id that cannot be kept; a duplicate with "refuse"; another
                process that keeps writing; a full disk.
        """
        if duplicates not in ("skip", "keep", "refuse"):
            raise GalleryError(f"duplicates is {duplicates!r} (allowed: skip, keep, refuse)")
        vectors = checked_vectors(faces, fingerprint, self._store.binding)
        images = images_of(faces, vectors, people, sources, hashes)
        for person in set(metadata or {}) - set(images.people):
            raise GalleryError(f"metadata of {shown(person)}, whom none of these images shows")
        failed = failures(faces)
        kept = [row for row in range(len(vectors)) if row not in failed]
        added, new_people, found = self._store.enroll(images.rows(kept), metadata or {}, duplicates)
        self._index.settle()
        return Enrollment(
            added,
            new_people,
            [replace(duplicate, index=kept[duplicate.index]) for duplicate in found],
            [(images.sources[row] or f"image {row}", reason) for row, reason in failed.items()],
        )

    def remove(self, person: str, source: str | None = None) -> int:
        """Remove a person, or only their images from one source; return how many images went.

        When it returns they are in no answer of any process any more. Their bytes are overwritten
        in the store, but may stay in its log and in the index until those are written anew.

        Raises:
            GalleryError: No such person or image, or another process that keeps writing.
        """
        removed = self._store.remove(person, source)
        self._index.settle()
        return removed

    def add_operating_point(self, name: str, point: OperatingPoint) -> None:
        """Keep an operating point under a name.

        Raises:
            GalleryError: It is of another model or not for cosines, or the name is taken.
        """
        require_fit(point, self.fingerprint, "the gallery")
        require_cosine(point)
        self._store.add_operating_point(name, point.kind, point.model_dump_json())

    def operating_points(self) -> dict[str, OperatingPoint]:
        """Return the operating points by name."""
        return {
            name: parse(OperatingPoint, json.loads(point), where=f"{self.path}: '{name}'")
            for name, point in self._store.operating_points().items()
        }

    # -- asking it --------------------------------------------------------------------------

    def search(
        self,
        probes: Faces,
        k: int = 5,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule | None = None,
    ) -> SearchResult:
        """Find the k people who are nearest to each probe (1:N).

        Args:
            probes: An EmbeddingSet, unit vectors [Q, D] or one [D].
            k: How many people, at most.
            fingerprint: The origin of plain vectors.
            operating_point: A 1:N operating point, or the name of one in the gallery, or None for
                the gallery's only one. With a 1:1 one, or none, there are scores and no decision.
            rule: A person's score is the largest cosine over their images ("max") or the mean. By
                default the operating point's rule, or "max".

        Raises:
            GalleryError: Vectors as in `enroll`; an operating point of another model, or measured
                with less than half as many people as there are now, or with another rule.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise GalleryError(f"k is a whole number from 1 on, not {k!r}")
        vectors = checked_vectors(probes, fingerprint, self._store.binding)
        decision = self._decision(operating_point, _DECIDES_SEARCH)
        decision = for_search(decision, self._store.counts()[0], _allowed(rule))
        point = decision.point
        rule = rule or (point.score_rule if point is not None else None) or "max"
        failed = failures(probes)
        answers = [
            Answer([], error=failed[row])
            if row in failed
            else Answer(found, None if point is None else _passes(found, point))
            for row, found in enumerate(self._candidates(vectors, k, rule))
        ]
        return SearchResult(answers, rule, point, decision.note, decision.implied_rate)

    def verify(
        self,
        probes: Faces,
        person: str,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule = "max",
    ) -> Verification:
        """Say whether each probe shows a person (1:1).

        Args:
            probes: An EmbeddingSet, unit vectors [Q, D] or one [D].
            person: Who they are claimed to be.
            fingerprint: The origin of plain vectors.
            operating_point: A 1:1 operating point, or the name of one in the gallery, or None for
                the gallery's only one. Without any there are scores and no decision.
            rule: The score is the largest cosine over the person's images ("max") or the mean.

        Raises:
            GalleryError: Vectors as in `enroll`, a probe without a vector, nobody of that id, or
                an operating point of another model or of kind 1:N.
        """
        vectors = checked_vectors(probes, fingerprint, self._store.binding)
        for row, reason in failures(probes).items():
            raise GalleryError(f"probe {row} has no vector: {reason}")
        enrolled = self._store.vectors_of(person)
        decision = self._decision(operating_point, _DECIDES_VERIFICATION)
        decision = for_verification(decision, len(enrolled), _allowed(rule) or "max")
        pairs = make_scorer(vectors, others=enrolled).pairs(
            *(axis.ravel() for axis in np.indices((len(vectors), len(enrolled))))
        )
        cosines = pairs.reshape(len(vectors), len(enrolled))
        scores = (cosines.max(axis=1) if rule == "max" else cosines.mean(axis=1)).tolist()
        point = decision.point
        same = [point.accepts(score) for score in scores] if point is not None else None
        return Verification(person, scores, same, rule, len(enrolled), point, decision.note)

    def _decision(self, given: OperatingPoint | str | None, kinds: tuple[str, ...]) -> Decision:
        decision = chosen(given, self.operating_points(), kinds)
        if decision.point is not None:
            require_fit(decision.point, self.fingerprint, "the gallery")
            require_cosine(decision.point)
        return decision

    def _candidates(self, vectors: Vectors, k: int, rule: ScoreRule) -> list[list[Candidate]]:
        """Return the people found, by their ids; again where one was removed meanwhile."""
        while True:
            scores, keys = self._index.search(vectors, k, rule)
            ids = self._store.ids(np.unique(keys[keys >= 0]).tolist())
            with suppress(KeyError):
                return [
                    [
                        Candidate(ids[key], score)
                        for key, score in zip(*row, strict=True)
                        if key >= 0
                    ]
                    for row in zip(keys.tolist(), scores.tolist(), strict=True)
                ]


def _allowed(rule: str | None) -> ScoreRule | None:
    if rule not in (None, "max", "mean"):
        raise GalleryError(f"rule is {rule!r} (allowed: max, mean)")
    return rule  # type: ignore[return-value]


def _passes(candidates: list[Candidate], point: OperatingPoint) -> bool:
    return bool(candidates) and point.accepts(candidates[0].score)
