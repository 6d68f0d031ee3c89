"""The collapse watch: looks at a training's figures and says in words what is going wrong.

It sees the means that the log sees, over all steps since the last line, so it costs an accelerator
nothing. What it remembers is part of the checkpoint. Each alarm is raised once for each head.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facever.heads.base import HeadConfig
from facever.training.alarms import RULES, Trace

_SPAN = (50, 300)
"""Updates over which something must last: an epoch, but not fewer and not more than these."""
_POINTS = 3  # at least so many looks in that span


@dataclass(frozen=True)
class Alarm:
    """Something that goes wrong.

    Attributes:
        kind: One word, the same for the same trouble.
        head: The head's name among the training's heads.
        message: What is seen and what to try, one line.
    """

    kind: str
    head: str
    message: str


class Watch:
    """Looks at the means of a training's figures and raises each alarm once.

    Args:
        heads: Names and configurations, in order.
        identities: C.
        batch: Images in a batch.
        updates_per_epoch: How long an epoch is.
        lone: Identities with one image only that heads which compare pairs are trained on.
    """

    def __init__(
        self,
        heads: Mapping[str, HeadConfig],
        *,
        identities: int,
        batch: int,
        updates_per_epoch: int,
        lone: int = 0,
    ) -> None:
        self._heads, self._identities, self._batch, self._lone = heads, identities, batch, lone
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
            weight = figures.get(f"{only}/weight", self._heads[only].weight)
            if "loss" in figures and isinstance(weight, float) and weight:
                figures[f"{only}/loss"] = figures["loss"] / weight
        for name, value in figures.items():
            self._remember(name, update, value)
        alarms = []
        for head in self._heads:
            trace = self._trace(head, figures)
            for kind, rule in RULES.items():
                if (kind, head) not in self._raised and (said := rule(trace)) is not None:
                    self._raised.add((kind, head))
                    alarms.append(Alarm(kind, head, f"update {update}, head '{head}': {said}"))
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
        def own(values: Mapping[str, Any]) -> dict[str, Any]:
            prefix = f"{head}/"
            return {
                name.removeprefix(prefix): value
                for name, value in values.items()
                if name.startswith(prefix)
            }

        whole = {
            name: [value for _, value in seen]
            for name, seen in self._recent.items()
            if len(seen) >= _POINTS and seen[-1][0] - seen[0][0] >= self._span
        }
        return Trace(
            self._heads[head],
            self._identities,
            self._batch,
            self._lone,
            own(figures),
            own(whole),
            own(self._first),
            own(self._lowest),
        )
