"""Checks before an enrolment: duplicates of enrolled images, and faces of other people.

An image is a near duplicate if its similarity to an enrolled image is above a limit. It is in
conflict if it matches another person above an operating point. It is compared with the enrolled
images and with those of the same enrolment, in blocks: no N x N matrix is kept in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from facever.errors import GalleryError, TakenError
from facever.gallery.answers import Conflict
from facever.gallery.decisions import chosen, misfit_in_search, misfit_in_verification
from facever.gallery.records import Duplicate, Duplicates, Keys, NewImages, Scores, Vectors, shown
from facever.gallery.scores import nearest_of, scores_of, slack
from facever.gallery.templates import templates_of
from facever.operating_point import OperatingPoint, ScoreRule

Conflicts = Literal["ignore", "warn", "refuse"]
_ROWS, _COLUMNS = 1024, 8192  # of a block of scores
_KINDS = (
    ("1:N",),
    ("1:1-image", "1:1-template"),
)  # kinds of operating points that decide conflicts, preferred ones first


@dataclass(frozen=True)
class Rules:
    """Which duplicates and conflicts are checked.

    Args:
        duplicates: What to do with an image that is already enrolled: "skip", "keep" or "refuse".
        near: A cosine similarity, 0 to 1: an image above it to an enrolled one is a duplicate.
            None: only images with the same hash or source are.
        conflicts: What to do with faces of other people: "ignore", "warn" or "refuse".
        point: The operating point that decides conflicts; None: they are not checked.
        templates: The gallery's template policy.
        note: A remark about the check, or empty.
    """

    duplicates: Duplicates
    near: float | None
    conflicts: Conflicts
    point: OperatingPoint | None
    templates: str
    note: str = ""

    @property
    def rule(self) -> ScoreRule:
        """How the scores of a person's templates are combined."""
        return (self.point.score_rule if self.point is not None else None) or "max"

    @property
    def compares(self) -> bool:
        """Whether vectors are compared at all."""
        return self.near is not None or self.point is not None


class Known(Protocol):
    """The people who are enrolled."""

    def nearest(self, vectors: Vectors) -> tuple[Scores, list[str]]:
        """Return the cosine similarity of each vector [N] to its nearest image, and that image's
        person.

        For an empty gallery, -inf and an empty text.
        """

    def others(
        self, vectors: Vectors, people: Sequence[str], rule: ScoreRule
    ) -> tuple[Scores, list[str]]:
        """Return the best person for each vector [N] other than the given one, with the score.

        If there is no other person, -inf and an empty text.
        """


class Findings(NamedTuple):
    """Near duplicates and conflicts among the images of an enrolment."""

    duplicates: list[Duplicate]
    conflicts: list[Conflict]


def rules_for(
    duplicates: Duplicates,
    near: float | None,
    conflicts: Conflicts,
    conflict_point: str | None,
    stored: dict[str, OperatingPoint],
    templates: str,
    people: int,
) -> Rules:
    """Return the checks of an enrolment.

    Args:
        duplicates: As in `Rules`, like `near` and `conflicts`.
        near: A cosine similarity between 0 and 1, or None.
        conflicts: "ignore", "warn" or "refuse".
        conflict_point: The name of a stored operating point; by default the only 1:N one that
            fits, or else the only 1:1 one.
        stored: The gallery's operating points, by name.
        templates: The gallery's template policy.
        people: Number of people enrolled.

    Raises:
        GalleryError: A value is not allowed, the operating point does not exist or does not fit, or
            there is none and `conflicts` is "refuse".
    """
    if duplicates not in ("skip", "keep", "refuse"):
        raise GalleryError(f"duplicates is {duplicates!r} (allowed: skip, keep, refuse)")
    if conflicts not in ("ignore", "warn", "refuse"):
        raise GalleryError(f"conflicts is {conflicts!r} (allowed: ignore, warn, refuse)")
    if near is not None and (isinstance(near, bool) or not 0 < near < 1):
        raise GalleryError(
            f"near is {near!r} (allowed: a cosine similarity between 0 and 1, such as 0.99)"
        )
    if conflicts == "ignore":
        if conflict_point is not None:
            raise GalleryError(
                "a conflict point is given, but conflicts are ignored: omit one of them"
            )
        return Rules(duplicates, near, conflicts, None, templates)
    point, note = _conflict_point(conflict_point, stored, templates)
    if point is None and conflicts == "refuse":
        raise GalleryError(
            f"conflicts cannot be refused: {note or 'the gallery has no operating point'}"
        )
    if point is not None and point.gallery_size is not None:
        # Unlike a search, the check also uses an operating point that the gallery has outgrown.
        note = misfit_in_search(point, people, point.score_rule, templates)
    return Rules(duplicates, near, conflicts, point, templates, note)


