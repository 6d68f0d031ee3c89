"""What one asks a gallery: who someone is, and whether it is them."""

from contextlib import suppress

import numpy as np

from facever.errors import GalleryError
from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.evaluation.scoring.similarity import make_scorer
from facever.gallery.answers import (
    Answer,
    Candidate,
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
from facever.gallery.intake import Faces, checked_vectors, failures
from facever.gallery.opened import Opened
from facever.gallery.records import Vectors

_DECIDES_SEARCH = ("1:N",)
_DECIDES_VERIFICATION = ("1:1-image", "1:1-template")


class Asking(Opened):
    """The questions: 1:N and 1:1."""

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
