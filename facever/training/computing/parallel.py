"""One training in several processes: what they agree on, and what of their models they average.

Gradients of the embedder and of replicated parameters of heads are the means over the processes:
those of a head that sees only its process's images are weighed by their number (see `agree`), those
of a head that sees all images are the same everywhere. Parameters with the attribute `shard_of` are
each process's own.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from facever.core.processes import all_max, all_sum, gather, world
from facever.data.loading import Batch
from facever.errors import ConfigError
from facever.heads.classes.layout import is_sharded
from facever.models.embedder import Embedder
from facever.training.computing.thrift import buffers_kept
from facever.training.config import DistributedConfig

_LARGE = 2**20
"""Elements of a gradient that is averaged by itself; smaller ones go together."""


@dataclass(frozen=True)
class Agreement:
    """What every process knows before an update.

    Attributes:
        readable: Images that could be read, by process and micro-batch.
        failed: Images that could not, of all.
        signal: The number of a signal that asked one of them to stop; 0 for none.
        due: Whether the process of rank 0 wants a checkpoint.
    """

    readable: list[list[int]]
    failed: int = 0
    signal: int = 0
    due: bool = False

    @property
    def together(self) -> list[int]:
        """Readable images of all processes, by micro-batch."""
        return [sum(counts) for counts in zip(*self.readable, strict=True)]


def agree(batches: Sequence[Batch], signal: int = 0, due: bool = False) -> Agreement:
    """Tell the other processes of the next update's micro-batches and hear of theirs."""
    counts = [len(batch.labels) for batch in batches]
    failed = sum(len(batch.failed) for batch in batches)
    if world() == 1:
        return Agreement([counts], failed, signal, due)
    told = gather(torch.tensor([[failed, signal, int(due), *counts]])).tolist()
    return Agreement(
        [row[3:] for row in told],
        sum(row[0] for row in told),
        max(row[1] for row in told),
        bool(told[0][2]),
    )


def arrange_norms(embedder: Embedder, config: DistributedConfig, device: torch.device) -> None:
    """Replace BatchNorm by PyTorch's synchronised one, in place, where that is chosen.

    Raises:
        ConfigError: It is chosen on the CPU.
    """
    if config.batch_norm == "synchronised":
        from timm.layers import convert_sync_batchnorm

        if device.type == "cpu":
            raise ConfigError(
                "distributed.batch_norm 'synchronised': PyTorch's synchronised BatchNorm needs a "
                "GPU; on the CPU take local or frozen"
            )
        convert_sync_batchnorm(embedder)


