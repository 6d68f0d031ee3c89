"""The figures: each a function from numbers to a `Drawing`; matplotlib is imported to draw it."""

from facever.render.figures.calibration import reliability
from facever.render.figures.comparison import DifferenceBar, differences, learning_curves
from facever.render.figures.curves import det, roc
from facever.render.figures.groups import group_rates
from facever.render.figures.ranking import Cmc, cmc, open_set
from facever.render.figures.scores import histogram
from facever.render.figures.training import course, development, learning_rate, loss

__all__ = [
    "Cmc",
    "DifferenceBar",
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
    "open_set",
    "reliability",
    "roc",
]
