"""What happens to one batch: a Step turns micro-batches into one update of the networks.

The trainer knows steps, not losses. A step owns its optimizers, so that one with several networks
in turn (adversarial training) has the same face as the plain one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from facever.core.console import say
from facever.core.processes import rank, world
from facever.data.loading import Batch
from facever.heads.base import HeadOutput, Metric
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder
from facever.training.computing.optimization import Schedule, load_optimizer
from facever.training.computing.parallel import (
    Agreement,
    DataParallel,
    agree,
    average_gradients,
    clip_gradients,
    gradient_norm,
    share_overflow,
)
from facever.training.computing.precision import Precision
from facever.training.computing.rows import RowSampling
from facever.training.monitoring.finite import require_finite_gradients, require_finite_loss
from facever.training.monitoring.history import Figures, Subject
from facever.training.saving.pieces import Shards, shards_of
from facever.training.supervision.targets import Targets


class Step(ABC):
    """One update from a few micro-batches, and the state that the next one needs."""

    embedder: Embedder

    @abstractmethod
    def update(
        self, batches: Sequence[Batch], number: int, agreement: Agreement | None = None
    ) -> dict[str, Tensor]:
        """Make update `number` (counted from 0) and return its statistics, 0-d tensors.

        "loss" is always among them. With fp16 "overflow" is, too: 1 where gradients were too large
        for float16, and neither weights nor schedules have moved on. With several processes the
        means over them are those of all; what is missing in one counts there as 0.

        Args:
            batches: This process's micro-batches, at least one image in all those of all processes.
            number: Updates before this one.
            agreement: What the processes know of one another's; None: they ask.

        Raises:
            TrainingError: The loss or a gradient is not finite.
        """

    @abstractmethod
    def learning_rate(self) -> float:
        """Return the embedder's learning rate of the latest update, without factors of groups."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return everything that a bit-for-bit resume needs, in tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""

    @abstractmethod
    def shards(self) -> Shards:
        """Return the places in the state of what each process holds another part of."""


