"""The parts of a training that its configuration names: the step with its heads, the watch."""

from functools import partial

import torch
from timm.utils import ModelEmaV3

from facever.config import parse
from facever.core.console import say
from facever.core.processes import world
from facever.data.decode import ImageError, decode
from facever.data.machine import require_memory
from facever.data.manifest import Manifest
from facever.errors import ConfigError
from facever.heads.registry import build_head, head_class
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder, ModelConfig
from facever.models.weights import first_line
from facever.training.computing.optimization import Schedule, make_optimizer, parameter_groups
from facever.training.computing.parallel import DataParallel, arrange_norms
from facever.training.computing.precision import Precision, choose_memory_format, embed_blank
from facever.training.computing.rows import RowSampling
from facever.training.computing.thrift import checkpoint_gradients, compile_module
from facever.training.config import TrainConfig
from facever.training.htg.step import AdversarialStep
from facever.training.monitoring.watch import Watch
from facever.training.steps import EmbeddingStep
from facever.training.supervision.targets import Targets

_LOOKED_AT = 10  # images, for the proportions of aligned crops


def require_room(config: TrainConfig, identities: int, batches: int) -> None:
    """Refuse a training whose batches or prototypes alone do not fit into this machine's memory.

    Args:
        config: Of the training.
        identities: C.
        batches: In an epoch; not more than these are added up into one update.

    Raises:
        ConfigError: Names the settings, what they need and what is free.
    """
    batch, (height, width) = config.batch.size, config.model.preprocessing.size
    together = batch // world() * min(config.accumulation, batches)
    pixels = 3 * height * width * (together + 4 * batch // world())  # and one batch as numbers
    require_memory(
        pixels,
        f"batch.size {batch:,} x accumulation {config.accumulation:,} of {height} x {width} pixels",
    )
    if config.prototypes.stored == "whole":
        size = config.model.embedding_size
        held = sum(head_class(head.name).arrangeable for head in config.heads)
        require_memory(
            2 * 4 * held * identities * size,  # and their gradient
            f"{identities:,} prototypes of embedding_size {size:,}",
        )


def with_alignment(config: TrainConfig, images: Manifest) -> TrainConfig:
    """Return the configuration whose model carries the alignment of the images; a line says so.

    Raises:
        ConfigError: The model is configured to another one, or its images have other proportions
            than the aligned crops.
        DataError: The images are of several.
    """
    found, wanted = images.alignment, config.model.alignment
    if found != "none":
        _require_proportions(config, images)
    if found in ("none", wanted):
        return config
    if wanted != "none":
        raise ConfigError(
            f"model.alignment is {wanted}, and {images.dataset} is aligned by {found}: omit it"
        )
    say(f"the images are aligned by {found}: the model will align photos so (model.alignment)")
    changed = {**config.model.model_dump(mode="json"), "alignment": found}
    return config.model_copy(update={"model": parse(ModelConfig, changed, where=images.dataset)})


def _require_proportions(config: TrainConfig, images: Manifest) -> None:
    """Refuse a model that would stretch aligned crops: its photos would be aligned otherwise."""
    height, width = config.model.preprocessing.size
    for row in range(min(len(images), _LOOKED_AT)):
        try:
            shape = decode(images.locate(row), unended=[]).shape
        except ImageError:
            continue  # the training says what becomes of it
        if abs(shape[0] * width - shape[1] * height) > max(shape[:2]):  # a pixel of rounding
            raise ConfigError(
                f"model.preprocessing.size is {height} x {width}, and the aligned crops of "
                f"{images.dataset} have {shape[0]} x {shape[1]} pixels: give a size of the same "
                "proportions, or align the photos again (facever data align --size)"
            )


def make_embedder(config: ModelConfig, resumed: bool) -> Embedder:
    """Return the model; of a resumed run without pretrained weights: its checkpoint has all."""
    start = {"pretrained": False} if resumed else {}
    embedder = Embedder(config.model_copy(update=start))
    embedder.config = config
    _require_size(embedder)
    return embedder


def make_average(config: TrainConfig, embedder: Embedder) -> ModelEmaV3 | None:
    """Return the moving average of the weights where there is to be one."""
    if config.ema_decay is None:
        return None
    return ModelEmaV3(embedder, decay=config.ema_decay, use_warmup=True)


def make_step(
    config: TrainConfig,
    embedder: Embedder,
    identities: int,
    updates_per_epoch: int,
    precision: Precision,
    targets: Targets,
) -> EmbeddingStep:
    """Return what happens to a batch, with the embedder and new heads on the device.

    Raises:
        ConfigError: Heads, optimizer or layout that cannot be used.
    """
    device = precision.device
    arrange_norms(embedder, config.distributed, device)
    layout = choose_memory_format(config.memory_format, embedder, precision.name, device)
    embedder.to(device).to(memory_format=layout)
    if config.gradient_checkpointing:
        checkpoint_gradients(embedder)
    heads = _make_heads(config, identities, updates_per_epoch).to(device)
    chosen = config.optimizer
    groups = parameter_groups(
        embedder,
        heads.heads,
        chosen.weight_decay,
        chosen.head_lr_scale,
        chosen.backbone_lr_scale,
    )
    optimizer = make_optimizer(groups, chosen)
    schedule = Schedule(optimizer, config.schedule, config.epochs, updates_per_epoch)
    on_embedding = config.adversarial is not None or any(
        head.input == "embedding" for head in config.heads
    )
    size = config.model.preprocessing.size
    own = torch.zeros(config.batch.size // world(), 3, *size, dtype=torch.uint8, device=device)
    own = own.contiguous(memory_format=layout)
    compiler = partial(compile_module, example=own, precision=precision)
    parallel = DataParallel(
        embedder,
        config.distributed,
        example=own[:2],
        only_before_norm=not on_embedding,
        compiler=compiler if config.compile else None,
        recomputes=config.gradient_checkpointing,
        frozen_updates=round(config.model.frozen_epochs * updates_per_epoch),
    )
    parts = (
        *(embedder, heads, optimizer, schedule, precision, layout),
        *(config.clip_norm, targets, parallel),
    )
    if config.adversarial is None:
        share = config.prototypes.sampled
        rows = RowSampling(heads.heads, optimizer, share, config.seed) if share < 1 else None
        return EmbeddingStep(*parts, rows=rows)
    return AdversarialStep(
        *parts,
        config=config.adversarial,
        epochs=config.epochs,
        updates_per_epoch=updates_per_epoch,
        whole_batch=config.distributed.pairs == "global",
    )


def make_watch(
    config: TrainConfig, step: EmbeddingStep, manifest: Manifest, updates_per_epoch: int
) -> Watch:
    """Return the collapse watch for a step's heads and these training images."""
    heads = step.heads
    images = manifest.frame["identity"].value_counts()
    return Watch(
        dict(zip(heads.names, heads.heads, strict=True)),
        batch=config.batch.size,
        updates_per_epoch=updates_per_epoch,
        lone=int((images < 2).sum()),
        heads_loss=step.heads_loss,
        others=step.watched,
    )


def _require_size(embedder: Embedder) -> None:
    """Embed a blank image: not every backbone takes every size.

    Raises:
        ConfigError: This one does not take images of the model's size.
    """
    try:
        embed_blank(embedder)
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = embedder.preprocessing.size
        raise ConfigError(
            f"backbone '{embedder.config.backbone}' does not take images of {height} x {width} "
            f"pixels ({first_line(error)}): choose another model.preprocessing.size"
        ) from error


def _make_heads(config: TrainConfig, identities: int, updates_per_epoch: int) -> WeightedSum:
    heads = WeightedSum(
        [
            build_head(head, config.model.embedding_size, identities, config.prototypes)
            for head in config.heads
        ],
        updates_per_epoch,
    )
    for head in heads.heads:  # what the class alone could not tell, such as pml:NAME
        if head.images_per_identity > (config.batch.images_per_identity or 1):
            raise ConfigError(
                f"head '{head.name}' compares images of one identity: set "
                f"batch.images_per_identity to {head.images_per_identity} or more"
            )
        if head.images_per_identity > 1 and config.distributed.pairs == "global":
            head.whole_batch = True
    return heads
