"""What a run is made of: its people, in a file, a line and a hash."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

from facever.data.manifest import Manifest
from facever.files import atomic_path
from facever.processes import world
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
    names = [head.name for head in config.heads]
    heads = " + ".join(names if config.adversarial is None else [*names, "HTG"])
    processes = f", {world()} processes" if world() > 1 else ""
    return (
        f"training {config.model.backbone} with {heads} on "
        f"{len(train)} images of {len(train.identities)} identities ({device}, "
        f"{config.precision}{processes}), development: {people}"
    )
