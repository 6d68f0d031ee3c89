"""Which rows of the data are trained on, and which are kept for choices."""

from facever.data.manifest import Manifest
from facever.data.split import split
from facever.errors import DataError
from facever.training.config import BatchConfig, DataConfig


def select(
    manifest: Manifest, config: DataConfig, batch: BatchConfig, seed: int
) -> tuple[Manifest, Manifest | None]:
    """Return the training and the development manifest, disjoint in identities.

    Raises:
        DataError: Fewer than two identities to train on, or an identity in both parts.
    """
    train = manifest.where(**config.train) if config.train else manifest
    development: Manifest | None = None
    if config.development is not None:
        development = manifest.where(**config.development)
    elif config.development_share:
        train.require_identities(2)
        share = config.development_share
        parts = split(train, {"train": 1 - share, "development": share}, seed=seed)
        train, development = parts.where(subset="train"), parts.where(subset="development")
    if batch.least_images > 1:
        counts = train.frame["identity"].value_counts()
        kept = counts.index[counts >= batch.least_images]
        if not len(kept):
            raise DataError(f"no identity has {batch.least_images} images to train on")
        train = train.select(train.frame["identity"].isin(kept).to_numpy(bool))
    train.require_identities(2)
    if development is not None:
        shared = sorted(set(train.identities) & set(development.identities))
        if shared:
            raise DataError(
                f"{len(shared)} identities are in training and in development (first: "
                f"{shared[0]}): choose data.train and data.development without common people"
            )
        development = development.at_most(config.development_per_identity)
        development.require_identities(2)
    return train, development
