"""What one asks a gallery: who someone is, and whether it is them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from facever.errors import GalleryError
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery import probabilities
from facever.gallery.answers import (
    Answer,
    Candidate,
    SearchResult,
    Verification,
)
from facever.gallery.decisions import (
    SCORES_ONLY,
    Decision,
    chosen,
    for_search,
    for_verification,
    require_cosine,
)
from facever.gallery.intake import Faces, checked_vectors, failures, found_in, other_images
from facever.gallery.opened import Opened
from facever.gallery.records import Change, Keys, Vectors
from facever.gallery.scores import all_scores
from facever.operating_point import OperatingPoint, ScoreRule, require_fit

_DECIDES_SEARCH = ("1:N",)
_DECIDES_VERIFICATION = ("1:1-image", "1:1-template")


class _Plan(NamedTuple):
    """How a search is made: the score rule, whom it compares by what, and what decides."""

    rule: ScoreRule
    templates: str
    searched: int
    decision: Decision
    told: probabilities.Chosen


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
        where: Mapping[str, Any] | None = None,
        calibration: ScoreCalibration | str | None = None,
        decide: bool = False,
    ) -> SearchResult:
        """Find the k people who are nearest to each probe (1:N).

        Args:
            probes: An EmbeddingSet, unit vectors [Q, D] or one [D]. A row of an EmbeddingSet whose
                image could not be embedded has that as its answer.
            k: How many people, at most.
            fingerprint: The origin of plain vectors.
            operating_point: A 1:N operating point, or the name of one in the gallery, or None for
                the gallery's only one. With a 1:1 one, none, or one that the gallery has outgrown,
                there are scores, `known` is None and `note` says why.
            rule: A person's score is the largest cosine over their images, or templates, ("max")
                or the mean. By default the operating point's rule, or "max".
            where: Only people of whom this is known: by key of their metadata the value, or a list
                of values of which it is one.
            calibration: A 1:N calibration, or the name of one in the gallery, or None for the
                gallery's only one that fits: how probable it is that the first candidate is right.
            decide: An answer without a decision is of no use to the caller.

        Raises:
            GalleryError: Vectors as in `enroll`; an operating point or calibration that is given
                and is of another model, another rule or other templates; nothing decides and
                `decide` is set.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise GalleryError(f"k is a whole number from 1 on, not {k!r}")
        while True:
            with self._store.reading():  # one state, so that what decides is for these people
                before = self._store.generation(), self._store.change()
                vectors = checked_vectors(probes, fingerprint, self._store.binding)
                among = None if where is None else self._store.keys_where(where)
                plan = self._plan(operating_point, _allowed(rule), calibration, among)
                if decide and plan.decision.point is None:
                    reason = plan.decision.note.removeprefix(SCORES_ONLY)
                    raise GalleryError(f"no decision is possible: {reason}")
            failed = failures(probes)
            held = [row for row in range(len(vectors)) if row not in failed]
            most = min(k, max(plan.searched, 1))
            found = self._candidates(vectors[held], most, plan.rule, among, before)
            if found is not None:
                break
        answers, each, faces = [], iter(found), found_in(probes, len(vectors))
        for row in range(len(vectors)):
            if row in failed:
                answers.append(Answer([], error=failed[row], face=faces[row]))
                continue
            candidates = _with_probability(next(each), plan.told.calibration)
            point = plan.decision.point
            answers.append(
                Answer(
                    candidates,
                    None if point is None else _passes(candidates, point),
                    face=faces[row],
                )
            )
        return SearchResult(
            answers,
            plan.rule,
            plan.decision.point,
            _joined(plan.decision.note, plan.told.note, other_images(plan.decision.point, probes)),
            plan.decision.implied_rate,
            plan.templates,
            plan.searched,
            plan.told.calibration,
        )

    def verify(
        self,
        probes: Faces,
        person: str,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule = "max",
        calibration: ScoreCalibration | str | None = None,
    ) -> Verification:
        """Say whether each probe shows a person (1:1).

        Args:
            probes: An EmbeddingSet, unit vectors [Q, D] or one [D]. A row of an EmbeddingSet whose
                image could not be embedded has that as its error.
            person: Who they are claimed to be.
            fingerprint: The origin of plain vectors.
            operating_point: A 1:1 operating point, or the name of one in the gallery, or None for
                the gallery's only one. Without one that fits there are scores and no decision.
            rule: The score is the largest cosine over the person's images, or templates, ("max")
                or the mean.
            calibration: A 1:1 calibration, or the name of one in the gallery, or None for the
                gallery's only one that fits: how probable it is that it is the person.

        Raises:
            GalleryError: Vectors as in `enroll`, nobody of that id, or an operating point or
                calibration that is given and is of another model, of kind 1:N or of other
                templates.
        """
        rule = _allowed(rule) or "max"
        with self._store.reading():  # one state, so that what decides is for this person's vectors
            vectors = checked_vectors(probes, fingerprint, self._store.binding)
            enrolled = self._store.vectors_of(person)
            templates, count = self._store.settings.templates, len(enrolled)
            decision = self._decision(operating_point, _DECIDES_VERIFICATION)
            named = operating_point is not None
            decision = for_verification(decision, count, rule, templates, named=named)
            calibrations, unusable = self._kept_calibrations()
            told = probabilities.for_verification(
                self._fitting(calibration), calibrations, count, rule, templates, unusable
            )
        failed = failures(probes)
        held = [row for row in range(len(vectors)) if row not in failed]
        cosines = all_scores(vectors[held], enrolled)
        scored = cosines.max(axis=1)
        if rule == "mean":
            scored = cosines.mean(axis=1, dtype=np.float64).astype(np.float32)
        scores: list[float | None] = [None] * len(vectors)
        for row, score in zip(held, scored.tolist(), strict=True):
            scores[row] = score
        point, one = decision.point, told.calibration
        return Verification(
            person,
            scores,
            None if point is None else [None if s is None else point.accepts(s) for s in scores],
            rule,
            count,
            point,
            _joined(decision.note, told.note, other_images(point, probes)),
            [failed.get(row) for row in range(len(vectors))],
            templates,
            None
            if one is None
            else [None if s is None else float(one.probability(s)) for s in scores],
            one,
            found_in(probes, len(vectors)),
        )

    def _plan(
        self,
        operating_point: OperatingPoint | str | None,
        rule: ScoreRule | None,
        calibration: ScoreCalibration | str | None,
        among: Keys | None,
    ) -> _Plan:
        """Return how the store's people are searched now, and what decides."""
        templates, filtered = self._store.settings.templates, among is not None
        searched = self._store.counts()[0] if among is None else len(among)
        meant = self._decision(operating_point, _DECIDES_SEARCH)
        named = operating_point is not None
        decision = for_search(meant, searched, rule, templates, filtered=filtered, named=named)
        # by the point's rule also where it does not decide: its scores must not become others
        used = rule or (meant.point.score_rule if meant.point is not None else None) or "max"
        calibrations, unusable = self._kept_calibrations()
        told = probabilities.for_search(
            self._fitting(calibration),
            calibrations,
            searched,
            used,
            templates,
            filtered=filtered,
            unusable=unusable,
        )
        return _Plan(used, templates, searched, decision, told)

    def _decision(self, given: OperatingPoint | str | None, kinds: tuple[str, ...]) -> Decision:
        points, unusable = self._kept_points()
        decision = chosen(given, points, kinds, unusable)
        if decision.point is None:
            return decision
        try:
            require_fit(decision.point, self.fingerprint, "the gallery")
            require_cosine(decision.point)
        except GalleryError as error:
            if given is not None:
                raise
            return Decision(None, f"{SCORES_ONLY}{error}")
        return decision

    def _fitting(self, given: ScoreCalibration | str | None) -> ScoreCalibration | str | None:
        """Return a calibration that is given, when it is of the gallery's model and scores."""
        if isinstance(given, ScoreCalibration):
            require_fit(given, self.fingerprint, "the gallery")
            require_cosine(given)
        return given

    def _candidates(
        self,
        vectors: Vectors,
        k: int,
        rule: ScoreRule,
        among: Keys | None,
        before: tuple[str, Change],
    ) -> list[list[Candidate]] | None:
        """Return the people found, by their ids; None where all entries became others meanwhile.

        People whom the store has not, or whose row is damaged there, are nobody's answer. Where
        one was removed meanwhile, the search is made again.

        Args:
            before: The generation and the change of the store that the search is planned for.

        Raises:
            GalleryError: The index keeps to such people.
        """
        (generation, change), forgotten = before, False
        while True:
            scores, keys = self._index.search(vectors, k, rule, among)
            with self._store.reading():
                ids = self._store.ids(np.unique(keys[keys >= 0]).tolist())
                same = self._store.generation() == generation
                last, change = change, self._store.change()
            if not same:
                return None
            with suppress(KeyError):
                return [
                    [
                        Candidate(ids[key], score)
                        for key, score in zip(*row, strict=True)
                        if key >= 0
                    ]
                    for row in zip(keys.tolist(), scores.tolist(), strict=True)
                ]
            if change == last:
                if forgotten:
                    raise GalleryError(
                        f"the index of {self.path} has people who are not in the store; make it "
                        "again with 'facever gallery rebuild'"
                    )
                self._index.forget_people(np.setdiff1d(keys[keys >= 0], list(ids)))
                forgotten = True


def _allowed(rule: str | None) -> ScoreRule | None:
    if rule not in (None, "max", "mean"):
        raise GalleryError(f"rule is {rule!r} (allowed: max, mean)")
    return rule  # type: ignore[return-value]


def _passes(candidates: list[Candidate], point: OperatingPoint) -> bool:
    return bool(candidates) and point.accepts(candidates[0].score)


def _with_probability(
    candidates: list[Candidate], calibration: ScoreCalibration | None
) -> list[Candidate]:
    """Say of the first candidate how probable it is."""
    if calibration is None or not candidates:
        return candidates
    first = candidates[0]
    probability = float(calibration.probability(first.score))
    return [Candidate(first.person, first.score, probability), *candidates[1:]]


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
