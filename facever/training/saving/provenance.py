"""What a run is made of: its people, in a file, a line and a hash."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

from facever.core.files import atomic_path
from facever.core.processes import world
from facever.core.text import canonical
from facever.data.manifest import Manifest
from facever.errors import TrainingError
from facever.training.config import TrainConfig


def data_digest(manifests: Iterable[Manifest | None], beside: str = "") -> str:
    """Return a hash of which image shows whom, and of what the heads learn from beside labels.

    Args:
        manifests: In order; None where there is none.
        beside: A hash of the heads' targets, empty where there are none.
    """
    digest = hashlib.sha256(beside.encode())
    for manifest in manifests:
        if manifest is not None:
            rows = manifest.frame[["path", "identity"]]
            digest.update(pd.util.hash_pandas_object(rows, index=True).to_numpy().tobytes())
        digest.update(b"|")
    return digest.hexdigest()


def names_as_trained(manifest: Manifest, identities: Path) -> Manifest:
    """Return the data with the names that a run was trained on.

    Classes are numbered in the order of the names. A run from before names were canonical (see
    `facever.core.text.canonical`) goes on with those that the data spells.

    Args:
        manifest: The data, as it is read today.
        identities: What `write_identities` wrote; not there for a new run.

    Raises:
        TrainingError: The file is damaged.
    """
    if not identities.is_file():
        return manifest
    try:
        names = pd.read_parquet(identities, columns=["identity"])["identity"].astype(str)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{identities} is damaged: restore the file of the run") from error
    return manifest if (names == names.map(canonical)).all() else manifest.as_written()


def write_identities(path: Path, train: Manifest, development: Manifest | None) -> None:
    """Write whom the model is trained on, and on whom its choices are made, as Parquet."""
    frames = []
    for use, manifest in (("train", train), ("development", development)):
        if manifest is not None:
            counts = manifest.frame["identity"].value_counts().sort_index()
            frames.append(
                pd.DataFrame(
                    {
                        "identity": counts.index.astype(str),
                        "dataset": manifest.dataset,
                        "images": counts.to_numpy(),
                        "use": use,
                    }
                )
            )
    with atomic_path(path) as temporary:
        pd.concat(frames, ignore_index=True).to_parquet(temporary)


def summary(
    config: TrainConfig, train: Manifest, development: Manifest | None, device: torch.device
) -> str:
    """Return in one line what is trained on whom."""
    people = "none" if development is None else f"{len(development.identities)} other identities"
    processes = f", {world()} processes" if world() > 1 else ""
    return (
        f"training {config.model.backbone} with {config.criteria} on "
        f"{len(train)} images of {len(train.identities)} identities ({device}, "
        f"{config.precision}{processes}), development: {people}"
    )
