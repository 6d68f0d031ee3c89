"""What happens to one batch: a Step turns micro-batches into one update of the networks.

The trainer knows steps, not losses. A step owns its optimizers, so that one with several networks
in turn (adversarial training) has the same face as the plain one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facever.data.loading import Batch
from facever.heads.base import HeadOutput
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder
from facever.training.finite import require_finite_gradients, require_finite_loss
from facever.training.optimization import Schedule
from facever.training.precision import Precision
from facever.training.targets import Targets


class Step(ABC):
    """One update from a few micro-batches, and the state that the next one needs."""

    embedder: Embedder

    @abstractmethod
    def update(self, batches: Sequence[Batch], number: int) -> dict[str, Tensor]:
        """Make update `number` (counted from 0) and return its statistics, 0-d tensors.

        "loss" is always among them.

        Raises:
            TrainingError: The loss or a gradient is not finite.
        """

    @abstractmethod
    def learning_rate(self) -> float:
        """Return the embedder's learning rate of the latest update."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return everything that a bit-for-bit resume needs, in tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""


class EmbeddingStep(Step):
    """Embedder forward, the weighted sum of the heads, backward, one optimizer step."""

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
    ) -> None:
        self.embedder, self.heads, self._targets = embedder, heads, targets
        self._optimizer, self._schedule = optimizer, schedule
        self._precision, self._memory_format = precision, memory_format
        self._clip_norm = clip_norm
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def update(self, batches: Sequence[Batch], number: int) -> dict[str, Tensor]:
        """See Step. The loss is the mean over the images of all micro-batches."""
        self.embedder.train()
        self._schedule.set(number)
        self._optimizer.zero_grad(set_to_none=True)
        images = sum(len(batch.labels) for batch in batches)
        stats: dict[str, Tensor] = {}
        for batch in batches:
            share = len(batch.labels) / images
            for name, value in self._backward(batch, share, number).items():
                stats[name] = stats[name] + value * share if name in stats else value * share
        scaler = self._precision.scaler
        scaler.unscale_(self._optimizer)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not scaler.is_enabled():  # with loss scaling an overflow is skipped, not an error
            require_finite_gradients(norm, number, self.embedder, self.heads)
        if self._clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        scaler.step(self._optimizer)
        scaler.update()
        self.heads.step_completed()
        stats["grad_norm"] = norm.detach()
        return stats

    def _backward(self, batch: Batch, share: float, number: int) -> dict[str, Tensor]:
        device = self._precision.device
        images = batch.images.to(device, non_blocking=True)
        images = images.contiguous(memory_format=self._memory_format)
        labels = batch.labels.to(device, non_blocking=True)
        with self._precision.autocast():
            before_norm, embeddings = self.embedder.around_norm(images)
            targets = self._targets.of(batch, images, self.heads.names)
        output = self.heads(embeddings, labels, targets, before_norm)
        require_finite_loss(
            output,
            number,
            self.embedder,
            self.heads,
            (images, labels, targets),
            self._precision.autocast(),
        )
        output = self._objective(embeddings, labels, output, number)
        self._precision.scaler.scale(output.loss * share).backward()  # type: ignore[no-untyped-call]
        return {"loss": output.loss.detach(), **output.stats}

    def _objective(
        self,
        embeddings: Tensor,  # noqa: ARG002 - for those who learn from more than the heads
        labels: Tensor,  # noqa: ARG002
        heads: HeadOutput,
        number: int,  # noqa: ARG002
    ) -> HeadOutput:
        """Return what the embedder learns from, and the statistics: here what the heads say."""
        return heads

    def learning_rate(self) -> float:
        """See Step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """See Step."""
        return {
            "embedder": self.embedder.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._precision.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See Step."""
        self.embedder.load_state_dict(state["embedder"])
        self.heads.load_state_dict(state["heads"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._precision.scaler.load_state_dict(state["scaler"])
