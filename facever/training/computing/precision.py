"""The number format and memory layout that a training computes in."""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from facever.core.console import say
from facever.data.machine import multiplies_bfloat16
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.models.precision import PrecisionName, autocast, fastest_layout, has_depthwise
from facever.training.config import TrainConfig

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


def settled(config: TrainConfig, embedder: Embedder, device: torch.device) -> TrainConfig:
    """Return the configuration of a new training with `precision` and `memory_format` named.

    What is "auto" follows from the device, the model's layers and the image size alone: nothing is
    measured, so the same configuration gives the same model again. A line says what was chosen.

    Args:
        config: Of a new training; a resumed one names both.
        embedder: The model, on the CPU. It stays as it is.
        device: The training's.

    Raises:
        ConfigError: channels_last with fp32 on the CPU.
    """
    precision, reason = config.precision, ""
    if precision == "auto":
        drawback = drawback_of_bf16(config, embedder, device)
        precision = "fp32" if drawback else "bf16"
        reason = f": {drawback}" if drawback else ""
    wide = choose_memory_format(config.memory_format, embedder, precision, device)
    layout: Layout = "channels_last" if wide == torch.channels_last else "contiguous"
    named = {"precision": precision, "memory_format": layout}
    if config.precision == "auto" or (config.memory_format == "auto" and layout != "contiguous"):
        say(f"precision {precision}, memory_format {layout} (chosen for this device){reason}")
    return config.model_copy(update=named)


def drawback_of_bf16(config: TrainConfig, embedder: Embedder, device: torch.device) -> str | None:
    """Return why `precision: auto` is fp32 for a model on a device; None where it is bf16."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return None if native else "this GPU has no bfloat16 instructions"
    if not layout_is_safe(config.memory_format, "fp32", device):
        return None  # fp32 can crash in this layout
    if not multiplies_bfloat16():
        return "this CPU has no bfloat16 instructions (AMX, AVX-512 BF16)"
    if has_depthwise(embedder):
        return "depthwise convolutions are slower in bf16 on a CPU"
    if narrow := narrow_maps(embedder):
        return f"{narrow[0]} gives maps one pixel wide, where bf16 is wrong on the CPU"
    return None


def narrow_maps(embedder: Embedder) -> list[str]:
    """Return the names of the convolutions that PyTorch 2.11 gets wrong in bf16 on a CPU.

    A 3 x 3 convolution of stride 2 whose output is one pixel wide reads memory there that was never
    written.
    """
    found: list[str] = []

    def watch(name: str, convolution: nn.Conv2d) -> torch.utils.hooks.RemovableHandle:
        def look(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if output.shape[-1] == 1:
                found.append(name)

        return convolution.register_forward_hook(look)

    hooks = [
        watch(name, part)
        for name, part in embedder.named_modules()
        if isinstance(part, nn.Conv2d) and part.kernel_size[-1] > 1 and part.stride[-1] > 1
    ]
    try:
        embed_blank(embedder)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def embed_blank(embedder: Embedder) -> None:
    """Embed one blank image of the model's size on the CPU; the model stays as it is."""
    was_training = embedder.training
    try:
        with torch.inference_mode():
            embedder.eval()(torch.zeros(1, 3, *embedder.preprocessing.size, dtype=torch.uint8))
    finally:
        embedder.train(was_training)


def require_named(precision: PrecisionName | Literal["auto"]) -> PrecisionName:
    """Return the precision of a training that has begun.

    Raises:
        ConfigError: It is "auto".
    """
    if precision == "auto":
        raise ConfigError(
            "precision is 'auto' in a run that has begun: write what it was trained in, "
            "fp32 or bf16"
        )
    return precision


def layout_is_safe(layout: MemoryFormat, precision: PrecisionName, device: torch.device) -> bool:
    """Return whether nothing is known to crash: fp32 on the CPU must not be channels_last."""
    return layout != "channels_last" or device.type != "cpu" or precision != "fp32"


def choose_memory_format(
    wanted: MemoryFormat, model: nn.Module, precision: PrecisionName, device: torch.device
) -> torch.memory_format:
    """Return the layout of images and convolution weights; "auto" is that of `fastest_layout`.

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
