"""Searches that the database of the gallery makes, with pgvector.

The database proposes the entries that can be among the best: all within rounding of the best people
of exact search, or those of people near the probe by an approximate index. Their vectors are read
from the store, verified by checksums, and their scores decide, as for every kind of index.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from facever.gallery.image_filters import ImageFilter
from facever.gallery.index.people import leaders, nobody, ranked
from facever.gallery.records import Entries, Keys, Scores, Vectors
from facever.gallery.scores import scores_of, slack
from facever.gallery.store.entry_search import ChosenEntries, EntrySearch
from facever.gallery.store.store import Store
from facever.operating_point import ScoreRule

_LEAST = 64  # entries that are read at first
_OVERSAMPLED = 4  # times the people that are wanted
_DEEPER = 8  # times the entries or people that are read next
_MORE = 8  # additional people, for scores that are nearly equal


class Question(NamedTuple):
    """A search: number of people, score rule, and the entries to search."""

    k: int
    rule: ScoreRule
    chosen: ChosenEntries = ChosenEntries()


def search_in_database(
    store: Store,
    queries: Vectors,
    k: int,
    rule: ScoreRule,
    among: Keys | None,
    images: ImageFilter | None = None,
) -> tuple[Scores, Keys]:
    """Return the k best people for each query, by the current entries of a store.

    Arguments and results are those of `Index.search`. All queries read one state.

    Raises:
        SearchTableError: The table that the database searches is missing.
    """
    scores, keys = nobody(len(queries), k)
    with store.reading():
        if queries.shape[1] != store.binding.dimension:  # a migration has just replaced the model
            return scores, keys
        search, people = store.entry_search(), store.counts()[0]
        numbers = None if images is None else store.images_matching(images)[0]
        chosen = ChosenEntries(None if among is None else np.unique(among), numbers)
        asked = Question(k, rule, chosen)
        for row, query in enumerate(queries):
            scores[row], keys[row] = answered(search, store.entries_numbered, query, asked, people)
    return scores, keys


def answered(
    search: EntrySearch,
    entries_numbered: Callable[[Sequence[int]], Entries],
    query: Vectors,
    asked: Question,
    people: int,
) -> tuple[Scores, Keys]:
    """Return the best people for a query [D], float32 [k] and int64 [k].

    Args:
        search: The entries in the database.
        entries_numbered: Returns the intact entries of some numbers.
        query: float32 [D], a unit row.
        asked: What to search for.
        people: Upper bound of the number of people.
    """
    k, rule, chosen = asked
    if chosen.people is None and chosen.numbers is None:  # filters are exact
        least = min(k, people)
        near = search.proposed(query, least)
        if near is not None and len(near) >= max(least, 1):
            chosen = chosen._replace(people=near)
    damaged: set[int] = set()
    while True:
        numbers = _deciding(search, query, Question(k, rule, chosen._replace(without=damaged)))
        entries = entries_numbered(numbers.tolist())
        lost = set(numbers.tolist()) - set(entries.numbers.tolist())
        if not lost:
            return _judged(query, entries, k, rule)
        damaged |= lost


def _deciding(search: EntrySearch, query: Vectors, asked: Question) -> Keys:
    """Return the numbers of the entries that can decide the best people and their scores."""
    k, rule, chosen = asked
    error = slack(search.dimension)
    if rule == "mean":
        return _of_best_means(search, query, asked)
    limit = max(_LEAST, _OVERSAMPLED * k)
    while True:
        found = search.nearest(query, limit, chosen)
        if not len(found.numbers):
            return found.numbers
        leading, settled = leaders(found.scores[None], found.owners[None], k, error)
        if settled[0] or len(found.numbers) < limit:
            deciding: Keys = found.numbers[leading[0]]
            return deciding
        limit *= _DEEPER


def _of_best_means(search: EntrySearch, query: Vectors, asked: Question) -> Keys:
    """Return the numbers of the searched entries of the people with the best means."""
    limit, chosen = asked.k + _MORE, asked.chosen
    while True:
        found = search.best_means(query, limit, chosen)
        if not len(found.owners):
            return found.owners
        cut = found.scores[min(asked.k, len(found.owners)) - 1] - slack(search.dimension)
        close = found.scores >= cut
        if len(found.owners) < limit or not close[-1]:
            numbers = search.of_people(found.owners[close])
            if chosen.numbers is not None:
                numbers = np.intersect1d(numbers, chosen.numbers)
            return numbers[~np.isin(numbers, sorted(chosen.without))]
        limit *= _DEEPER


def _judged(query: Vectors, entries: Entries, k: int, rule: ScoreRule) -> tuple[Scores, Keys]:
    """Return the best people by the exact scores of verified vectors."""
    rows = np.zeros(len(entries.numbers), np.int64)
    found = scores_of(query[None], rows, entries.vectors, np.arange(len(rows)))
    scores, keys = ranked(rows, entries.owners, found, 1, k, rule)
    return scores[0], keys[0]
