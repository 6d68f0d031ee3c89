"""The number format and memory layout that a training computes in."""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from facever.errors import ConfigError
from facever.models.precision import PrecisionName, autocast, fastest_layout

MemoryFormat = Literal["auto", "channels_last", "contiguous"]


class Precision:
    """Autocast and, for fp16, loss scaling."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name, self.device = name, device
        self.scaler = GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context that the embedder's forward runs in."""
        return autocast(self.name, self.device)


def choose_memory_format(
    wanted: MemoryFormat, model: nn.Module, precision: PrecisionName, device: torch.device
) -> torch.memory_format:
    """Return the layout of images and convolution weights; "auto" is the one that suits best.

    Raises:
        ConfigError: channels_last with fp32 on the CPU.
    """
    if wanted == "auto":
        return fastest_layout(model, precision, device)
    if wanted == "contiguous":
        return torch.contiguous_format
    if device.type == "cpu" and precision == "fp32":
        raise ConfigError(
            "memory_format 'channels_last' with precision 'fp32' can crash on the CPU: "
            "use bf16, or leave memory_format at auto"
        )
    return torch.channels_last
