"""Description of a verification result: facts, figures, tables and notes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facever.evaluation.cells import (
    errors,
    far_and_interval,
    few,
    few_notes,
    interval_notes,
    level_of,
    rate_and_interval,
    refused_note,
    span,
)
from facever.render import figures
from facever.render.blocks import (
    Block,
    Cell,
    Comparison,
    Comparisons,
    Facts,
    Figure,
    Note,
    Number,
    Picture,
    Section,
    Table,
    Tone,
)
from facever.render.numbers import count, far, far_text, fars, rate, score

if TYPE_CHECKING:
    from facever.evaluation.one_to_one.counts import Accuracy, Counted, MeasuredPoint
    from facever.evaluation.one_to_one.groups import GroupRates
    from facever.evaluation.one_to_one.suspects import Suspects
    from facever.evaluation.statistics.roc import Rate
    from facever.operating_point import Interval

_LISTED = 12  # listed pairs of each kind
_DRAWN = 24  # groups in a figure
_SCORES = {
    "cosine": "cosine similarity",
    "euclidean": "minus the squared distance",
    "dot": "dot product",
    None: "score of another system",
}


def describe(result: "Counted") -> list[Section]:
    """Return the sections on accuracy, groups and suspected wrong labels."""
    found = [_accuracy(result)]
    if result.groups_at is not None:
        found.append(_groups(result, result.groups_at))
    if result.suspects is not None:
        found.append(_suspects(result.suspects))
    return found


def worst_trials(result: "Counted") -> Section:
    """Return the section of the highest-scoring impostor and lowest-scoring genuine pairs."""
    blocks = [
        Comparisons(
            "Highest-scoring impostor pairs",
            "The label names the strictest operating point that accepts the pair. A very high "
            "score can also mean one person with two names, or a duplicate image.",
            [_pair(a, b, s, *_impostor(result, s)) for a, b, s in result.worst_impostors[:_LISTED]],
        ),
        Comparisons(
            "Lowest-scoring genuine pairs",
            "The label names the most lenient operating point that rejects the pair. A very low "
            "score can also mean two people with one name, or a wrong face crop.",
            [_pair(a, b, s, *_genuine(result, s)) for a, b, s in result.worst_genuine[:_LISTED]],
        ),
    ]
    return Section("mistakes", "Largest errors", blocks)


def drawings(result: "Counted", name: str = "") -> dict[str, Figure]:
    """Return the figures of a verification: "roc", "det" and "scores"."""
    systems = {name or result.dataset or "embeddings": result}
    counted = result.histogram
    return {
        "roc": Figure(
            "ROC",
            figures.roc(systems),
            "Genuine pairs accepted (TAR) against impostor pairs accepted (FAR, logarithmic axis). "
            "Upper left is better. Dots are operating points; bars and band are confidence "
            "intervals.",
        ),
        "det": Figure(
            "DET",
            figures.det(systems),
            "Genuine pairs rejected (FNMR) against impostor pairs accepted (FMR), on probit axes. "
            "Lower left is better. Normally distributed scores give a straight line.",
        ),
        "scores": Figure(
            "Scores",
            figures.histogram(
                counted.edges,
                counted.genuine,
                counted.impostor,
                result.operating_points,
                _SCORES[result.similarity],
            ),
            "The distributions of genuine and impostor scores, each as a share of its pairs. Less "
            "overlap is better. Dashed lines are thresholds; pairs to the right are accepted.",
        ),
    }


def _accuracy(result: "Counted") -> Section:
    trials, points = result.trials, result.operating_points
    kind = f"{result.similarity or 'external'} scores"
    if result.normalisation:
        kind += f", {result.normalisation}"
    if result.distances:
        kind += (
            ", negated distances: a pair is accepted if its distance is below minus the threshold"
        )
    facts: list[tuple[str, Cell]] = [
        ("protocol", f"{result.protocol}, {kind}"),
        ("trials", f"{trials.genuine:,} genuine, {trials.impostor:,} impostor"),
        ("failed images", f"{result.failures} (not in the trials)"),
        ("training", str(result.overlap)),
        ("AUC", _rate(result.auc, result.auc_interval, wrong_below=0.5)),
        ("EER", _rate(result.eer, result.eer_interval)),
        ("EER on the hull", Number(f"{result.eer_hull:.5f}", result.eer_hull)),
    ]
    if result.comparisons is not None:
        facts.insert(3, ("failed comparisons", str(result.comparisons)))
    if result.dataset:
        facts.insert(0, ("data set", result.dataset))
    if result.accuracy is not None:
        facts.append(("accuracy", _accuracy_cell(result.accuracy)))
        facts.append(
            ("thresholds", ", ".join(f"{value:.4f}" for value in result.accuracy.thresholds))
        )
    blocks: list[Block] = [Facts(facts), *drawings(result).values()]
    if points:
        blocks += _points(points)
    blocks += [
        refused_note("FAR", refused.far_target, refused.needs, "impostor trials")
        for refused in result.refused
    ]
    both = (("AUC", result.auc_interval), ("EER", result.eer_interval))
    blocks += interval_notes((name, found) for name, found in both if found is not None)
    if result.failures.failed and points:
        blocks.append(_with_failures(result))
    if result.band:
        level = level_of(result.band[0].interval)
        rows = [
            [far(p.far_target), far(p.far), *rate_and_interval(p.tar, p.interval)]
            for p in result.band
        ]
        headers = ["FAR target", "FAR", "TAR", level]
        blocks.append(Table("Along the curve", headers, rows, folded=True))
    return Section("accuracy", "Accuracy", blocks)


def _points(points: Sequence["MeasuredPoint"]) -> list[Block]:
    """Return the table of operating points, and notes on the methods of their intervals."""
    level = level_of(points[0].interval)
    rows = [
        [
            far(point.far_target),
            *far_and_interval(point.far, point.far_interval),
            errors(point.false_accepts),
            *rate_and_interval(point.tar, point.interval),
            errors(point.false_rejects),
            score(point.threshold),
        ]
        for point in points
    ]
    headers = ["FAR target", "FAR", level, "false accepts"]
    headers += ["TAR", level, "false rejects", "threshold"]
    caption = "Operating points (the FAR never exceeds its target)"
    notes = [Note("FAR is also called FMR; TAR is 1 - FNMR"), *few_notes(rows)]
    for name, attribute in (("FAR", "far_interval"), ("TAR", "interval")):
        made = ((far_text(point.far_target), getattr(point, attribute)) for point in points)
        notes += interval_notes(made, f"{name} at FAR ")
    return [Table(caption, headers, rows), *notes]


def _with_failures(result: "Counted") -> Table:
    failures = result.failures
    return Table(
        f"With failures to acquire (FTA {failures.rate:.3g} of the images; this rejects "
        f"{failures.genuine:,} more genuine and {failures.impostor:,} more impostor trials)",
        ["FAR target", "FAR", "TAR"],
        [
            [far(point.far_target), far(reached), rate(tar)]
            for point in result.operating_points
            for reached, tar in [result.with_failures(point)]
        ],
    )


def _accuracy_cell(accuracy: "Accuracy") -> Number:
    interval = accuracy.interval
    shown = f" [{interval.low:.2%}, {interval.high:.2%}]" if interval else ""
    how = f"; interval: {interval.method}" if interval else ""
    text = f"{accuracy.mean:.2%} ± {accuracy.standard_error:.2%}{shown} ({accuracy.method}{how})"
    return Number(text, accuracy.mean)


def _rate(found: "Rate", interval: "Interval | None", wrong_below: float = 0) -> Number:
    bound = f" (bins: ± {far_text(found.bound)})" if found.bound else ""
    shown = ""
    if interval is not None:
        shown = f" ({interval.level:.0%}: [{interval.low:.5f}, {interval.high:.5f}])"
    wrong = f"   below {wrong_below}: scores may be inverted" if found.value < wrong_below else ""
    return Number(f"{found.value:.5f}{bound}{shown}{wrong}", found.value)


def _groups(result: "Counted", point: "MeasuredPoint") -> Section:
    """Return the section of FMR and FNMR within and across the groups of each column."""
    at = f"at the threshold of FAR {far_text(point.far_target)} ({point.threshold:.6g})"
    blocks: list[Block] = []
    overall = {"FMR": point.far, "FNMR": 1 - point.tar}
    for place, (column, rates) in enumerate(result.groups.items(), start=1):
        measured = {
            name: [(each.name, *_rate_of(each, name)) for each in rates] for name in overall
        }
        for name, every in measured.items():
            drawn = [
                (group, value, end)
                for group, value, end in every
                if value is not None and end is not None
            ]
            if not drawn:
                continue
            first = (
                f"The first {_DRAWN} of {len(drawn)} groups; the table lists all."
                if len(drawn) > _DRAWN
                else ""
            )
            drawn = drawn[:_DRAWN]
            drawing = figures.group_rates(
                f"groups-{place}-{name.lower()}",
                [group for group, _, _ in drawn],
                [value for _, value, _ in drawn],
                [interval.low for _, _, interval in drawn],
                [interval.high for _, _, interval in drawn],
                name,
                overall[name],
            )
            blocks.append(Figure(f"{name} by {column}", drawing, first))
        blocks += _group_table(column, rates, at, folded=len(rates) > _DRAWN)
    lead = (
        f"All groups use the threshold of FAR {far_text(point.far_target)}. Over all trials the "
        "FMR "
        f"is {far_text(point.far)} and the FNMR is {1 - point.tar:.4f}."
    )
    return Section("groups", "Groups", blocks, lead)


def _group_table(column: str, found: Sequence["GroupRates"], at: str, folded: bool) -> list[Block]:
    rows: list[list[Cell]] = []
    made: list[tuple[str, Interval]] = []
    for each in found:
        cells: list[Cell] = [each.name]
        for name, wrong in (("FMR", each.false_accepts), ("FNMR", each.false_rejects)):
            value, interval = _rate_of(each, name)
            if value is None or interval is None:
                cells += ["no trials", ""]
                continue
            if name == "FMR":
                cells += [few(far(value), wrong), fars(interval.low, interval.high)]
            else:
                cells += [few(rate(value), wrong), span(interval)]
            made.append((name, interval))
        rows.append([*cells, count(each.impostor), count(each.genuine)])
    level = level_of(made[0][1]) if made else ""
    headers = [column, "FMR", level, "FNMR", level, "impostor trials", "genuine trials"]
    ways = dict.fromkeys(f"{name} {interval.method}" for name, interval in made)
    notes = [Note(f"intervals: {'; '.join(ways)}")] if made else []
    return [Table(f"By {column}, {at}", headers, rows, folded), *few_notes(rows), *notes]


def _suspects(suspects: "Suspects") -> Section:
    """Return the section of possible duplicate identities and possibly mislabelled images."""
    alike = Comparisons(
        "Possible duplicate identities",
        f"{suspects.alike:,} impostor pairs score above {suspects.genuine_median:.6g}, the median "
        "of the genuine scores. Shown: the highest-scoring pair of each two names.",
        [_pair(*pair, "two names", "bad") for pair in suspects.alike_pairs[:_LISTED]],
    )
    blocks: list[Block] = [alike]
    if suspects.stray_count is None:
        blocks.append(
            Note(
                "Possibly mislabelled images are searched for in a single set of limited size only."
            )
        )
    else:
        strays = [
            Comparison(Picture.of_row(row), [], "low genuine scores", "bad", score(best))
            for row, best in suspects.strays[:_LISTED]
        ]
        blocks.append(
            Comparisons(
                "Possibly mislabelled images",
                f"The genuine scores of {suspects.stray_count:,} images are all at most "
                f"{suspects.impostor_median:.6g}, the median of the impostor scores.",
                strays,
            )
        )
    lead = "Labels that contradict the scores. A weak model gives many false suspicions."
    return Section("suspects", "Suspected wrong labels", blocks, lead)


def _pair(a: int, b: int, value: float, verdict: str, tone: Tone) -> Comparison:
    return Comparison(Picture.of_row(a), [Picture.of_row(b)], verdict, tone, score(value))


def _impostor(result: "Counted", value: float) -> tuple[str, Tone]:
    if not result.operating_points:
        return "two people", "neutral"
    accepting = [point.far_target for point in result.operating_points if value > point.threshold]
    if accepting:
        return f"false accept at FAR {far_text(min(accepting))}", "bad"
    return "rejected at all points", "good"


def _genuine(result: "Counted", value: float) -> tuple[str, Tone]:
    if not result.operating_points:
        return "one person", "neutral"
    rejecting = [point.far_target for point in result.operating_points if value <= point.threshold]
    if rejecting:
        return f"false reject at FAR {far_text(max(rejecting))}", "bad"
    return "accepted at all points", "good"


def _rate_of(found: "GroupRates", name: str) -> "tuple[float | None, Interval | None]":
    """Return a rate of a group and its interval; None without trials."""
    return (found.fmr, found.fmr_interval) if name == "FMR" else (found.fnmr, found.fnmr_interval)
