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
    """The sum of `weight * loss` over heads.

    Args:
        heads: One or more.
        updates_per_epoch: Optimizer steps of an epoch; needed for weight schedules in epochs.

    Attributes:
        names: The heads' names, made distinct: center, center_2, ...
        metric: That of the first head that learns from labels and the embedding, else of the
            first; of a helper only where there is no other head.
        images_per_identity: The most that any of the heads needs.
        prototypes: Those of the first head on the embedding that has some.

    Raises:
        ConfigError: No head, or a weight schedule in epochs without `updates_per_epoch`.
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

        With several heads the stats have each one's unweighted loss, as "head/loss", and scheduled
        weights, as "head/weight".

        Args:
            embeddings: [B, D], as for each head.
            labels: int64 [B].
            targets: By the name of the head, the targets of each head that declares `beside`.
            before_norm: [B, D], the input of heads with `input: before_norm`.
            local: Weight of the heads that see the images of this process only: its number of
                images over the mean of all processes; 0 without images.

        Raises:
            TrainingError: Missing targets or `before_norm`, or input that a head refuses.
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
        """Advance each head and the weight schedules by one optimizer step."""
        for head in self.heads:
            head.step_completed()
        if self._lengths:
            self.position += 1

    def _weight(self, name: str, weight: float | WeightSchedule, like: Tensor) -> float | Tensor:
        """Return the weight of this update; a scheduled one is a tensor on the device."""
        if isinstance(weight, WeightSchedule):
            return weight.at(self.position.to(like.dtype), self._lengths[name])
        return weight

    def _target(self, name: str, targets: Mapping[str, Tensor]) -> Tensor:
        if name not in targets:
            raise TrainingError(
                f"head '{name}' needs targets of the kind {self.parts[name].beside}: pass "
                f"targets={{'{name}': ...}}"
            )
        return targets[name]


def _judges(head: Head) -> bool:
    """Return whether the head trains the embedding to distinguish identities."""
    return head.beside is None and head.config.input == "embedding"


def _given(name: str, before_norm: Tensor | None) -> Tensor:
    if before_norm is None:
        raise TrainingError(
            f"head '{name}' has input: before_norm, and the input of the neck's BatchNorm is "
            "missing: pass before_norm"
        )
    return before_norm


def _distinct(names: list[str]) -> list[str]:
    """Number the repetitions: center, center_2, ..."""
    return [
        name if (count := names[: i + 1].count(name)) == 1 else f"{name}_{count}"
        for i, name in enumerate(names)
    ]
