"""The section that says whether probabilities made of scores come true."""

from facever.evaluation.one_to_one.calibration import CalibrationResult
from facever.report import figures
from facever.report.numbers import count, rate
from facever.report.page import Block, Cell, Facts, Figure, Note, Number, Section, Table


def calibration_section(result: CalibrationResult) -> Section:
    """Show a calibration: its costs and its reliability diagram."""
    bins = result.reliability
    fitted, judged = result.people
    rows: list[list[Cell]] = [
        [
            rate(found.predicted),
            rate(found.observed),
            rate(found.interval.low),
            rate(found.interval.high),
            count(found.genuine),
            count(found.impostor),
        ]
        for found in bins
    ]
    method = bins[0].interval.method if bins else "none"
    blocks: list[Block] = [
        Figure(
            "Reliability",
            figures.reliability(
                [found.predicted for found in bins],
                [found.observed for found in bins],
                [found.interval.low for found in bins],
                [found.interval.high for found in bins],
                [found.genuine + found.impostor for found in bins],
            ),
            "Of the pairs that are said to show one person with a probability (to the right), the "
            "share that do (upwards). On the dotted line predictions come true.",
        ),
        Facts(
            [
                ("method", result.calibration.method),
                ("cost (Cllr), bits; 1 is guessing", Number(f"{result.cllr:.4f}", result.cllr)),
                ("cost at best", Number(f"{result.cllr_min:.4f}", result.cllr_min)),
                ("prior", rate(result.prior)),
                ("people fitted on", count(fitted)),
                ("people judged on", count(judged)),
            ]
        ),
        Table(
            f"Bins of predicted probability; intervals: {method}.",
            ["predicted", "observed", "low", "high", "genuine pairs", "impostor pairs"],
            rows,
            folded=True,
        ),
    ]
    blocks += [Note(text, warning=True) for text in result.warnings]
    lead = (
        "A score becomes the probability that two pictures show one person: fitted on "
        f"{fitted:,} people, judged on {judged:,} others, at a prior of {result.prior:.4g}."
    )
    return Section("calibration", "Calibration", blocks, lead)
