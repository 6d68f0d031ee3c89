"""Where and in which number format and memory layout a model computes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
from torch import nn

from facever.errors import ConfigError

PrecisionName = Literal["fp32", "bf16", "fp16"]

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is the first GPU, else the CPU.

    A GPU chosen by number becomes the current one, which events, profiles and memory belong to.

    Raises:
        ConfigError: No such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device '{name}' (allowed: auto, cpu, cuda, cuda:N)") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device '{name}' is not available: omit `device` or use `cpu`")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def autocast(precision: PrecisionName, device: torch.device) -> AbstractContextManager[None]:
    """Return the context that a model of this precision runs in."""
    half = _HALF.get(precision)
    return torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


def fastest_layout(
    model: nn.Module, precision: PrecisionName, device: torch.device
) -> torch.memory_format:
    """Return the memory layout of images and convolution weights that suits best.

    channels_last is faster on GPUs, and on the CPU for dense convolutions in half precision; there
    it is slower for depthwise ones, and in fp32 some stems crash inside oneDNN.
    """
    half_on_cpu = precision != "fp32" and device.type == "cpu"
    if device.type == "cuda" or (half_on_cpu and not has_depthwise(model)):
        return torch.channels_last
    return torch.contiguous_format


def has_depthwise(model: nn.Module) -> bool:
    """Return whether a model has depthwise (or grouped) convolutions."""
    return any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in model.modules())


@contextmanager
def exact_fp32() -> Iterator[None]:
    """Compute float32 products in float32, whatever a training has set, and restore the setting."""
    convolution = getattr(torch.backends.cudnn, "conv")  # noqa: B009 - made at run time
    before = torch.get_float32_matmul_precision(), convolution.fp32_precision
    torch.set_float32_matmul_precision("highest")
    convolution.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        convolution.fp32_precision = before[1]
