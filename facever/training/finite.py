"""NaN and infinity: stop at once, and say where they first appear."""

import torch
from torch import Tensor, nn

from facever.errors import TrainingError


def require_finite(
    value: Tensor,
    what: str,
    step: int,
    embedder: nn.Module,
    heads: nn.Module,
    batch: tuple[Tensor, ...],
) -> None:
    """Stop the training when `value` is not finite.

    Args:
        value: A loss or a norm, 0-d.
        what: What `value` is, for the message.
        step: The update's number.
        embedder: Searched for its first layer with a value that is not finite.
        heads: Searched likewise.
        batch: (images, labels) to run through them again, or () to look at gradients only.

    Raises:
        TrainingError: Names the step, the head and the first layer.
    """
    if bool(torch.isfinite(value)):
        return
    first = _bad_parameter(embedder, heads) or (
        _bad_output(embedder, heads, *batch) if batch else _bad_gradient(embedder, heads)
    )
    raise TrainingError(
        f"step {step}: {what} is {value.item()}; first seen in {first or 'the sum of the losses'}. "
        "Lower optimizer.lr, lengthen schedule.warmup_epochs, or use precision fp32"
    )


def _named(embedder: nn.Module, heads: nn.Module) -> list[tuple[str, nn.Module]]:
    return [("embedder", embedder), ("heads", heads)]


def _bad_parameter(embedder: nn.Module, heads: nn.Module) -> str | None:
    for owner, module in _named(embedder, heads):
        for name, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                return f"parameter {owner}.{name}"
    return None


def _bad_gradient(embedder: nn.Module, heads: nn.Module) -> str | None:
    """Return the first parameter, counted from the loss back, whose gradient is not finite."""
    for owner, module in reversed(_named(embedder, heads)):
        for name, parameter in reversed(list(module.named_parameters())):
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                return f"the gradient of {owner}.{name}"
    return None


def _bad_output(
    embedder: nn.Module, heads: nn.Module, images: Tensor, labels: Tensor
) -> str | None:
    """Run the batch again and return the first module whose output is not finite."""
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

    hooks = [
        module.register_forward_hook(watch(f"{owner}.{name}" if name else owner))
        for owner, root in _named(embedder, heads)
        for name, module in root.named_modules()
    ]
    try:
        with torch.no_grad():
            heads(embedder(images), labels)
    finally:
        for hook in hooks:
            hook.remove()
    return f"the output of {found[0]}" if found else None
