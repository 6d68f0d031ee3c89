"""An enrolment's review: checked before it begins to write, and again when somebody else wrote."""

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
    """Who is enrolled, by a store and the index that follows it."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index

    def nearest(self, vectors: Vectors) -> tuple[Scores, list[str]]:
        """Return the cosine of the nearest image of each vector [N], and whose it is."""
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
        """Return the score of the best person of each vector [N] who is not the one named."""
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
    """What checks find of images that are to be enrolled.

    `prepare` looks without keeping other writers waiting. The store calls the review within the
    transaction that enrolls; when the gallery is not as it was then, it looks again.

    Args:
        known: Who is enrolled.
        store: The gallery's store.
        images: What is to be enrolled.
        rules: Returns what is looked for in the gallery as it is now.
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
        """Look at the gallery as it is now."""
        if self.rules.compares:
            with self._store.reading():
                change, found = self._store.change(), self._store.duplicates_of(self._images)
            self._look(change, found)

    def __call__(self, found: list[Duplicate]) -> list[Duplicate]:
        """Return the near duplicates, where `found` are those by hash and source.

        Raises:
            GalleryError: A conflict that is to be refused.
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
