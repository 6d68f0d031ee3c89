"""Review of an enrolment: checked before the write, and again if another writer came first."""

from collections.abc import Callable, Sequence

import numpy as np

from facever.gallery.checks import Findings, Rules, examine, refuse
from facever.gallery.index.index import Index
from facever.gallery.records import Change, Duplicate, NewImages, Scores, Vectors
from facever.gallery.scores import nearest_of
from facever.gallery.store.store import Store
from facever.gallery.templates import ALL
from facever.operating_point import ScoreRule


class Enrolled:
    """The people who are enrolled, from a store and its index."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index

    def nearest(self, vectors: Vectors) -> tuple[Scores, list[str]]:
        """Return the cosine similarity of each vector [N] to its nearest image, and that person's
        id.
        """
        if self._store.settings.templates == ALL:
            scores, keys = self._index.search(vectors, 1, "max")
            ids = self._store.ids(np.unique(keys[keys >= 0]).tolist())
            return scores[:, 0], [ids.get(key, "") for key in keys[:, 0].tolist()]
        best = np.full(len(vectors), -np.inf, np.float32)
        owners = np.full(len(vectors), -1, np.int64)
        for people, images in self._store.image_vectors():
            scores, at = nearest_of(vectors, images)
            better = scores > best
            best[better], owners[better] = scores[better], people[at[better]]
        ids = self._store.ids(np.unique(owners[owners >= 0]).tolist())
        return best, [ids.get(key, "") for key in owners.tolist()]

    def others(
        self, vectors: Vectors, people: Sequence[str], rule: ScoreRule
    ) -> tuple[Scores, list[str]]:
        """Return the best person for each vector [N] other than the given one, with the score."""
        scores, keys = self._index.search(vectors, 2, rule)
        ids = self._store.ids(np.unique(keys[keys >= 0]).tolist())
        best, names = np.full(len(vectors), -np.inf, np.float32), [""] * len(vectors)
        for row, own in enumerate(people):
            for score, key in zip(scores[row], keys[row].tolist(), strict=True):
                name = ids.get(key)
                if name is not None and name != own:
                    best[row], names[row] = score, name
                    break
        return best, names


class Review:
    """Results of the checks of an enrolment.

    `prepare` checks without blocking other writers. The store calls the review within the
    transaction of the enrolment; if the gallery has changed, the review checks again.

    Args:
        known: The people who are enrolled.
        store: The gallery's store.
        images: The images to enroll.
        rules: Returns the checks for the gallery's current state.
    """

    def __init__(
        self, known: Enrolled, store: Store, images: NewImages, rules: Callable[[], Rules]
    ) -> None:
        self._known, self._store = known, store
        self._images, self._rules_now = images, rules
        self._seen: tuple[Change, list[Duplicate]] | None = None
        self.findings = Findings([], [])
        self.rules = rules()

    def prepare(self) -> None:
        """Check against the gallery's current state."""
        if self.rules.compares:
            with self._store.reading():
                change, found = self._store.change(), self._store.duplicates_of(self._images)
            self._look(change, found)

    def __call__(self, found: list[Duplicate]) -> list[Duplicate]:
        """Return the near duplicates; `found` are the duplicates by hash and source.

        Raises:
            GalleryError: There is a conflict that is refused.
        """
        change = self._store.change()
        if self._seen != (change, found):
            self._look(change, found)
        if self.rules.conflicts == "refuse":
            refuse(self.findings.conflicts)
        return self.findings.duplicates

    def _look(self, change: Change, found: list[Duplicate]) -> None:
        self.rules = self._rules_now()
        known = {duplicate.index for duplicate in found}
        self.findings = examine(self._images, known, self._known, self.rules)
        self._seen = change, found
