"""Search: identification of probes (1:N)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from facever.errors import GalleryError
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery import probabilities
from facever.gallery.answers import Answer, Candidate, SearchResult
from facever.gallery.decisions import SCORES_ONLY, Decision, checked_rule, for_search, joined_notes
from facever.gallery.image_filters import ImageFilter, checked_images
from facever.gallery.index.index import Index
from facever.gallery.index.view import View
from facever.gallery.inputs import (
    Probing,
    checked_vectors,
    failures,
    found_in,
    other_images,
)
from facever.gallery.records import Change, Keys, Vectors
from facever.gallery.store.store import Store
from facever.gallery.thresholds import decision_of, kept, require_usable
from facever.operating_point import OperatingPoint, ScoreRule

_KINDS = ("1:N",)  # kinds of operating points that can decide


class _Plan(NamedTuple):
    """The plan of a search: score rule, people, templates and operating point."""

    rule: ScoreRule
    templates: str
    searched: int
    decision: Decision
    chosen: probabilities.Chosen


def search(
    store: Store,
    index: Index,
    probes: Probing,
    k: int,
    *,
    fingerprint: str | None,
    operating_point: OperatingPoint | str | None,
    rule: ScoreRule | None,
    where: Mapping[str, Any] | None,
    where_images: Mapping[str, Any] | None,
    calibration: ScoreCalibration | str | None,
    decide: bool,
) -> SearchResult:
    """Search the people of a store with its index; see `Gallery.search`."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise GalleryError(f"k is {k!r} (allowed: an integer of at least 1)")
    rule = checked_rule(rule)
    found = None
    while found is None:
        with store.reading():  # one state: the decision must match the people
            before = store.generation(), store.change(), store.connection
            vectors = checked_vectors(probes, fingerprint, store.binding, store.equivalents)
            among = None if where is None else store.keys_where(where)
            images = None
            if where_images is not None:
                images = checked_images(where_images, store.settings.templates)
            view = index.refresh(images)
            if images is not None:
                owners = None if view is None else view.within
                if owners is None:  # the database searches
                    owners = np.unique(store.images_matching(images)[1])
                among = owners if among is None else np.intersect1d(owners, among)
            plan = _plan(store, operating_point, rule, calibration, among)
            if decide and plan.decision.point is None:
                reason = plan.decision.note.removeprefix(SCORES_ONLY)
                raise GalleryError(f"no decision is possible: {reason}")
        failed = failures(probes)
        held = [row for row in range(len(vectors)) if row not in failed]
        most = min(k, max(plan.searched, 1))
        found = _candidates(
            store, index, view, vectors[held], most, plan.rule, among, images, before
        )
    point, used = plan.decision.point, plan.chosen.calibration
    answers, each, faces = [], iter(found), found_in(probes, len(vectors))
    for row in range(len(vectors)):
        if row in failed:
            answers.append(Answer([], error=failed[row], face=faces[row]))
            continue
        candidates = _with_probability(next(each), used)
        known = None if point is None else _passes(candidates, point)
        answers.append(Answer(candidates, known, face=faces[row]))
    return SearchResult(
        answers,
        plan.rule,
        point,
        joined_notes(plan.decision.note, plan.chosen.note, other_images(point, probes)),
        plan.decision.implied_rate,
        plan.templates,
        plan.searched,
        used,
    )


def _plan(
    store: Store,
    operating_point: OperatingPoint | str | None,
    rule: ScoreRule | None,
    calibration: ScoreCalibration | str | None,
    among: Keys | None,
) -> _Plan:
    """Return the plan of a search for the store's current state."""
    templates, filtered = store.settings.templates, among is not None
    searched = store.counts()[0] if among is None else len(among)
    meant = decision_of(store, operating_point, _KINDS)
    named = operating_point is not None
    decision = for_search(meant, searched, rule, templates, filtered=filtered, named=named)
    # Use the point's rule even if it does not decide, so that scores stay the same.
    used = rule or (meant.point.score_rule if meant.point is not None else None) or "max"
    require_usable(store, calibration)
    calibrations, unusable = kept(store, ScoreCalibration)
    chosen = probabilities.for_search(
        calibration,
        calibrations,
        searched,
        used,
        templates,
        filtered=filtered,
        unusable=unusable,
    )
    return _Plan(used, templates, searched, decision, chosen)


def _candidates(
    store: Store,
    index: Index,
    view: View | None,
    vectors: Vectors,
    k: int,
    rule: ScoreRule,
    among: Keys | None,
    images: ImageFilter | None,
    before: tuple[str, Change, int],
) -> list[list[Candidate]] | None:
    """Return the ids of the people found; None if the store is no later state of the one before.

    After a new connection the store may have gone back in between (a replica without the last
    changes took over), and have given the keys found to other people.

    Answers never contain people who are not in the store or whose row is damaged. If a person was
    removed meanwhile, the search is repeated.

    Args:
        store: The gallery's store.
        index: The store's index.
        view: The entries to search first (`Index.refresh`).
        vectors: float32 [Q, D], unit rows.
        k: Maximum number of people per probe.
        rule: The score rule.
        among: Keys of the people to search; None for all.
        images: The images to search; None for all.
        before: Generation, change and connection of the store that the search was planned for.

    Raises:
        GalleryError: The index repeatedly returns people who are not in the store.
    """
    (generation, change, connection), forgotten = before, False
    while True:
        scores, keys = index.search(vectors, k, rule, among, view, images)
        view, last = None, change  # another search is of the store's state by then
        people = np.unique(keys[keys >= 0]).tolist()
        ids = store.ids_at(change, people)
        if ids is None or store.connection != connection:
            with store.reading():
                ids, now = store.ids(people), store.change()
                same = (store.generation(), store.connection) == (generation, connection)
                same = same and (now == change or store.had(change))
            if not same:
                return None
            change = now
        with suppress(KeyError):
            return [
                [Candidate(ids[key], score) for key, score in zip(*row, strict=True) if key >= 0]
                for row in zip(keys.tolist(), scores.tolist(), strict=True)
            ]
        if change == last:
            if forgotten:
                raise GalleryError(
                    f"the index of {store.name} contains people who are not in the "
                    "store: rebuild it with 'facever gallery rebuild'"
                )
            index.forget_people(np.setdiff1d(keys[keys >= 0], list(ids)))
            forgotten = True


def _passes(candidates: list[Candidate], point: OperatingPoint) -> bool:
    return bool(candidates) and point.accepts(candidates[0].score)


def _with_probability(
    candidates: list[Candidate], calibration: ScoreCalibration | None
) -> list[Candidate]:
    """Return the candidates, the first one with the probability that it is correct."""
    if calibration is None or not candidates:
        return candidates
    first = candidates[0]
    probability = float(calibration.probability(first.score))
    return [Candidate(first.person, first.score, probability), *candidates[1:]]
