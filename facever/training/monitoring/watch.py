"""The collapse watch: looks at a training's figures and says in words what is going wrong.

It sees the means that the log sees, over all steps since the last line, so it costs an accelerator
nothing. What it remembers is part of the checkpoint. Each alarm is raised once for each head.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from facever.heads.base import Head
from facever.training.config import AdversarialConfig
from facever.training.monitoring.adversarial_alarms import ADVERSARIAL_RULES, AdversarialTrace
from facever.training.monitoring.alarms import RULES, Trace

_SPAN = (50, 300)
"""Updates over which something must last: an epoch, but not fewer and not more than these."""
_POINTS = 3  # at least so many looks in that span
_OWN = "adversarial"  # begins the names of the adversaries' figures

V = TypeVar("V")


@dataclass(frozen=True)
class Alarm:
    """Something that goes wrong.

    Attributes:
        kind: One word, the same for the same trouble.
        head: The head's name among the training's heads, or "adversarial".
        message: What is seen and what to try, one line.
    """

    kind: str
    head: str
    message: str


class Watch:
    """Looks at the means of a training's figures and raises each alarm once.

    Args:
        heads: By their names, in order.
        identities: C.
        batch: Images in a batch.
        updates_per_epoch: How long an epoch is.
        lone: Training identities with one image only.
        adversarial: The configuration of the adversaries, where there are some.
    """

    def __init__(
        self,
        heads: Mapping[str, Head],
        *,
        identities: int,
        batch: int,
        updates_per_epoch: int,
        lone: int = 0,
        adversarial: AdversarialConfig | None = None,
    ) -> None:
        self._heads, self._identities, self._batch, self._lone = heads, identities, batch, lone
        self._adversarial = adversarial
        self._span = max(_SPAN[0], min(updates_per_epoch, _SPAN[1]))
        self._recent: dict[str, list[tuple[int, float]]] = {}
        self._first: dict[str, float] = {}
        self._lowest: dict[str, float] = {}
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
            summed = "loss" if self._adversarial is None else "adversarial/heads"
            if summed in figures and isinstance(weight, float) and weight:
                figures[f"{only}/loss"] = figures[summed] / weight
        for name, value in figures.items():
            self._remember(name, update, value)
        found: list[tuple[str, str, str, str | None]] = []
        for head in self._heads:
            trace = self._trace(head, figures)
            said = {kind: rule(trace) for kind, rule in RULES.items()}
            said |= self._heads[head].own_alarms(trace)
            found += [(kind, head, f"head '{head}'", what) for kind, what in said.items()]
        if self._adversarial is not None:
            seen = self._adversarial_trace(self._adversarial, figures)
            found += [(k, _OWN, _OWN, rule(seen)) for k, rule in ADVERSARIAL_RULES.items()]
        alarms = []
        for kind, name, where, what in found:
            if what is not None and (kind, name) not in self._raised:
                self._raised.add((kind, name))
                alarms.append(Alarm(kind, name, f"update {update}, {where}: {what}"))
        return alarms

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, in plain values."""
        return {
            "recent": {
                name: [list(point) for point in seen] for name, seen in self._recent.items()
            },
            "first": dict(self._first),
            "lowest": dict(self._lowest),
            "raised": sorted(list(pair) for pair in self._raised),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        self._recent = {
            name: [(update, value) for update, value in seen]
            for name, seen in state["recent"].items()
        }
        self._first, self._lowest = dict(state["first"]), dict(state["lowest"])
        self._raised = {(kind, head) for kind, head in state["raised"]}

    def _remember(self, name: str, update: int, value: float) -> None:
        seen = self._recent.setdefault(name, [])
        seen.append((update, value))
        while len(seen) > _POINTS and seen[1][0] <= update - self._span:
            del seen[0]
        self._first.setdefault(name, value)
        if update > self._span:
            self._lowest[name] = min(value, self._lowest.get(name, value))

    def _trace(self, head: str, figures: Mapping[str, float]) -> Trace:
        return Trace(
            *self._history(head, figures),
            self._heads[head],
            self._batch,
            self._lone,
        )

    def _adversarial_trace(
        self, config: AdversarialConfig, figures: Mapping[str, float]
    ) -> AdversarialTrace:
        return AdversarialTrace(*self._history(_OWN, figures), config.margin, self._identities)

    def _history(
        self, owner: str, figures: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, Sequence[float]], dict[str, float], dict[str, float]]:
        """Return the owner's figures: now, over the whole span, at first and at their lowest."""
        prefix = f"{owner}/"

        def own(values: Mapping[str, V]) -> dict[str, V]:
            return {
                name.removeprefix(prefix): value
                for name, value in values.items()
                if name.startswith(prefix)
            }

        whole: dict[str, Sequence[float]] = {
            name: [value for _, value in seen]
            for name, seen in self._recent.items()
            if len(seen) >= _POINTS and seen[-1][0] - seen[0][0] >= self._span
        }
        return own(figures), own(whole), own(self._first), own(self._lowest)
