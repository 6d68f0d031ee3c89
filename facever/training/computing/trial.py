"""Which number format and memory layout is fastest here: tried out, said, and kept for good."""

import copy
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from facever.core.console import say
from facever.core.processes import world
from facever.core.seeding import stream
from facever.errors import TrainingError
from facever.models.embedder import Embedder
from facever.models.precision import PrecisionName, autocast, fastest_layout
from facever.training.computing.precision import Layout, layout_is_safe
from facever.training.computing.thrift import checkpoint_gradients
from facever.training.config import TrainConfig
from facever.training.saving.checkpoint import random_state, restore_random_state

WARM_UP, ROUNDS = 2, 3
BETTER = 0.95
"""Another choice than the rule's must take less than this part of its time: noise decides nothing,
so that the same configuration gives the same model on the same machine as often as can be."""

Clock = Callable[[Callable[[], None]], float]
"""Runs an action and returns its seconds."""


@dataclass(frozen=True)
class Way:
    """A number format and a layout of images and convolution weights."""

    precision: PrecisionName
    layout: Layout

    def __str__(self) -> str:
        return f"{self.precision} {self.layout}"


@dataclass(frozen=True)
class Trial:
    """What was tried.

    Attributes:
        chosen: What the training computes in.
        seconds: Of an update's forward and backward pass, by what was tried, in order.
        left_out: What may not be taken for this model, with the reason.
    """

    chosen: Way
    seconds: dict[Way, float]
    left_out: dict[Way, str]

    def __str__(self) -> str:
        tried = ", ".join(f"{way} {1000 * time:.0f} ms" for way, time in self.seconds.items())
        out = "".join(f"; not {way}: {reason}" for way, reason in self.left_out.items())
        return f"computes in {self.chosen} (forward + backward of a batch: {tried}{out})"

    def to_dict(self) -> dict[str, object]:
        """Return it for environment.json."""
        return {
            "chosen": vars(self.chosen),
            "update_seconds": {str(way): round(took, 6) for way, took in self.seconds.items()},
            "left_out": {str(way): reason for way, reason in self.left_out.items()},
        }


def settle(
    config: TrainConfig,
    embedder: Embedder,
    device: torch.device,
    clock: Clock | None = None,
) -> tuple[TrainConfig, Trial | None]:
    """Return the configuration with what it left to a trial named, and the trial.

    `precision: auto` is fp32 or bf16, `memory_format: auto` either layout where both are safe. A
    few forward and backward passes of a copy of the model are timed in turns, on made-up images of
    the batch's shape. Weights, running statistics and random numbers stay as they were.

    Args:
        config: Of a new training. What it names is not tried; where one choice is left there is
            no trial, and `memory_format` stays as it is.
        embedder: The model, with its initial weights.
        device: The training's.
        clock: How an update is timed; by default by the wall clock.

    Raises:
        TrainingError: Even the first choice fails, for example for want of memory.
    """
    if config.precision != "auto" and config.memory_format != "auto":
        return config, None
    ways, rule = _ways(config, embedder, device)
    if len(ways) == 1:
        if config.precision == "auto":
            say(f"computes in {rule}: with this memory_format fp32 can crash on the CPU")
        return config.model_copy(update={"precision": ways[0].precision}), None
    images = _images(config)
    with _untouched(device):
        updates = {way: _update(way, embedder, images, device, config) for way in ways}
        seconds, left_out = _measure(updates, rule, clock or _clock(device))
        updates.clear()  # the copies, before memory is given back
    best = min(seconds, key=lambda way: seconds[way])
    chosen = best if seconds[best] < BETTER * seconds[rule] else rule
    trial = Trial(chosen, seconds, left_out)
    say(str(trial))
    update = {"precision": chosen.precision, "memory_format": chosen.layout}
    return config.model_copy(update=update), trial


