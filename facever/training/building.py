"""The parts of a training that its configuration names: the step with its heads, the watch."""

from functools import partial

import torch

from facever.data.manifest import Manifest
from facever.errors import ConfigError
from facever.heads.base import Metric
from facever.heads.registry import build_head
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder
from facever.models.weights import first_line
from facever.processes import world
from facever.training.adversarial import AdversarialStep
from facever.training.beside.targets import Targets
from facever.training.computing.optimization import Schedule, make_optimizer, parameter_groups
from facever.training.computing.parallel import DataParallel, arrange_norms
from facever.training.computing.precision import Precision, choose_memory_format
from facever.training.computing.rows import RowSampling
from facever.training.computing.thrift import checkpoint_gradients, compile_module
from facever.training.config import TrainConfig
from facever.training.steps import EmbeddingStep
from facever.training.watching.watch import Watch


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
    groups = parameter_groups(
        embedder, heads.heads, config.optimizer.weight_decay, config.optimizer.head_lr_scale
    )
    optimizer = make_optimizer(groups, config.optimizer)
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
    config: TrainConfig, heads: WeightedSum, manifest: Manifest, updates_per_epoch: int
) -> Watch:
    """Return the collapse watch for these heads and training images."""
    images = manifest.frame["identity"].value_counts()
    return Watch(
        dict(zip(heads.names, config.heads, strict=True)),
        identities=len(images),
        batch=config.batch.size,
        updates_per_epoch=updates_per_epoch,
        lone=int((images < 2).sum()) if heads.images_per_identity > 1 else 0,
        adversarial=config.adversarial,
    )


def require_size(embedder: Embedder) -> None:
    """Embed a blank image: not every backbone takes every size.

    Raises:
        ConfigError: This one does not take images of the model's size.
    """
    height, width = embedder.preprocessing.size
    was_training = embedder.training
    try:
        with torch.inference_mode():
            embedder.eval()(torch.zeros(1, 3, height, width, dtype=torch.uint8))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"backbone '{embedder.config.backbone}' does not take images of {height} x {width} "
            f"pixels ({first_line(error)}): choose another model.preprocessing.size"
        ) from error
    finally:
        embedder.train(was_training)


def metric_of(config: TrainConfig, heads: WeightedSum) -> Metric:
    """Return what embeddings of this training are compared by."""
    if config.adversarial is not None:  # its triplets are compared on the unit sphere
        return config.metric or "cosine"
    return config.metric or heads.metric


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
