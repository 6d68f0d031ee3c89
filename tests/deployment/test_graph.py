import numpy as np
import pytest
import torch

from facever.deployment.graph import DeployedNetwork
from tests.deployment.conftest import SIZE, small_embedder


@pytest.mark.parametrize("color", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_inside_is_the_preprocessing(color: str, layout: str, pixels: np.ndarray) -> None:
    said = {"size": list(SIZE), "color": color, "mean": [0.1, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    embedder = small_embedder(preprocessing=said)
    prepared = np.stack([embedder.preprocessing.apply(image) for image in pixels])
    given = pixels if layout == "NHWC" else pixels.transpose(0, 3, 1, 2)
    with torch.no_grad():
        wanted = embedder.embed(torch.from_numpy(prepared.transpose(0, 3, 1, 2).copy()))
        network = DeployedNetwork(embedder, "inside", layout, False)  # type: ignore[arg-type]
        found = network(torch.from_numpy(given.copy()))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_every_grey_level_is_opencvs() -> None:
    import cv2

    levels = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    embedder = small_embedder(preprocessing={"size": 32, "color": "grey"})
    network = DeployedNetwork(embedder, "inside", "NHWC", False)
    found = network._recolored(torch.from_numpy(levels[None]).permute(0, 3, 1, 2))
    wanted = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
    for channel in range(3):
        np.testing.assert_array_equal(found[0, channel].numpy(), wanted)
