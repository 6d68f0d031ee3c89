"""The collapse watch: reads the figures of a training and reports problems in words.

Its input is what the log gets, means over all updates since the last line, so it costs no time
on an accelerator. Its state is part of the checkpoint. Each alarm is raised once for each subject.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facever.heads.base import Head
from facever.training.monitoring.alarms import Trace
from facever.training.monitoring.history import Figures, Subject


@dataclass(frozen=True)
class Alarm:
    """A problem of a training.

    Attributes:
        kind: One word, the same for the same problem.
        head: The subject: the head's name among the training's heads, or "adversarial".
        message: What is seen and what to try, one line.
    """

    kind: str
    head: str
    message: str


class Watch:
    """Checks the figures of a training and raises each alarm once.

    Args:
        heads: By their names, in order.
        batch: Images in a batch.
        updates_per_epoch: How long an epoch is.
        lone: Training identities with one image only.
        heads_loss: The figure that is the weighted sum of the heads' losses.
        others: Returns the subjects beside the heads, such as adversaries, of these figures.
    """

    def __init__(
        self,
        heads: Mapping[str, Head],
        *,
        batch: int,
        updates_per_epoch: int,
        lone: int = 0,
        heads_loss: str = "loss",
        others: Callable[[Figures], Sequence[Subject]] = lambda _: (),
    ) -> None:
        self._heads, self._heads_loss = heads, heads_loss
        self._figures = figures = Figures(updates_per_epoch)
        self._subjects: list[Subject] = [
            Trace(figures, name, head, batch, lone) for name, head in heads.items()
        ]
        self._subjects += others(figures)
        self._raised: set[tuple[str, str]] = set()

    def look(self, update: int, means: Mapping[str, float]) -> list[Alarm]:
        """Return the alarms that these means give rise to.

        Args:
            update: The number of updates done.
            means: By the names of the log: "loss", "HEAD/accuracy"; those not finite are ignored.
        """
        figures = {name: value for name, value in means.items() if math.isfinite(value)}
        if len(self._heads) == 1:  # its loss is logged with its weight, in the sum
            (only,) = self._heads
            weight = figures.get(f"{only}/weight", self._heads[only].config.weight)
            if self._heads_loss in figures and isinstance(weight, float) and weight:
                figures[f"{only}/loss"] = figures[self._heads_loss] / weight
        self._figures.note(update, figures)
        alarms = []
        for subject in self._subjects:
            for kind, said in subject.troubles().items():
                if said is not None and (kind, subject.name) not in self._raised:
                    self._raised.add((kind, subject.name))
                    message = f"update {update}, {subject.title}: {said}"
                    alarms.append(Alarm(kind, subject.name, message))
        return alarms

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, in plain values."""
        raised = sorted(list(pair) for pair in self._raised)
        return {**self._figures.state_dict(), "raised": raised}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        self._figures.load_state_dict(state)
        self._raised = {(kind, head) for kind, head in state["raised"]}
