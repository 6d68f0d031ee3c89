"""The section of images whose names the scores speak against."""

import numpy as np

from facever.evaluation.one_to_one.suspects import Suspects
from facever.report.faces import portrait_of
from facever.report.numbers import score
from facever.report.page import Block, Comparison, Comparisons, Note, Section
from facever.vectors.embedding_set import EmbeddingSet

_SHOWN = 12  # of each kind
_BESIDE = 3  # pictures of the same name beside a stray one


def suspects_section(suspects: Suspects, embeddings: EmbeddingSet, thumbnails: bool) -> Section:
    """Show pairs of names that look like one person, and images that look like no one of theirs.

    Args:
        suspects: What `find_suspects` found on `embeddings`.
        embeddings: The rows that it speaks of.
        thumbnails: Whether pictures are shown.
    """
    blocks: list[Block] = []
    if suspects.alike_pairs:
        blocks.append(
            Comparisons(
                "Two names, perhaps one person",
                f"{suspects.alike:,} pairs of two names score above {suspects.genuine_median:.4f}, "
                "the median of the pairs of one name; the highest of each two names. One person "
                "under two names, two people in one picture, or look-alikes.",
                [
                    Comparison(
                        portrait_of(embeddings, a, thumbnails),
                        [portrait_of(embeddings, b, thumbnails)],
                        "two names",
                        "bad",
                        score(value),
                    )
                    for a, b, value in suspects.alike_pairs[:_SHOWN]
                ],
            )
        )
    if suspects.strays:
        blocks.append(
            Comparisons(
                "Far from every picture of their name",
                f"{suspects.stray_count:,} images score at most {suspects.impostor_median:.4f}, "
                "the median of the pairs of two names, with all other images of their own name. "
                "Somebody else, or a face cut out wrongly.",
                [
                    _stray(embeddings, row, best, thumbnails)
                    for row, best in suspects.strays[:_SHOWN]
                ],
            )
        )
    if not blocks:
        blocks.append(
            Note(
                "None: no pair of two names scores above the median of the pairs of one name"
                + (
                    "."
                    if suspects.stray_count is None
                    else ", and no image is further from its own name than strangers are."
                )
            )
        )
    lead = (
        "Names that the scores speak against. A weak model suspects many who are innocent: "
        "someone has to look."
    )
    return Section("suspects", "Suspected wrong names", blocks, lead)


def _stray(embeddings: EmbeddingSet, row: int, best: float, thumbnails: bool) -> Comparison:
    """Show an image beside the first ones of its name."""
    people = embeddings.identities
    others = np.flatnonzero((people == people[row]) & embeddings.acquired)
    return Comparison(
        portrait_of(embeddings, row, thumbnails),
        [portrait_of(embeddings, at, thumbnails) for at in others[others != row][:_BESIDE]],
        "unlike its name",
        "bad",
        score(best),
    )
