"""Several heads as one: the weighted sum of their losses."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from facever.core.processes import world
from facever.errors import ConfigError, TrainingError
from facever.heads.base import Head, HeadOutput, Metric
from facever.heads.classes.vectors import Prototypes
from facever.heads.weight import WeightSchedule


class WeightedSum(nn.Module):
    """The sum of `weight * loss` over heads; what it declares is the first head's or the most.

    Args:
        heads: One or more; verification follows the first one that tells identities apart.
        updates_per_epoch: Optimizer steps of an epoch; needed for weights that move over epochs.

    Attributes:
        names: The heads' names, made distinct: center, center_2, ...
        metric: Of the first head that learns from labels and the embedding, else of the first; of
            a helper only where there is nothing else.
        images_per_identity: The most that any of the heads needs.
        prototypes: Those of the first head on the embedding that has some.

    Raises:
        ConfigError: No head at all, or a weight that moves over epochs of unknown length.
    """

    position: Tensor

    def __init__(self, heads: Iterable[Head], updates_per_epoch: int | None = None) -> None:
        super().__init__()
        self.heads = list(heads)
        if not self.heads:
            raise ConfigError("a training needs at least one head")
        self.names = _distinct([head.config.name for head in self.heads])
        self.parts = nn.ModuleDict(dict(zip(self.names, self.heads, strict=True)))
        leading = min(self.heads, key=lambda h: (h.helper, not _judges(h)))  # the first of them
        self.metric: Metric = leading.metric
        self.images_per_identity = max(head.images_per_identity for head in self.heads)
        self._lengths: dict[str, int] = {}  # of the schedules, in updates
        for name, head in zip(self.names, self.heads, strict=True):
            if isinstance(head.config.weight, WeightSchedule):
                try:
                    self._lengths[name] = head.config.weight.length(updates_per_epoch)
                except ValueError as error:
                    raise ConfigError(f"head '{name}': {error}") from error
        if self._lengths:
            self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @property
    def prototypes(self) -> Prototypes | None:
        """The prototypes of the first head on the embedding that has some."""
        found = (head.prototypes for head in self._on_embedding if head.prototypes is not None)
        return next(found, None)

    @property
    def _on_embedding(self) -> list[Head]:
        return [head for head in self.heads if head.config.input == "embedding"]

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        targets: Mapping[str, Tensor] | None = None,
        before_norm: Tensor | None = None,
        local: float = 1.0,
    ) -> HeadOutput:
        """Return the summed loss, and stats named "head/stat".

        With several processes the means over them are the loss and stats of the batch of all.

        With several heads each one's unweighted loss is among the stats, as "head/loss"; a weight
        that moves is there as "head/weight".

        Args:
            embeddings: [B, D], as for each head.
            labels: int64 [B].
            targets: By the name of the head, what each head that declares `beside` learns from.
            before_norm: [B, D], what heads with `input: before_norm` learn from.
            local: Weight of the heads that see the images of this process only: how many times as
                many it has as the mean process. With 0 there are none.

        Raises:
            TrainingError: No targets, or no `before_norm`, for a head that needs them; and what the
                heads refuse.
        """
        given = {} if targets is None else targets
        stats = dict[str, Tensor]()
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        total = embeddings.new_zeros((), dtype=dtype)
        for name, head in zip(self.names, self.heads, strict=True):
            weight = self._weight(name, head.config.weight, total)
            if isinstance(weight, Tensor):
                stats[f"{name}/weight"] = weight
            if not (local or head.whole_batch):
                head.absent()
                continue
            output = head(
                embeddings if head.config.input == "embedding" else _given(name, before_norm),
                labels if head.beside is None else self._target(name, given),
            )
            # Losses and statistics of all processes are averaged: weighed so, that is those of all.
            share = 1.0 if head.whole_batch else local
            loss = output.loss * (world() if head.sums and not head.whole_batch else share)
            stats.update({f"{name}/{stat}": value * share for stat, value in output.stats.items()})
            if len(self.heads) > 1:
                stats[f"{name}/loss"] = loss.detach()
            total = total + weight * loss
        return HeadOutput(total, stats)

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that must not be decayed."""
        return {
            f"parts.{name}.{parameter}"
            for name, head in zip(self.names, self.heads, strict=True)
            for parameter in head.no_weight_decay()
        }

    def step_completed(self) -> None:
        """Tell each head that an optimizer step is done, and move the weights on."""
        for head in self.heads:
            head.step_completed()
        if self._lengths:
            self.position += 1

    def _weight(self, name: str, weight: float | WeightSchedule, like: Tensor) -> float | Tensor:
        """Return the weight of this update; on an accelerator one that moves stays there."""
        if isinstance(weight, WeightSchedule):
            return weight.at(self.position.to(like.dtype), self._lengths[name])
        return weight

    def _target(self, name: str, targets: Mapping[str, Tensor]) -> Tensor:
        if name not in targets:
            raise TrainingError(
                f"head '{name}' learns from {self.parts[name].beside}, and none were given for it"
            )
        return targets[name]


def _judges(head: Head) -> bool:
    """Return whether the head's metric is that of embeddings which tell identities apart."""
    return head.beside is None and head.config.input == "embedding"


def _given(name: str, before_norm: Tensor | None) -> Tensor:
    if before_norm is None:
        raise TrainingError(
            f"head '{name}' learns from what the neck's BatchNorm is given, and it was not given"
        )
    return before_norm


def _distinct(names: list[str]) -> list[str]:
    """Number the repetitions: center, center_2, ..."""
    return [
        name if (count := names[: i + 1].count(name)) == 1 else f"{name}_{count}"
        for i, name in enumerate(names)
    ]
