"""How well a model verifies: the headline, and what the page adds to the result's description."""

from dataclasses import replace

import numpy as np

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.one_to_one.description import worst_trials
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.evaluation.overlap import Overlap
from facever.operating_point import Interval
from facever.render.blocks import (
    Block,
    Comparison,
    Comparisons,
    Facts,
    Note,
    Picture,
    Section,
    Table,
    illustrated,
)
from facever.render.numbers import (
    count,
    far_text,
    interval_text,
    percent_text,
    rate_text,
    short_rate,
)
from facever.render.page import Tile
from facever.report.faces import portraits

_NAMED = 20  # images that could not be embedded
_BESIDE = 3  # images of the same name beside a stray one


def verdict(result: VerificationResult) -> str:
    """Return the result in one line: its main figure, how sure it is, the trials, and how many of
    their people the model was trained on.

    The main figure is the accuracy where a protocol defines one, else TAR at the first FAR.
    """
    trials = f"{result.trials.genuine:,} genuine / {result.trials.impostor:,} impostor pairs"
    trials += known_text(result.overlap)
    if result.accuracy is not None:
        shown, error = result.accuracy.mean, result.accuracy.standard_error
        return f"Accuracy {rate_text(shown)} ± {rate_text(error)} ({result.protocol}) on {trials}"
    if not result.operating_points:
        return f"AUC {rate_text(result.auc.value)} on {trials}"
    point = result.operating_points[0]
    interval = interval_text(point.interval.low, point.interval.high)
    return f"TAR {rate_text(point.tar)} {interval} at FAR {far_text(point.far_target)} on {trials}"


def known_text(overlap: Overlap | None) -> str:
    """Return what stands behind a headline of people whom the model knows; empty without them."""
    return f"; {overlap.brief}" if overlap is not None and overlap.brief else ""


def meaning(result: VerificationResult) -> str:
    """Return the verdict in everyday words."""
    if not result.overlap:
        return _meaning(result)
    return (
        f"{_meaning(result)} The model was trained on some of these people, so that it is worse "
        "with people whom it never saw."
    )


def _meaning(result: VerificationResult) -> str:
    if result.accuracy is not None:
        return (
            f"{percent_text(result.accuracy.mean)} of the pairs are decided rightly, one person or "
            "two (50 % is guessing); the standard error stands behind the ±."
        )
    if not result.operating_points:
        return (
            "There are too few pairs of different people for any of the false accept rates asked "
            f"for. The more alike of two pairs is the genuine one in "
            f"{percent_text(result.auc.value)} of all cases (50 % is guessing)."
        )
    point = result.operating_points[0]
    return (
        f"{percent_text(point.tar)} of the pairs that show one person are accepted, when at most "
        f"{percent_text(point.far_target)} of the pairs that show two different people may be."
    )


def tiles(result: VerificationResult) -> list[Tile]:
    """Return the figures for the first glance."""
    known = known_text(result.overlap)
    shown = [
        Tile(
            f"TAR at FAR {far_text(point.far_target)}",
            short_rate(point.tar),
            f"{interval_text(point.interval.low, point.interval.high)} "
            f"({percent_text(point.interval.level)}){known}",
        )
        for point in result.operating_points
    ]
    if result.accuracy is not None:
        error = f"± {rate_text(result.accuracy.standard_error)} standard error{known}"
        shown.insert(0, Tile("accuracy", short_rate(result.accuracy.mean), error))
    return [
        *shown,
        Tile(
            "AUC",
            short_rate(result.auc.value),
            _note(result.auc_interval, "0.5 is guessing") + known,
        ),
        Tile(
            "EER",
            short_rate(result.eer.value),
            _note(result.eer_interval, "both errors alike") + known,
        ),
        Tile(
            "people",
            count(result.overlap.people),
            f"in {result.dataset or 'the embeddings'}{known}",
        ),
    ]


def _note(interval: Interval | None, meaning: str) -> str:
    if interval is None:
        return meaning
    shown = interval_text(interval.low, interval.high)
    return f"{shown} ({percent_text(interval.level)}); {meaning}"


def sections(
    result: VerificationResult, embeddings: EmbeddingSet, thumbnails: bool = True
) -> list[Section]:
    """Return the sections of one verification.

    Args:
        result: What was measured on `embeddings`.
        embeddings: The rows that the result speaks of, with their pictures' paths.
        thumbnails: Whether pictures are shown.
    """
    first, *others = result.describe()
    suspects = [_beside(one, embeddings) for one in others if one.anchor == "suspects"]
    others = [one for one in others if one.anchor != "suspects"]
    found = [first, _basis(result, embeddings), *others, worst_trials(result), *suspects]
    portrait = portraits(embeddings, thumbnails)
    return [illustrated(section, portrait) for section in found]


def _beside(section: Section, embeddings: EmbeddingSet) -> Section:
    """Return a section with the first images of the same name beside each one that stands alone."""
    people = embeddings.identities

    def filled(item: Comparison) -> Comparison:
        row = item.probe.row
        if item.others or row is None:
            return item
        same = np.flatnonzero((people == people[row]) & embeddings.acquired)
        others = [Picture.of_row(int(at)) for at in same[same != row][:_BESIDE]]
        return replace(item, others=others)

    return replace(
        section,
        blocks=[
            replace(block, items=[*map(filled, block.items)])
            if isinstance(block, Comparisons)
            else block
            for block in section.blocks
        ],
    )


def _basis(result: VerificationResult, embeddings: EmbeddingSet) -> Section:
    overlap = result.overlap
    blocks: list[Block] = [
        Note(
            f"Overlap with the training: {overlap}.",
            warning=overlap.identities is None or bool(overlap),
        ),
        *[Note(text, warning=True) for text in result.warnings if text != str(overlap)],
        Facts(
            [
                ("people", count(overlap.people)),
                ("images", count(len(embeddings))),
                ("not embedded", count(embeddings.failures)),
                ("genuine pairs", count(result.trials.genuine)),
                ("impostor pairs", count(result.trials.impostor)),
            ]
        ),
    ]
    rows = embeddings.rows[~embeddings.acquired]
    if len(rows):
        shown = rows.head(_NAMED)
        names = shown.get("path", shown.index.to_series())
        more = f" (the first {_NAMED})" if len(rows) > _NAMED else ""
        blocks.append(
            Table(
                f"Failures to acquire: {len(rows):,} of {len(embeddings):,} images could not be "
                f"embedded{more}.",
                ["image", "identity", "reason"],
                [
                    [str(name), str(person), str(reason)]
                    for name, person, reason in zip(
                        names, shown["identity"], shown["error"], strict=True
                    )
                ],
                folded=True,
            )
        )
    return Section("basis", "Trials and data", blocks, "Whether the figures can be relied on.")
