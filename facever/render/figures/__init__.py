"""The figures: functions from numbers to a `Drawing`. Matplotlib is imported on drawing only."""

from facever.render.figures.cmc import Cmc, cmc
from facever.render.figures.curves import det, open_set, roc
from facever.render.figures.differences import DifferenceBar, differences
from facever.render.figures.group_rates import group_rates
from facever.render.figures.histogram import histogram
from facever.render.figures.learning import (
    course,
    development,
    learning_curves,
    learning_rate,
    loss,
)
from facever.render.figures.reliability import reliability

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