def _conflict_point(
    name: str | None, stored: dict[str, OperatingPoint], templates: str
) -> tuple[OperatingPoint | None, str]:
    """Return the operating point that decides conflicts, or the reason why there is none."""

    def misfit(point: OperatingPoint) -> str:
        if point.kind == "1:N":
            return misfit_in_search(point, 0, point.score_rule, templates)
        return misfit_in_verification(point, templates)

    if name is not None:
        point = chosen(name, stored, ()).point
        assert point is not None
        if wrong := misfit(point):
            raise GalleryError(wrong)
        return point, ""
    for kinds in _KINDS:
        usual = {key: point for key, point in stored.items() if point.kind in kinds}
        fitting = [key for key, point in usual.items() if not misfit(point)]
        if len(fitting) == 1:
            return usual[fitting[0]], ""
        if fitting:
            return None, f"conflicts were not checked: name one of {', '.join(fitting)}"
    if stored:
        first = misfit(next(iter(stored.values())))
        return None, f"conflicts were not checked: {first}"
    return None, ""


def examine(images: NewImages, known_already: set[int], known: Known, rules: Rules) -> Findings:
    """Check for near duplicates and conflicts.

    Args:
        images: The images of the enrolment.
        known_already: Positions of known duplicates.
        known: The people who are enrolled.
        rules: The checks.

    Raises:
        GalleryError: The images do not fit the template policy.
    """
    rows = [row for row in range(len(images.people)) if row not in known_already]
    duplicates = []
    if rules.near is not None and rows:
        duplicates = list(_near(images, rows, known, rules.near, rules.duplicates == "skip"))
    if rules.duplicates == "skip":
        left_out = {duplicate.index for duplicate in duplicates}
        kept = [row for row in rows if row not in left_out]
    else:
        kept = list(range(len(images.people)))
    if rules.point is None or not kept:
        return Findings(duplicates, [])
    return Findings(duplicates, list(_conflicts(images, kept, known, rules, rules.point)))


def _near(
    images: NewImages, rows: list[int], known: Known, limit: float, skip: bool
) -> Iterator[Duplicate]:
    """Yield the images whose similarity to an enrolled or an earlier image is above a limit.

    An image that is skipped as a duplicate does not make other images duplicates.
    """
    vectors = images.vectors[rows]
    best, whose = known.nearest(vectors)
    near = limit - slack(vectors.shape[1])
    before: list[int] = []  # positions in `rows` of images to enroll
    for start in range(0, len(rows), _ROWS):
        here = np.arange(start, min(start + _ROWS, len(rows)))
        earlier, at = nearest_of(vectors[here], vectors, np.array(before, np.int64))
        among = _exact_above(vectors[here], near)
        present: list[int] = []  # images of this block to enroll so far
        for place, position in enumerate(here.tolist()):
            score, known_as = float(best[position]), whose[position]
            if earlier[place] > score:
                score, known_as = float(earlier[place]), images.people[rows[before[at[place]]]]
            if present:
                nearest = int(among[place, present].argmax())
                if among[place, present[nearest]] > score:
                    score = float(among[place, present[nearest]])
                    known_as = images.people[rows[start + present[nearest]]]
            found = score > limit
            if found:
                row = rows[position]
                yield Duplicate(row, images.people[row], known_as, images.sources[row], score)
            if not (found and skip):
                present.append(place)
        before += [start + place for place in present]


