"""The batches that a training's configuration asks for."""

import numpy as np
import pandas as pd
import torch

from facever.core.processes import rank, world
from facever.data.loading import Batches, training_batches
from facever.data.manifest import Manifest
from facever.data.samplers import BatchSampler, ExhaustivePKSampler, PKSampler, ShuffleSampler
from facever.errors import ConfigError
from facever.training.config import TrainConfig


def make_batches(config: TrainConfig, manifest: Manifest, device: torch.device) -> Batches:
    """Return augmented batches of the training images: P x K, or in random order.

    Each process gets its part of every batch, another one than the others.

    Raises:
        ConfigError: A batch that the data cannot fill or that cannot be shared out evenly, or no
            cameras to spread over.
    """
    batch = config.batch
    each = batch.images_per_identity or 1
    if batch.size // each % world():
        held = f" ({batch.size // each} identities x {each})" if each > 1 else ""
        raise ConfigError(
            f"batch.size {batch.size}{held} cannot be divided evenly among {world()} processes: "
            f"take a multiple of {world() * each}"
        )
    sampler: BatchSampler
    if batch.images_per_identity is None:
        sampler = ShuffleSampler(
            len(manifest), batch.size // world(), seed=config.seed, rank=rank(), world=world()
        )
    else:
        drawn = PKSampler if batch.epoch == "identities" else ExhaustivePKSampler
        sampler = drawn(
            manifest.labels(),
            identities=batch.size // each // world(),
            images=each,
            min_images=batch.least_images,
            cameras=_cameras(manifest) if batch.spread_cameras else None,
            seed=config.seed,
            rank=rank(),
            world=world(),
        )
    return training_batches(
        manifest,
        config.model.preprocessing,
        config.augmentation,
        sampler,
        seed=config.seed,
        workers=config.workers,
        on_error=config.data.on_error,
        cache=config.data.cache,
        to_gpu=device.type == "cuda",
        held=2 * config.accumulation + 1,  # an update's, the next one's, one on its way
    )


def _cameras(manifest: Manifest) -> np.ndarray:
    frame = manifest.frame
    if "camera" not in frame:
        raise ConfigError(
            "batch.spread_cameras needs a column 'camera' in the data (found: "
            f"{', '.join(frame.columns)})"
        )
    return pd.factorize(frame["camera"], use_na_sentinel=False)[0]
