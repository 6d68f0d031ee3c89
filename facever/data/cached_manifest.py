"""Arrays from a library, written once as .npy so that they are read like other images."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from facever.core.cache_folder import cache_folder
from facever.core.files import atomic_folder
from facever.data.manifest import Manifest


def cached_manifest(name: str, load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Manifest:
    """Return the manifest of images cached under `name`; the first call creates them with `load`.

    Args:
        name: The data set's name.
        load: Returns images, uint8 [N, H, W] or [N, H, W, 3], and labels [N].
    """
    folder = cache_folder() / name
    if not (folder / "manifest.csv").is_file():
        images, labels = load()
        paths = [f"images.npy#{index}" for index in range(len(images))]
        with atomic_folder(folder) as temporary:
            np.save(temporary / "images.npy", images)
            frame = pd.DataFrame({"path": paths, "identity": labels.astype(str), "dataset": name})
            Manifest(frame, temporary, name).save(temporary / "manifest.csv")
    return Manifest.from_csv(folder / "manifest.csv")
