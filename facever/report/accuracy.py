"""The sections that say how well a model verifies: rates, and what they rest on."""

import numpy as np

from facever.evaluation.one_to_one.result import Accuracy, MeasuredPoint, VerificationResult
from facever.evaluation.one_to_one.text import by_method
from facever.evaluation.operating_point import Interval
from facever.evaluation.overlap import Overlap
from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.evaluation.statistics.roc import Rate
from facever.report import figures
from facever.report.groups import groups_section
from facever.report.mistakes import mistakes_section
from facever.report.numbers import (
    count,
    far,
    far_text,
    interval_text,
    marked_few,
    percent_text,
    rate,
    rate_text,
    score,
)
from facever.report.page import (
    Block,
    Cell,
    Facts,
    Figure,
    Note,
    Section,
    Table,
    Tile,
)
from facever.report.suspects import suspects_section
from facever.vectors.embedding_set import EmbeddingSet

FEW_NOTE = (
    f"Counts marked (few) are fewer than {FEW_ERRORS} errors: with other people the threshold, or "
    "the rate, would be another one."
)
_NAMED = 20  # images that could not be embedded
_SCORES = {
    "cosine": "cosine similarity",
    "euclidean": "minus the squared distance",
    "dot": "dot product",
}


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
            rate(point.tar),
            f"{interval_text(point.interval.low, point.interval.high)} "
            f"({percent_text(point.interval.level)}){known}",
        )
        for point in result.operating_points
    ]
    if result.accuracy is not None:
        error = f"± {rate_text(result.accuracy.standard_error)} standard error{known}"
        shown.insert(0, Tile("accuracy", rate(result.accuracy.mean), error))
    return [
        *shown,
        Tile("AUC", rate(result.auc.value), _note(result.auc_interval, "0.5 is guessing") + known),
        Tile(
            "EER", rate(result.eer.value), _note(result.eer_interval, "both errors alike") + known
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
    found = [_accuracy(result), _basis(result, embeddings)]
    if result.groups:
        found.append(groups_section(result))
    found.append(mistakes_section(result, embeddings, thumbnails))
    if result.suspects is not None:
        found.append(suspects_section(result.suspects, embeddings, thumbnails))
    return found


def curve_of(result: VerificationResult, name: str) -> figures.Curve:
    """Return the curve of a result, with its operating points and the intervals along it."""
    marks = [
        figures.Mark(
            far_text(point.far_target),
            point.far,
            point.tar,
            point.interval.low,
            point.interval.high,
            point.threshold,
        )
        for point in result.operating_points
    ]
    return figures.Curve(
        name,
        result.curve.fmr,
        result.curve.fnmr,
        result.trials.impostor,
        result.trials.genuine,
        marks,
        _band(result.band),
    )


def _band(points: list[MeasuredPoint]) -> figures.Band | None:
    if len(points) < 2:
        return None
    rows = sorted((point.far, point.interval.low, point.interval.high) for point in points)
    return figures.Band(*np.array(rows).T)


def _accuracy(result: VerificationResult) -> Section:
    curve = curve_of(result, result.dataset or "embeddings")
    counted = result.histogram
    score_name = _SCORES[result.similarity] if result.similarity else "as another system gave it"
    blocks: list[Block] = [
        Figure(
            "ROC",
            figures.roc([curve]),
            "Pairs of one person that are accepted (upwards) against pairs of two people that are "
            "accepted too (to the right, in powers of ten). Higher and further left is better. "
            "Dots are the operating points, bars and band their intervals.",
        ),
        Figure(
            "DET",
            figures.det([curve]),
            "The same as two error rates: strangers accepted (to the right) against the right "
            "person rejected (upwards). Lower left is better. The axes are stretched so that bell "
            "curves of scores give a straight line.",
        ),
        Figure(
            "Scores",
            figures.histogram(
                counted.edges, counted.genuine, counted.impostor, curve.marks, score_name
            ),
            "How alike pairs are found. The less the two hills overlap the better. Right of a "
            "dashed threshold a pair is accepted. Each hill is scaled to its own number of pairs.",
        ),
    ]
    if result.accuracy is not None:
        blocks.append(_accuracy_table(result.accuracy))
    if result.operating_points:
        blocks.append(_points_table(result.operating_points))
        blocks += [Note(text) for text in _interval_notes(result.operating_points)]
    few = [min(point.false_accepts, point.false_rejects) for point in result.operating_points]
    if min(few, default=FEW_ERRORS) < FEW_ERRORS:
        blocks.append(Note(FEW_NOTE, warning=True))
    if result.refused:
        blocks.append(_refused_table(result))
    lead = (
        f"Protocol {result.protocol} on {result.dataset or 'the embeddings'}: "
        f"{result.trials.genuine:,} pairs show one person (genuine), "
        f"{result.trials.impostor:,} show two (impostor). A pair is accepted when its score ("
        f"{score_name}) is above the threshold."
    )
    return Section("accuracy", "Accuracy", blocks, lead)


def _accuracy_table(measured: Accuracy) -> Table:
    headers = ["accuracy", "standard error", "method", "thresholds"]
    thresholds = ", ".join(f"{threshold:.4f}" for threshold in measured.thresholds)
    row: list[Cell] = [
        rate(measured.mean), rate(measured.standard_error), measured.method, thresholds,
    ]  # fmt: skip
    if measured.interval is not None:
        headers[2:2] = ["low", "high"]
        row[2:2] = [rate(measured.interval.low), rate(measured.interval.high)]
    caption = "Accuracy: the share of right decisions, at thresholds chosen on other pairs."
    return Table(caption, headers, [row])


def _points_table(points: list[MeasuredPoint]) -> Table:
    return Table(
        "Operating points: the threshold is set so that the false accept rate asked for is never "
        "exceeded. FAR is also called FMR; TAR is one minus FNMR.",
        [
            "FAR asked for", "FAR reached", "low", "high", "TAR", "low", "high", "threshold",
            "false accepts", "impostor pairs", "false rejects", "genuine pairs",
        ],
        [
            [
                far(point.far_target),
                far(point.far),
                far(point.far_interval.low),
                far(point.far_interval.high),
                rate(point.tar),
                rate(point.interval.low),
                rate(point.interval.high),
                score(point.threshold),
                marked_few(count(point.false_accepts), point.false_accepts),
                count(point.trials.impostor),
                marked_few(count(point.false_rejects), point.false_rejects),
                count(point.trials.genuine),
            ]
            for point in points
        ],
    )  # fmt: skip


def _interval_notes(points: list[MeasuredPoint]) -> list[str]:
    """Say how the intervals were made, each way once with the rates that it was used for."""
    level = percent_text(points[0].interval.level)
    notes = []
    for which, name in (("FAR", "far_interval"), ("TAR", "interval")):
        made = by_method((far_text(point.far_target), getattr(point, name)) for point in points)
        ways = [f"at FAR {', '.join(at)}: {way}" for way, at in made.items()]
        notes.append(f"{level} interval of {which} {'; '.join(ways)}.")
    return notes


def _refused_table(result: VerificationResult) -> Table:
    return Table(
        "Refused: these false accept rates cannot be measured with so few impostor pairs. More "
        "images of more people would give them.",
        ["FAR asked for", "impostor pairs needed", "impostor pairs here"],
        [
            [far(refused.far_target), count(refused.needs), count(result.trials.impostor)]
            for refused in result.refused
        ],
    )


def _basis(result: VerificationResult, embeddings: EmbeddingSet) -> Section:
    overlap, failures = result.overlap, result.failures
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
                (_bounded("AUC", result.auc), rate(result.auc.value)),
                (_bounded("EER", result.eer), rate(result.eer.value)),
                ("EER on the hull", rate(result.eer_hull)),
            ]
        ),
        *_curve_notes(result),
    ]
    if failures.failed:
        blocks.append(_with_failures(result))
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
    lead = "Whether the figures above can be relied on."
    return Section("basis", "What the figures rest on", blocks, lead)


def _bounded(name: str, measured: Rate) -> str:
    """Name a figure, with what counting scores in bins may have done to it."""
    return f"{name} (± {far_text(measured.bound)} by bins)" if measured.bound else name


def _curve_notes(result: VerificationResult) -> list[Note]:
    """Say how the intervals of AUC and EER were made."""
    both = (("AUC", result.auc_interval), ("EER", result.eer_interval))
    made = by_method((name, interval) for name, interval in both if interval is not None)
    return [Note(f"Interval of {', '.join(names)}: {way}.") for way, names in made.items()]


def _with_failures(result: VerificationResult) -> Table:
    failures = result.failures
    return Table(
        f"With failures to acquire: {failures.failed:,} images took {failures.genuine:,} genuine "
        f"and {failures.impostor:,} impostor pairs away. Counted as rejections they give:",
        ["FAR asked for", "FAR", "TAR"],
        [
            [far(point.far_target), far(reached), rate(tar)]
            for point in result.operating_points
            for reached, tar in [result.with_failures(point)]
        ],
    )
