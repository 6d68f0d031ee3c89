"""The number format and memory layout that a training computes in."""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from facever.errors import ConfigError
from facever.models.precision import PrecisionName, autocast, fastest_layout

Layout = Literal["channels_last", "contiguous"]
MemoryFormat = Literal["auto"] | Layout


class Precision:
    """Autocast and, for fp16, loss scaling."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name, self.device = name, device
        self.scaler = GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context that the embedder's forward runs in."""
        return autocast(self.name, self.device)


def named(precision: PrecisionName | Literal["auto"]) -> PrecisionName:
    """Return the precision of a training whose trial, if any, is over.

    Raises:
        ConfigError: It is still "auto".
    """
    if precision == "auto":
        raise ConfigError(
            "precision is 'auto' in a run that has begun: write what it was trained in, "
            "fp32 or bf16"
        )
    return precision


def layout_is_safe(layout: Layout, precision: PrecisionName, device: torch.device) -> bool:
    """Return whether nothing is known to crash: in fp32 on the CPU only contiguous images are."""
    return layout == "contiguous" or device.type != "cpu" or precision != "fp32"


def choose_memory_format(
    wanted: MemoryFormat, model: nn.Module, precision: PrecisionName, device: torch.device
) -> torch.memory_format:
    """Return the layout of images and convolution weights; "auto" is the one that suits best.

    A new training tries both out before (`facever.training.computing.trial`).

    Raises:
        ConfigError: channels_last with fp32 on the CPU.
    """
    if wanted == "auto":
        return fastest_layout(model, precision, device)
    if wanted == "contiguous":
        return torch.contiguous_format
    if not layout_is_safe(wanted, precision, device):
        raise ConfigError(
            "memory_format 'channels_last' with precision 'fp32' can crash on the CPU: "
            "use bf16, or leave memory_format at auto"
        )
    return torch.channels_last