class EmbeddingStep(Step):
    """Embedder forward, the weighted sum of the heads, backward, one optimizer step.

    Another method of training is a subclass. It says here all that the trainer must know of it, and
    `make_step` alone knows which configuration calls for it.

    Attributes:
        heads_loss: The figure of the log that is the weighted sum of the heads' losses.
    """

    heads_loss = "loss"

    def __init__(
        self,
        embedder: Embedder,
        heads: WeightedSum,
        optimizer: Optimizer,
        schedule: Schedule,
        precision: Precision,
        memory_format: torch.memory_format,
        clip_norm: float | None,
        targets: Targets,
        parallel: DataParallel | None = None,
        rows: RowSampling | None = None,
    ) -> None:
        self.embedder, self.heads, self._targets = embedder, heads, targets
        self._optimizer, self._schedule = optimizer, schedule
        self._precision, self._memory_format = precision, memory_format
        self._clip_norm = clip_norm
        self._parallel = parallel or DataParallel(embedder)
        self._rows = rows
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    @property
    def metric(self) -> Metric:
        """What embeddings of this training are compared by."""
        return self.heads.metric

    def watched(self, figures: Figures) -> Sequence[Subject]:  # noqa: ARG002 - of subclasses
        """Return what alarms look at beside the heads.

        Args:
            figures: Of the training's log.
        """
        return ()

    def update(
        self, batches: Sequence[Batch], number: int, agreement: Agreement | None = None
    ) -> dict[str, Tensor]:
        """See Step. The loss is the mean over the images of all micro-batches."""
        agreement = agreement or agree(batches)
        if self._rows is None:
            return self._updated(batches, number, agreement)
        with self._rows.chosen(torch.cat([batch.labels for batch in batches]), number):
            return self._updated(batches, number, agreement)

    def _updated(
        self, batches: Sequence[Batch], number: int, agreement: Agreement
    ) -> dict[str, Tensor]:
        self._parallel.train(number)
        self._schedule.set(number)
        self._optimizer.zero_grad(set_to_none=True)
        images = agreement.together
        last = max(place for place, count in enumerate(images) if count)
        stats: dict[str, Tensor] = {}
        for place, (batch, count) in enumerate(zip(batches, images, strict=True)):
            if not count:
                continue
            share = count / sum(images)
            local = agreement.readable[rank()][place] * world() / count
            with nullcontext() if place == last else self._parallel.apart():
                found = self._backward(batch, share, local, number)
            for name, value in found.items():
                stats[name] = stats[name] + value * share if name in stats else value * share
        average_gradients(self.heads.parameters(), agreement)
        scaler = self._precision.scaler
        if scaler.is_enabled():
            share_overflow(self._parameters)
        scaler.unscale_(self._optimizer)
        norm = gradient_norm(self._parameters)
        if not scaler.is_enabled():  # with loss scaling an overflow is skipped, not an error
            require_finite_gradients(norm, number, self.embedder, self.heads)
        if self._clip_norm is not None:
            clip_gradients(self._parameters, self._clip_norm, norm)
        scale = scaler.get_scale()
        scaler.step(self._optimizer)
        scaler.update()
        overflow = scaler.get_scale() < scale
        if not overflow:
            self.heads.step_completed()
        self._parallel.updated()
        if scaler.is_enabled():
            stats["overflow"] = torch.tensor(float(overflow), device=norm.device)
        stats["grad_norm"] = norm.detach()
        return stats

    def _backward(self, batch: Batch, share: float, local: float, number: int) -> dict[str, Tensor]:
        """Add a micro-batch's gradients; return its loss and statistics.

        Args:
            batch: The images of this process; there may be none.
            share: Part of all processes' micro-batch in the update.
            local: How many times as many images this process has as the mean one.
            number: Of the update.
        """
        device = self._precision.device
        images = batch.images.to(device, non_blocking=True)
        images = images.contiguous(memory_format=self._memory_format)
        labels = batch.labels.to(device, non_blocking=True)
        with self._precision.autocast():
            before_norm, embeddings = self._parallel(images)
            targets = self._targets.of(batch, images, self.heads.names) if local else {}
        output = self.heads(embeddings, labels, targets, before_norm, local)
        require_finite_loss(
            output,
            number,
            self.embedder,
            self.heads,
            (images, labels, targets),
            self._precision.autocast(),
        )
        output = self._objective(embeddings, labels, output, number, local)
        loss = output.loss * share
        if not local:  # nothing of it, but the others wait for this process's part
            loss = loss + before_norm.sum() + embeddings.sum()
        self._parallel.backward(self._precision.scaler.scale(loss))
        return {"loss": output.loss.detach(), **output.stats}

    def _objective(
        self,
        embeddings: Tensor,  # noqa: ARG002 - for those who learn from more than the heads
        labels: Tensor,  # noqa: ARG002
        heads: HeadOutput,
        number: int,  # noqa: ARG002
        local: float,  # noqa: ARG002
    ) -> HeadOutput:
        """Return what the embedder learns from, and the statistics: here what the heads say."""
        return heads

    def learning_rate(self) -> float:
        """See Step."""
        group = self._optimizer.param_groups[0]
        return float(group["lr"]) / float(group.get("lr_scale", 1.0))

    def state_dict(self) -> dict[str, Any]:
        """See Step."""
        return {
            "embedder": self.embedder.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._precision.scaler.state_dict(),
        }

    def shards(self) -> Shards:
        """See Step."""
        return shards_of(self.heads, self._optimizer)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See Step."""
        self.embedder.load_state_dict(state["embedder"])
        self.heads.load_state_dict(state["heads"])
        load_optimizer(self._optimizer, state["optimizer"])
        if (factor := self._schedule.resume()) is not None:
            say(
                f"the heads of this run keep {factor:g} times the embedder's learning rate, as it "
                "began: optimizer.head_lr_scale was applied twice then; a new run applies it once"
            )
        self._precision.scaler.load_state_dict(state["scaler"])