def _exact_above(vectors: Vectors, near: float) -> Scores:
    """Return the cosine similarity of all pairs, exact where it is above `near`, float32 [N, N]."""
    cosines = vectors @ vectors.T
    rows, columns = np.nonzero(cosines > near)
    cosines[rows, columns] = scores_of(vectors, rows, vectors, columns)
    return cosines


def _conflicts(
    images: NewImages, kept: list[int], known: Known, rules: Rules, point: OperatingPoint
) -> Iterator[Conflict]:
    """Yield the images that match another person, enrolled or in the same enrolment."""
    vectors, people = images.vectors[kept], [images.people[row] for row in kept]
    best, whose = known.others(vectors, people, rules.rule)
    among, companions = _others_among(images, kept, rules)
    for place, row in enumerate(kept):
        score, matches = float(best[place]), whose[place]
        if among[place] > score:
            score, matches = float(among[place]), companions[place]
        if point.accepts(score):
            yield Conflict(row, people[place], matches, score, images.sources[row])


def _others_among(images: NewImages, kept: list[int], rules: Rules) -> tuple[Scores, list[str]]:
    """Return the best other person of the same enrolment for each image, with the score."""
    names = sorted({images.people[row] for row in kept})
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([code[images.people[row]] for row in kept])
    vectors = images.vectors[kept]
    best = np.full(len(kept), -np.inf, np.float32)
    which = np.zeros(len(kept), np.int64)
    if len(names) == 1:
        return best, [""] * len(kept)
    qualities = images.qualities or [None] * len(images.people)
    weights = [images.norms[row] if qualities[row] is None else qualities[row] for row in kept]
    owners, entries = templates_of(rules.templates, codes, vectors, weights)
    starts = np.unique(owners, return_index=True)[1]  # owners are in ascending order
    sizes = np.diff(np.append(starts, len(owners)))
    compared = entries
    if rules.rule == "mean":  # the mean of the cosines is the product with the mean vector
        sums = np.add.reduceat(entries.astype(np.float64), starts, axis=0)
        compared = (sums / sizes[:, None]).astype(np.float32)
    else:
        starts, sizes = np.arange(len(owners)), np.ones(len(owners), np.int64)
    of = owners[starts]
    near = slack(vectors.shape[1])
    for start in range(0, len(kept), _ROWS):
        here = slice(start, start + _ROWS)
        for column in range(0, len(of), _COLUMNS):
            part = slice(column, column + _COLUMNS)
            scores = vectors[here] @ compared[part].T
            scores[codes[here, None] == of[part]] = -np.inf
            cut = np.maximum(scores.max(axis=1), best[here]) - near
            rows, at = np.nonzero((scores >= cut[:, None]) & np.isfinite(scores))
            at = at + column
            exact = _means(vectors, rows + start, entries, starts[at], sizes[at])
            order = np.lexsort((-exact, rows))
            first = order[np.unique(rows[order], return_index=True)[1]]
            first = first[exact[first] > best[rows[first] + start]]
            best[rows[first] + start], which[rows[first] + start] = exact[first], of[at[first]]
    return best, [names[code] for code in which]


def _means(queries: Vectors, rows: Keys, entries: Vectors, starts: Keys, sizes: Keys) -> Scores:
    """Return the mean score of each query (row) with the entries of each group, float32 [M]."""
    if not len(rows):
        return np.empty(0, np.float32)
    begins = np.cumsum(sizes) - sizes
    at = np.arange(sizes.sum()) + np.repeat(starts - begins, sizes)
    found = scores_of(queries, np.repeat(rows, sizes), entries, at)
    means: Scores = (np.add.reduceat(found.astype(np.float64), begins) / sizes).astype(np.float32)
    return means


def refuse(conflicts: Sequence[Conflict]) -> None:
    """Refuse an enrolment with conflicts.

    Raises:
        GalleryError: There are conflicts.
    """
    if conflicts:
        first, more = conflicts[0], len(conflicts) - 1
        raise TakenError(
            f"{first.what()} of {shown(first.person)} matches {shown(first.matches)} "
            f"({first.score:.4f}){f' (and {more} more)' if more else ''}; nothing was enrolled"
        )
