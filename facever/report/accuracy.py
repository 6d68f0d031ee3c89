"""The headline and the sections of a verification (1:1) in a report."""

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

_NAMED = 20  # failed images that are listed
_SAME_NAME = 3  # images of the same name shown next to an outlier


def verdict(result: VerificationResult) -> str:
    """Return the result in one line: the main figure, its interval, the trials, and the number of
    people that the model was trained on.

    The main figure is the accuracy if the protocol defines one, else TAR at the first FAR.
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
    """Return the suffix of a headline about overlap with the training; empty without overlap."""
    return f"; {overlap.brief}" if overlap is not None and overlap.brief else ""


def meaning(result: VerificationResult) -> str:
    """Return an explanation of the verdict for readers outside the field."""
    if not result.overlap:
        return _meaning(result)
    return (
        f"{_meaning(result)} The model was trained on some of these people: expect lower accuracy "
        "on new people."
    )


def _meaning(result: VerificationResult) -> str:
    if result.accuracy is not None:
        return (
            f"{percent_text(result.accuracy.mean)} of the pairs are classified correctly as one "
            "person or two people (chance level: 50 %); ± is the standard error."
        )
    if not result.operating_points:
        return (
            "There are too few pairs of different people for the requested false accept rates. "
            "A genuine pair scores higher than an impostor pair in "
            f"{percent_text(result.auc.value)} of the cases (chance level: 50 %)."
        )
    point = result.operating_points[0]
    return (
        f"{percent_text(point.tar)} of the pairs of the same person are accepted if at most "
        f"{percent_text(point.far_target)} of the pairs of different people may be accepted."
    )


def tiles(result: VerificationResult) -> list[Tile]:
    """Return the summary figures."""
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
            _note(result.auc_interval, "chance level: 0.5") + known,
        ),
        Tile(
            "EER",
            short_rate(result.eer.value),
            _note(result.eer_interval, "FMR = FNMR") + known,
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
        result: Measured on `embeddings`.
        embeddings: The measured rows, with the paths of their images.
        thumbnails: Whether to show pictures.
    """
    first, *others = result.describe()
    suspects = [_with_same_name(one, embeddings) for one in others if one.anchor == "suspects"]
    others = [one for one in others if one.anchor != "suspects"]
    found = [first, _basis(result, embeddings), *others, worst_trials(result), *suspects]
    portrait = portraits(embeddings, thumbnails)
    return [illustrated(section, portrait) for section in found]


def _with_same_name(section: Section, embeddings: EmbeddingSet) -> Section:
    """Return a section in which each single image is followed by others of the same name."""
    people = embeddings.identities

    def filled(item: Comparison) -> Comparison:
        row = item.probe.row
        if item.others or row is None:
            return item
        same = np.flatnonzero((people == people[row]) & embeddings.acquired)
        others = [Picture.of_row(int(at)) for at in same[same != row][:_SAME_NAME]]
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
            f"Overlap with the training data: {overlap}.",
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
    return Section(
        "basis",
        "Trials and data",
        blocks,
        "Number of trials, overlap with the training data, and failed images.",
    )
