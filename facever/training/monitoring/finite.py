"""NaN and infinity: stop at once, and say where they first appear."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from facever.core.processes import world
from facever.errors import TrainingError
from facever.heads.base import HeadOutput
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder


def require_finite_loss(
    output: HeadOutput,
    step: int,
    embedder: Embedder,
    heads: WeightedSum,
    batch: tuple[Tensor, Tensor, Mapping[str, Tensor]],
    autocast: AbstractContextManager[None],
) -> None:
    """Stop the training when a loss is not finite.

    Args:
        output: What the heads gave.
        step: The update's number.
        embedder: Searched, with the heads, for the first layer with a value that is not finite.
        heads: Those that gave the loss.
        batch: Images, labels and the heads' targets, to run through both again.
        autocast: What the embedder runs in.

    Raises:
        TrainingError: Names the step, the head and the first layer.
    """
    if bool(torch.isfinite(output.loss)):
        return
    names = heads.names
    if len(names) > 1:
        losses = {
            name: output.stats[f"{name}/loss"] for name in names if f"{name}/loss" in output.stats
        }
        names = [name for name, loss in losses.items() if not bool(loss.isfinite())] or names
    first = _bad_parameter(embedder, heads) or _bad_output(embedder, heads, batch, autocast)
    _stop(step, f"the loss of head {' and '.join(names)}", output.loss, first)


def require_finite_gradients(
    norm: Tensor, step: int, embedder: Embedder, heads: WeightedSum
) -> None:
    """Stop the training when the norm of all gradients is not finite.

    Raises:
        TrainingError: Names the step and the first parameter, counted from the loss back.
    """
    if not bool(torch.isfinite(norm)):
        _stop(step, "the norm of the gradients", norm, _bad_gradient(embedder, heads))


def _stop(step: int, what: str, value: Tensor, first: str | None) -> None:
    raise TrainingError(
        f"step {step}: {what} is {value.item()}; first seen in {first or 'the sum of all'}. "
        "Lower optimizer.lr, lengthen schedule.warmup_epochs, or use precision fp32"
    )


def _named(embedder: Embedder, heads: nn.Module) -> list[tuple[str, nn.Module]]:
    return [("embedder", embedder), ("heads", heads)]


def _bad_parameter(embedder: Embedder, heads: nn.Module) -> str | None:
    for owner, module in _named(embedder, heads):
        for name, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                return f"parameter {owner}.{name}"
    return None


def _bad_gradient(embedder: Embedder, heads: nn.Module) -> str | None:
    for owner, module in reversed(_named(embedder, heads)):
        for name, parameter in reversed(list(module.named_parameters())):
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                return f"the gradient of {owner}.{name}"
    return None


def _bad_output(
    embedder: Embedder,
    heads: nn.Module,
    batch: tuple[Tensor, Tensor, Mapping[str, Tensor]],
    autocast: AbstractContextManager[None],
) -> str | None:
    """Run the batch again and return the first module whose output is not finite."""
    images, labels, targets = batch
    found: list[str] = []

    def watch(name: str):  # type: ignore[no-untyped-def]
        def look(_module: nn.Module, _inputs: object, output: object) -> None:
            tensors = output if isinstance(output, tuple | list) else [output]
            tensors = [getattr(tensor, "loss", tensor) for tensor in tensors]
            bad = any(
                isinstance(t, Tensor) and t.is_floating_point() and not bool(t.isfinite().all())
                for t in tensors
            )
            if bad and not found:
                found.append(name)

        return look

    alone = world() == 1
    if not alone:  # the others have no such trouble: neither heads nor statistics may wait for them
        embedder.eval()
    hooks = [
        module.register_forward_hook(watch(f"{owner}.{name}" if name else owner))
        for owner, root in _named(embedder, heads)
        for name, module in root.named_modules()
    ]
    try:
        with torch.no_grad():
            with autocast:
                before_norm, embeddings = embedder.around_norm(images)
            if alone:
                heads(embeddings, labels, targets, before_norm)
    finally:
        for hook in hooks:
            hook.remove()
    return f"the output of {found[0]}" if found else None
