"""What an alarm may look at: the figures of one head while it is trained."""

from collections.abc import Sequence
from typing import Protocol


class HeadHistory(Protocol):
    """A head's statistics by name, each the mean over the steps between two lines of the log.

    A head has the statistics of its `HeadOutput.stats`, and "loss".
    """

    def now(self, stat: str) -> float | None:
        """Return the latest mean; None where there is none."""

    def first(self, stat: str) -> float | None:
        """Return the first mean of the training; None where there is none."""

    def span(self, stat: str) -> Sequence[float]:
        """Return the means of the latest epoch (50 to 300 updates), oldest first.

        Empty before that time is over.
        """