def _ways(config: TrainConfig, embedder: Embedder, device: torch.device) -> tuple[list[Way], Way]:
    """Return what may be tried, and what is taken where nothing is clearly faster."""
    precisions: tuple[PrecisionName, ...]
    precisions = ("fp32", "bf16") if config.precision == "auto" else (config.precision,)
    layouts: tuple[Layout, ...] = ("contiguous", "channels_last")
    if config.memory_format != "auto":
        layouts = (config.memory_format,)
    ways = [
        Way(*way) for way in product(precisions, layouts) if layout_is_safe(way[1], way[0], device)
    ]
    if not any(isinstance(part, nn.Conv2d) for part in embedder.modules()):
        ways = [way for way in ways if way.layout == layouts[0]] or ways  # nothing to lay out
    first = fastest_layout(embedder, precisions[0], device)
    name: Layout = "channels_last" if first == torch.channels_last else "contiguous"
    rule = Way(precisions[0], name)
    return ways, rule if rule in ways else ways[0]


def _images(config: TrainConfig) -> Tensor:
    """Return uint8 [B, 3, H, W] of noise, as many as one process has in a batch."""
    shape = (config.batch.size // world(), 3, *config.model.preprocessing.size)
    return torch.from_numpy(stream(config.seed, "trial").integers(0, 256, shape, "uint8"))


def _measure(
    tried: dict[Way, Callable[[], None]], rule: Way, clock: Clock
) -> tuple[dict[Way, float], dict[Way, str]]:
    """Return the median seconds of each way that works, and why the others do not."""
    updates: dict[Way, Callable[[], None]] = {}
    left_out: dict[Way, str] = {}
    for way, update in tried.items():
        try:
            for _ in range(WARM_UP):
                update()
        except Unsafe as error:
            left_out[way] = str(error)
        except (RuntimeError, NotImplementedError) as error:  # torch has no kernel, or no memory
            left_out[way] = str(error).splitlines()[0][:120]
        else:
            updates[way] = update
    if rule not in updates:
        raise TrainingError(f"this model cannot be trained in {rule} here: {left_out[rule]}")
    taken: dict[Way, list[float]] = {way: [] for way in updates}
    for _ in range(ROUNDS):  # in turns: a machine's speed drifts
        for way, update in updates.items():
            taken[way].append(clock(update))
    return {way: statistics.median(times) for way, times in taken.items()}, left_out


class Unsafe(Exception):  # noqa: N818
    """A way that works, but gives something else than it should."""


def _update(
    way: Way, embedder: Embedder, images: Tensor, device: torch.device, config: TrainConfig
) -> Callable[[], None]:
    """Return a function that runs forward and backward of a copy of the model.

    Where the precision is left to the trial it raises Unsafe where bf16 is known to go wrong; who
    names bf16 gets it.
    """
    layout = torch.channels_last if way.layout == "channels_last" else torch.contiguous_format
    model = copy.deepcopy(embedder).to(device).to(memory_format=layout).train()
    if config.gradient_checkpointing:
        checkpoint_gradients(model)
    batch = images.to(device).contiguous(memory_format=layout)
    in_question = config.precision == "auto" and way.precision == "bf16" and device.type == "cpu"
    narrow = _narrow_maps(model) if in_question else []

    def update() -> None:
        with autocast(way.precision, device):
            embeddings = model(batch)
        if narrow:
            raise Unsafe(f"{narrow[0]} gives maps one pixel wide, where bf16 is wrong on the CPU")
        embeddings.square().mean().backward()
        model.zero_grad(set_to_none=True)

    return update


def _narrow_maps(model: nn.Module) -> list[str]:
    """Return a list that names, after a forward, the convolutions that PyTorch 2.11 gets wrong.

    In bf16 on a CPU a 3 x 3 convolution of stride 2 whose output is one pixel wide reads memory
    that was never written.
    """
    found: list[str] = []

    def watch(name: str, convolution: nn.Conv2d) -> None:
        def look(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if output.shape[-1] == 1:
                found.append(name)

        convolution.register_forward_hook(look)

    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d) and part.kernel_size[-1] > 1 and part.stride[-1] > 1:
            watch(name, part)
    return found


def _clock(device: torch.device) -> Clock:
    def clock(action: Callable[[], None]) -> float:
        _finish(device)
        began = time.perf_counter()
        action()
        _finish(device)
        return time.perf_counter() - began

    return clock


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _untouched(device: torch.device) -> Iterator[None]:
    """Give back random numbers and memory that are used inside."""
    before = random_state(device)
    try:
        yield
    finally:
        restore_random_state(before, device)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
