"""The report's figures: each a function from numbers to the text of an `<svg>` element."""

from facever.report.figures.calibration import reliability
from facever.report.figures.comparison import DifferenceBar, differences, learning_curves
from facever.report.figures.curves import Band, Curve, Mark, det, roc
from facever.report.figures.groups import group_rates
from facever.report.figures.ranking import Cmc, cmc
from facever.report.figures.scores import histogram
from facever.report.figures.training import course, development, learning_rate, loss

__all__ = [
    "Band",
    "Cmc",
    "Curve",
    "DifferenceBar",
    "Mark",
    "cmc",
    "course",
    "det",
    "development",
    "differences",
    "group_rates",
    "histogram",
    "learning_curves",
    "learning_rate",
    "loss",
    "reliability",
    "roc",
]
