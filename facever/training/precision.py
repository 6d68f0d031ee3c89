"""Number formats and memory layouts: what is computed in which."""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from facever.errors import ConfigError

PrecisionName = Literal["fp32", "bf16", "fp16"]
MemoryFormat = Literal["auto", "channels_last", "contiguous"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is the first GPU, else the CPU.

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
        raise ConfigError(f"device '{name}' asked for, but this machine has no such GPU: use cpu")
    return device


class Precision:
    """Autocast and, for fp16, loss scaling."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name, self.device = name, device
        self.scaler = GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context that the embedder's forward runs in."""
        return torch.autocast(
            self.device.type,
            dtype=_AUTOCAST.get(self.name, torch.bfloat16),
            enabled=self.name in _AUTOCAST,
        )


def choose_memory_format(
    wanted: MemoryFormat, model: nn.Module, precision: PrecisionName, device: torch.device
) -> torch.memory_format:
    """Return the layout of images and convolution weights.

    channels_last is faster for half-precision dense convolutions, on GPUs and on the CPU; on the
    CPU it is slower for depthwise ones, and in fp32 some stems crash inside oneDNN.

    Raises:
        ConfigError: channels_last with fp32 on the CPU.
    """
    half_cpu = device.type == "cpu" and precision != "fp32"
    if wanted == "channels_last" and device.type == "cpu" and not half_cpu:
        raise ConfigError(
            "memory_format 'channels_last' with precision 'fp32' can crash on the CPU: "
            "use bf16, or leave memory_format at auto"
        )
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in model.modules())
    automatic = device.type == "cuda" or (half_cpu and not depthwise)
    if wanted == "channels_last" or (wanted == "auto" and automatic):
        return torch.channels_last
    return torch.contiguous_format
