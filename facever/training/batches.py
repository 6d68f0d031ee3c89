"""The batches that a training's configuration asks for."""

import numpy as np

from facever.data.loading import Batches, training_batches
from facever.data.manifest import Manifest
from facever.data.samplers import BatchSampler, PKSampler, ShuffleSampler
from facever.errors import ConfigError
from facever.training.config import TrainConfig


def make_batches(config: TrainConfig, manifest: Manifest) -> Batches:
    """Return augmented batches of the training images: P x K, or in random order.

    Raises:
        ConfigError: A batch that the data cannot fill, or no cameras to spread over.
    """
    batch = config.batch
    sampler: BatchSampler
    if batch.images_per_identity is None:
        sampler = ShuffleSampler(len(manifest), batch.size, seed=config.seed)
    else:
        sampler = PKSampler(
            manifest.labels(),
            identities=batch.size // batch.images_per_identity,
            images=batch.images_per_identity,
            min_images=batch.least_images,
            cameras=_cameras(manifest) if batch.spread_cameras else None,
            seed=config.seed,
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
    )


def _cameras(manifest: Manifest) -> np.ndarray:
    frame = manifest.frame
    if "camera" not in frame:
        raise ConfigError(
            "batch.spread_cameras needs a column 'camera' in the data (found: "
            f"{', '.join(frame.columns)})"
        )
    return frame["camera"].to_numpy()
