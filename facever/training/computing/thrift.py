"""Less memory or time for the same model: gradient checkpointing and torch.compile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from facever.core.console import duration, say, warn
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.training.computing.precision import Precision
from facever.training.saving.checkpoint import random_state, restore_random_state

COMPILER = "inductor"


def checkpoint_gradients(embedder: Embedder) -> None:
    """Let the backbone keep the inputs of its stages only and compute the rest again.

    Raises:
        ConfigError: timm has no checkpointing for this backbone, or not for how it is used.
    """
    name = embedder.config.backbone
    if embedder.local is not None:
        raise ConfigError(
            "gradient_checkpointing cannot be used with model.local: set one of them to its default"
        )
    try:
        embedder.backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, AttributeError) as error:
        raise ConfigError(
            f"backbone '{name}' has no gradient checkpointing: set gradient_checkpointing to false"
        ) from error


@contextmanager
def buffers_kept(module: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Give the buffers of a module back the values that they had before.

    Around a backward pass that computes forward passes again, so that the running statistics of
    BatchNorm take every batch in once.
    """
    before = [(buffer, buffer.clone()) for buffer in module.buffers()] if wanted else []
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


def compile_module(module: nn.Module, example: Tensor, precision: Precision) -> bool:
    """Compile a module by torch.compile, in place; where that fails, say so and leave it as it is.

    Args:
        module: Gives a tensor, or several.
        example: What it is tried out with, forward and backward: a batch as those to come.
        precision: What it runs in.

    Returns:
        Whether it is compiled.
    """
    say("torch.compile builds kernels for this model; this can take minutes")
    began, before = time.monotonic(), random_state(precision.device)
    module.compile(backend=COMPILER)
    try:
        with buffers_kept(module):
            with precision.autocast():
                outputs = module(example)
            tensors = [outputs] if isinstance(outputs, Tensor) else list(outputs)
            torch.autograd.backward([tensor.sum() for tensor in tensors])
    except Exception as error:  # of the compiler, whatever it may be
        module._compiled_call_impl = None
        reason = " ".join(str(error).split())[:160]
        warn(f"torch.compile failed and is not used: {reason}")
        return False
    finally:
        module.zero_grad(set_to_none=True)
        restore_random_state(before, precision.device)
    say(f"compiled in {duration(time.monotonic() - began)}")
    return True
