"""A verification result as a person reads it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from facever.console import table
from facever.evaluation.one_to_one.groups import table_rows
from facever.evaluation.operating_point import Interval
from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.evaluation.statistics.roc import Rate

FEW = f"few: under {FEW_ERRORS} errors, which do not carry a rate"

_SUSPECTS = 10  # named of each kind

if TYPE_CHECKING:
    from facever.evaluation.one_to_one.result import Accuracy, MeasuredPoint, VerificationResult
    from facever.evaluation.one_to_one.suspects import Suspects


def as_text(result: "VerificationResult") -> str:
    """Return the trials, the summary figures, the operating points and the groups."""
    normalised = f", {result.normalisation}" if result.normalisation else ""
    if result.distances:
        normalised = ", minus the distances given: accepted is a distance below minus the threshold"
    trials = result.trials
    lines = [
        f"protocol        {result.protocol}, {result.similarity or 'foreign'} scores{normalised}",
        f"trials          {trials.genuine:,} genuine, {trials.impostor:,} impostor",
        f"failed images   {result.failures} (not in the trials)",
        f"training        {result.overlap}",
        f"AUC             {_rate_text(result.auc, result.auc_interval)}"
        + ("   below 0.5: the wrong way round" if result.auc.value < 0.5 else ""),
        f"EER             {_rate_text(result.eer, result.eer_interval)}   "
        f"on the convex hull {result.eer_hull:.5f}",
    ]
    if result.accuracy is not None:
        lines.append(f"accuracy        {_accuracy_text(result.accuracy)}")
    if result.operating_points:
        lines += ["", *_points_text(result.operating_points)]
    lines += [
        f"FAR {refused.far_target:g} is refused: it needs {refused.needs:,} impostor trials"
        for refused in result.refused
    ]
    if result.failures.failed and result.operating_points:
        lines += ["", *_failures_text(result)]
    point = result.groups_at
    if point is not None:
        at = f"at the threshold of FAR {point.far_target:g} ({point.threshold:.6g})"
        for column, found in result.groups.items():
            lines += ["", f"by {column}, {at}"]
            lines.append(table([column, "FMR", "FNMR"], table_rows(found)))
    if result.band:
        lines += ["", "along the curve", _band_text(result.band)]
    if result.suspects is not None:
        lines += ["", *_suspects_text(result.suspects)]
    return "\n".join(lines)


def by_method(intervals: Iterable[tuple[str, Interval]]) -> dict[str, list[str]]:
    """Return how intervals were made, each way once, with the names of those made so."""
    ways: dict[str, list[str]] = {}
    for name, interval in intervals:
        note = f": {interval.note}" if interval.note else ""
        ways.setdefault(f"{interval.method}{note}", []).append(name)
    return ways


def flagged(errors: int) -> str:
    """Return a count of errors, marked where it carries no rate."""
    return f"{errors} few" if errors < FEW_ERRORS else str(errors)


def span(interval: Interval, form: str) -> str:
    """Return the ends of an interval."""
    return f"{interval.low:{form}} - {interval.high:{form}}"


def difference_headers(interval: Interval) -> list[str]:
    """Return the heads of a table of `difference_row`s."""
    return ["", "first", "second", "difference", f"{interval.level:.0%}", ""]


def difference_row(name: str, first: float, second: float, interval: Interval) -> list[str]:
    """Return a figure of two systems, the second minus the first, and whether it is resolved."""
    return [
        name,
        f"{first:.4f}",
        f"{second:.4f}",
        f"{second - first:+.4f}",
        f"{interval.low:+.4f} .. {interval.high:+.4f}",
        "not resolved" if interval.holds(0) else "resolved",
    ]


def _points_text(points: Sequence["MeasuredPoint"]) -> Iterator[str]:
    """Yield the table of operating points, and below it how the intervals were made."""
    level = f"{points[0].interval.level:.0%}"
    headers = ["FAR target", "FMR", level, "false accepts"]
    headers += ["TAR", level, "false rejects", "threshold"]
    rows = [
        [
            f"{point.far_target:g}",
            f"{point.far:.3g}",
            span(point.far_interval, ".3g"),
            flagged(point.false_accepts),
            f"{point.tar:.4f}",
            span(point.interval, ".4f"),
            flagged(point.false_rejects),
            f"{point.threshold:.6g}",
        ]
        for point in points
    ]
    yield table(headers, rows)
    yield "FMR is also called FAR; TAR is 1 - FNMR"
    if any(cell.endswith("few") for row in rows for cell in row):
        yield FEW
    for name in ("far_interval", "interval"):
        made = by_method((f"{point.far_target:g}", getattr(point, name)) for point in points)
        rate = "FMR" if name == "far_interval" else "TAR"
        for way, at in made.items():
            yield f"interval of {rate} at FAR {', '.join(at)}: {way}"


def _band_text(points: Sequence["MeasuredPoint"]) -> str:
    headers = ["FAR target", "FMR", "TAR", f"{points[0].interval.level:.0%}"]
    rows = [
        (f"{p.far_target:.3g}", f"{p.far:.3g}", f"{p.tar:.4f}", span(p.interval, ".4f"))
        for p in points
    ]
    return table(headers, rows)


def _suspects_text(suspects: "Suspects") -> Iterator[str]:
    """Yield how many names the scores speak against, and the rows of the worst."""
    yield (
        f"suspected names: {suspects.alike:,} pairs of two names score above "
        f"{suspects.genuine_median:.6g}, the median of the genuine scores"
    )
    for a, b, score in suspects.alike_pairs[:_SUSPECTS]:
        yield f"  rows {a} and {b}: {score:.4f}"
    if suspects.stray_count is None:
        yield "images far from their own name are looked for in one set of fewer trials only"
        return
    yield (
        f"{suspects.stray_count:,} images score at most {suspects.impostor_median:.6g}, the median "
        "of the impostor scores, with every image of their own name that they meet"
    )
    for row, score in suspects.strays[:_SUSPECTS]:
        yield f"  row {row}: at best {score:.4f}"


def _failures_text(result: "VerificationResult") -> Iterator[str]:
    failures = result.failures
    yield (
        f"with failures to acquire (FTA {failures.rate:.3g} of the images; they reject "
        f"{failures.genuine:,} genuine and {failures.impostor:,} impostor trials more)"
    )
    rows = [
        [f"{point.far_target:g}", f"{far:.3g}", f"{tar:.4f}"]
        for point in result.operating_points
        for far, tar in [result.with_failures(point)]
    ]
    yield table(["FAR target", "FAR", "TAR"], rows)


def _accuracy_text(accuracy: "Accuracy") -> str:
    interval = accuracy.interval
    shown = f", {interval.level:.0%}: {span(interval, '.2%')}" if interval else ""
    how = f"; interval: {interval.method}" if interval else ""
    return f"{accuracy.mean:.2%} ± {accuracy.standard_error:.2%}{shown} ({accuracy.method}{how})"


def _rate_text(rate: Rate, interval: Interval | None) -> str:
    bound = f" (bins: ± {rate.bound:.1g})" if rate.bound else ""
    shown = f" ({interval.level:.0%}: {span(interval, '.5f')})" if interval else ""
    return f"{rate.value:.5f}{bound}{shown}"
