"""Trial gallery: choice of enrolled people, probes and search threshold."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError, EvaluationError
from facever.evaluation.one_to_many.identification import identification
from facever.gallery.answers import SearchResult
from facever.gallery.gallery import Gallery
from facever.models.protocol import Model
from facever.operating_point import OperatingPoint

FPIR = 0.1  # of the operating point for searches
VERIFYING, SEARCHING = "development", "development-search"  # operating points in the gallery


@dataclass(frozen=True)
class Probes:
    """Enrolled images, and mated and non-mated probes."""

    enrolled: EmbeddingSet
    mated: EmbeddingSet
    non_mated: EmbeddingSet


class SearchThreshold(NamedTuple):
    """The operating point of searches, or the reason why there is none."""

    point: OperatingPoint | None
    reason: str = ""


@dataclass(frozen=True)
class SearchRates:
    """Counts of search results.

    Attributes:
        mated, nonmated: Numbers of probes.
        right_first: Mated probes whose person is the first candidate.
        missed: Mated probes whose person is not the first candidate above the threshold; None
            without a threshold.
        strangers_known: Non-mated probes with a candidate above it; None without a threshold.
    """

    mated: int
    nonmated: int
    right_first: int
    missed: int | None
    strangers_known: int | None


def choose_probes(embeddings: EmbeddingSet) -> Probes:
    """Enroll the first image of each person with two or more; all others are probes.

    The only image of a person becomes a non-mated probe.
    """
    usable = embeddings.select(embeddings.acquired)
    counts = usable.rows.groupby("identity")["identity"].transform("size").to_numpy()
    place = usable.rows.groupby("identity").cumcount().to_numpy()
    several = counts > 1
    if len(set(usable.identities[several])) < 2:
        raise DataError("fewer than two people of the test part have two readable images")
    return Probes(
        usable.select(several & (place == 0)),
        usable.select(several & (place > 0)),
        usable.select(~several),
    )


def search_threshold(development: EmbeddingSet, people: int) -> SearchThreshold:
    """Measure an operating point for searches in a gallery, on development people.

    One image each of half of the development people is enrolled, or of more people if that would be
    less than half of the gallery's size; people with several images come first. The other images of
    enrolled people are mated probes, all other people are non-mated probes.

    Args:
        development: Images of people who are not in the gallery.
        people: Number of people in the gallery.
    """
    usable = development.select(development.acquired)
    images = (
        usable.rows.groupby("identity", sort=True)
        .size()
        .sort_values(ascending=False, kind="stable")
    )
    least = -(-people // 2)
    chosen = images.index[: max(least, len(images) // 2)]
    inside = usable.rows["identity"].isin(chosen).to_numpy()
    first = inside & (usable.rows.groupby("identity").cumcount() == 0).to_numpy()
    if len(chosen) < least:
        return SearchThreshold(
            None,
            f"{len(images):,} development people are too few for a gallery of {people:,}: a "
            f"threshold needs {least:,} enrolled people and other people",
        )
    strangers = int((~inside).sum())
    if strangers * FPIR < 1:
        return SearchThreshold(
            None,
            f"{strangers:,} images of development people who are not enrolled are too few for a "
            f"FPIR of {FPIR:g}",
        )
    try:
        found = identification(
            usable.select(~first), usable.select(first), fpir=[FPIR], similarity="cosine"
        )
    except EvaluationError as error:
        return SearchThreshold(None, f"no threshold from the development people: {error}")
    return SearchThreshold(found.operating_point(FPIR))


def make_gallery(
    path: str | Path,
    model: Model,
    enrolled: EmbeddingSet,
    verifying: OperatingPoint | None,
    searching: OperatingPoint | None,
) -> Gallery:
    """Create a gallery of the model, enroll all people and store the operating points."""
    gallery = Gallery.create(path, model)
    gallery.enroll(enrolled)
    for name, point in ((VERIFYING, verifying), (SEARCHING, searching)):
        if point is not None:
            gallery.add_operating_point(name, point)
    return gallery


def rates(probes: Probes, found: SearchResult, strangers: SearchResult | None) -> SearchRates:
    """Count the results of searches for mated and non-mated probes."""
    right = [
        answer.candidates[0].person == person
        for answer, person in zip(found, probes.mated.identities, strict=True)
    ]
    decided = found.operating_point is not None
    hits = [good and bool(answer.known) for good, answer in zip(right, found, strict=True)]
    known = [bool(answer.known) for answer in strangers or ()]
    return SearchRates(
        mated=len(right),
        nonmated=len(probes.non_mated),
        right_first=int(np.sum(right)),
        missed=len(hits) - int(np.sum(hits)) if decided else None,
        strangers_known=int(np.sum(known)) if decided else None,
    )


def pair_of(probes: Probes) -> tuple[str, str]:
    """Return the person of the first probe, and the next enrolled person."""
    me = str(probes.mated.identities[0])
    people = probes.enrolled.identities.tolist()
    return me, people[(people.index(me) + 1) % len(people)]
