"""The report's figures: each a function from numbers to the text of an `<svg>` element."""

from facever.report.figures.curves import Curve, Mark, det, roc
from facever.report.figures.scores import histogram
from facever.report.figures.training import development, learning_rate, loss

__all__ = ["Curve", "Mark", "det", "development", "histogram", "learning_rate", "loss", "roc"]