class DataParallel:
    """The embedder of a step, and those of the same step in other processes.

    Args:
        embedder: The model, on its device. Its state dict stays as it is.
        config: What becomes of BatchNorm.
        example: A few images, uint8 [B, 3, H, W] on the device, by which is found what a loss
            reaches. None: averaging the embedder's gradients is left to the caller.
        only_before_norm: Whether the loss takes nothing but what the neck's BatchNorm is given.
        compiler: Compiles the forward pass in place, or leaves it.
        recomputes: Whether backward passes compute the forward pass again.
        frozen_updates: Updates during which the backbone stays as it is.
    """

    def __init__(
        self,
        embedder: Embedder,
        config: DistributedConfig | None = None,
        example: Tensor | None = None,
        only_before_norm: bool = False,
        compiler: Callable[[nn.Module], object] | None = None,
        recomputes: bool = False,
        frozen_updates: int = 0,
    ) -> None:
        self._embedder, self._recomputes = embedder, recomputes
        self._frozen_updates, self._frozen = frozen_updates, False
        self._freezable = (
            [p for p in embedder.backbone.parameters() if p.requires_grad] if frozen_updates else []
        )
        self._choice = "local" if config is None else config.batch_norm
        self._norms = [part for part in embedder.modules() if isinstance(part, _BatchNorm)]
        self._shared: DistributedDataParallel | None = None
        sharing = world() > 1 and example is not None
        inner = _AroundNorm(embedder, only_before_norm and sharing)
        self._forward: Callable[[Tensor], tuple[Tensor, Tensor]] = inner
        left_out = sharing and _leaves_some_out(inner, cast(Tensor, example))
        if compiler is not None:
            self._train()  # as it will be used
            compiler(inner)
        if sharing:
            device = cast(Tensor, example).device
            self._forward = self._shared = DistributedDataParallel(
                inner,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,
                find_unused_parameters=left_out or frozen_updates > 0,
                gradient_as_bucket_view=True,
            )

    def train(self, number: int) -> None:
        """Put the embedder into training mode for update `number`, counted from 0.

        Frozen BatchNorm, and a backbone that is frozen then, stay in evaluation mode; the
        parameters of such a backbone get no gradients, so that no optimizer changes them.
        """
        frozen = number < self._frozen_updates
        if frozen != self._frozen:
            for parameter in self._freezable:
                parameter.requires_grad_(not frozen)
            self._frozen = frozen
        self._train()

    def _train(self) -> None:
        self._embedder.train()
        if self._frozen:
            self._embedder.backbone.eval()
        if self._choice == "frozen":
            for norm in self._norms:
                norm.eval()

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `Embedder.around_norm` does, for no images too.

        A process without a readable image takes part in what the others do by images that it makes
        up: they change neither gradients nor running statistics.
        """
        if len(images) or self._choice == "synchronised":  # that one counts no images as none
            return self._forward(images)
        self._embedder.eval()
        before, embeddings = self._forward(images.new_zeros(2, *images.shape[1:]))
        self._train()
        return before[:0], embeddings[:0]

    def apart(self) -> AbstractContextManager[None]:
        """Return a context for a micro-batch that is not its update's last: nothing is averaged."""
        return nullcontext() if self._shared is None else self._shared.no_sync()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss; running statistics take in no batch twice."""
        with buffers_kept(self._embedder, self._recomputes):
            loss.backward()  # type: ignore[no-untyped-call]

    def updated(self) -> None:
        """Average the running statistics of local BatchNorm over the processes, after an update."""
        if world() == 1 or self._choice != "local":
            return
        tracked = [norm for norm in self._norms if norm.running_mean is not None]
        if tracked:
            _average([b for norm in tracked for b in norm.buffers() if b.is_floating_point()])
            counts = [norm.num_batches_tracked for norm in tracked]
            most = all_max(torch.stack(cast("list[Tensor]", counts)))
            for count, value in zip(counts, most, strict=True):
                cast(Tensor, count).copy_(value)


class _AroundNorm(nn.Module):
    """`Embedder.around_norm` as the forward pass that DistributedDataParallel wraps."""

    def __init__(self, embedder: Embedder, only_before_norm: bool) -> None:
        super().__init__()
        self.embedder, self._only_before_norm = embedder, only_before_norm

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        before, embeddings = self.embedder.around_norm(images)
        return before, embeddings.detach() if self._only_before_norm else embeddings


def _leaves_some_out(inner: _AroundNorm, example: Tensor) -> bool:
    """Return whether the loss does not reach some of the parameters."""
    training = inner.training
    inner.eval()
    sum(output.sum() for output in inner(example)).backward()
    left_out = any(p.requires_grad and p.grad is None for p in inner.parameters())
    inner.zero_grad(set_to_none=True)
    inner.train(training)
    return left_out


def average_gradients(parameters: Iterable[nn.Parameter], agreement: Agreement) -> None:
    """Replace the gradients of replicated parameters by their means over the processes.

    Args:
        parameters: The same on every process, in the same order.
        agreement: Of this update. A process that had no image at all has no gradients either where
            the others may have some.
    """
    if world() == 1:
        return
    ours = [p for p in parameters if p.requires_grad and not is_sharded(p)]
    if any(not sum(counts) for counts in agreement.readable):
        having = torch.tensor([p.grad is not None for p in ours], dtype=torch.int32)
        for parameter, some in zip(ours, all_max(having).tolist(), strict=True):
            if some and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
    _average([p.grad for p in ours if p.grad is not None])


@torch.no_grad()
def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the Euclidean norm of all gradients together, those of all shards among them."""
    norm: Tensor = nn.utils.get_total_norm(
        [p.grad for p in parameters if p.grad is not None and not is_sharded(p)]
    )
    sharded = [p for p in parameters if is_sharded(p)]
    if not sharded:
        return norm
    norm = norm.to(sharded[0].device)
    shards = [p.grad for p in sharded if p.grad is not None]
    squares = nn.utils.get_total_norm(shards).square() if shards else torch.zeros_like(norm)
    return (norm.square() + all_sum(squares)).sqrt()


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float, norm: Tensor) -> None:
    """Scale gradients so that the norm of all is at most `largest`; smaller ones are not touched.

    Args:
        parameters: Theirs.
        largest: The norm that is allowed.
        norm: The norm that they have. Where it is NaN nothing is scaled.
    """
    if bool(norm + 1e-6 > largest):  # where torch's factor, largest / (norm + 1e-6), is below 1
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)


@torch.no_grad()
def share_overflow(parameters: Sequence[nn.Parameter]) -> None:
    """Make an overflow in one process's shard one of all, so that all leave the update out.

    For loss scaling, before the gradients are unscaled.
    """
    sharded = [p for p in parameters if is_sharded(p)]
    if world() == 1 or not sharded:
        return
    shards = [p.grad for p in sharded if p.grad is not None]
    bad = sharded[0].new_zeros(())
    for gradient in shards:
        bad += (~gradient.isfinite()).any()
    if all_max(bad) > 0:
        next(p.grad for p in parameters if p.grad is not None).fill_(torch.inf)


@torch.no_grad()
def _average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over the processes, in place; small ones go together."""
    small: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel() < _LARGE:
            small.setdefault(tensor.dtype, []).append(tensor)
        else:
            all_sum(tensor).div_(world())
    for together in small.values():
        mean = all_sum(torch.cat([tensor.reshape(-1) for tensor in together])).div_(world())
        parts = torch.split(mean, [tensor.numel() for tensor in together])
        for tensor, part in zip(together, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
