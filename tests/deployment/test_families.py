"""Every kind of embedder that facever trains exports and keeps its vectors."""

import numpy as np
import onnxruntime
import pytest
import torch

from facever.deployment.cost import BATCHES
from facever.deployment.graph import DeployedNetwork
from facever.deployment.program import OPSET, onnx_program
from facever.embeddings.distances import distances_of
from facever.models.onnx.file import parse_onnx
from tests.deployment.conftest import small_embedder

FAMILIES = ("test_resnet", "test_convnext", "test_efficientnet", "test_vit")
NECKS = ("linear_bn", "bnneck", "linear", "none")
PLACES, LAYOUTS = ("inside", "outside"), ("NHWC", "NCHW")
LOCAL = {"stages": [3, 4], "keypoints": 2}

# Keypoints (not of vit, which has no feature maps), mirror images, pooling, place and layout
# change so that every family and every neck has each of them with both values (test_cases_cover).
# The last one is a network as phones have it.
CASES = [
    # family, neck, keypoints, flip, pooling, place, layout
    ("test_resnet", "linear_bn", True, False, "backbone", "inside", "NHWC"),
    ("test_resnet", "bnneck", False, True, "flatten", "outside", "NCHW"),
    ("test_convnext", "bnneck", True, False, "backbone", "inside", "NHWC"),
    ("test_convnext", "linear_bn", False, True, "flatten", "outside", "NCHW"),
    ("test_efficientnet", "linear", True, True, "backbone", "outside", "NHWC"),
    ("test_efficientnet", "none", False, False, "flatten", "inside", "NCHW"),
    ("test_vit", "none", False, True, "backbone", "outside", "NHWC"),
    ("test_vit", "linear", False, False, "flatten", "inside", "NCHW"),
    ("mobilenetv4_conv_small_035", "none", True, True, "backbone", "outside", "NCHW"),
]


def test_cases_cover() -> None:
    small = [case for case in CASES if case[0] in FAMILIES]
    for first, kinds in ((0, FAMILIES), (1, NECKS)):
        for column in (2, 3, 4, 5, 6):
            pairs = {(case[first], case[column]) for case in (CASES if first else small)}
            lacking = column == 2 and first == 0  # keypoints of vit
            assert len(pairs) == 2 * len(kinds) - lacking, (first, column)
    assert {case[5:] for case in small} == {(a, b) for a in PLACES for b in LAYOUTS}


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[:4])))
def test_exports(case: tuple, pixels: np.ndarray) -> None:
    family, neck, keypoints, flip, pooling, place, layout = case
    values: dict[str, object] = {"backbone": family, "neck": neck, "pooling": pooling}
    if keypoints:
        values["local"] = LOCAL
    if family == "test_vit":
        values["backbone_options"] = {"patch_size": 8}
    if neck == "none":
        values["embedding_size"] = _width(values)
    embedder = small_embedder(**values)
    network = DeployedNetwork(embedder, place, layout, flip).eval()
    content = onnx_program(network, family)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[0] == "batch"
    assert parse_onnx(None, content).opset == OPSET  # type: ignore[arg-type]
    wanted = _by_torch(embedder, pixels, flip)
    given = pixels if layout == "NHWC" else pixels.transpose(0, 3, 1, 2)
    if place == "outside":
        shape = (1, 1, 1, 3) if layout == "NHWC" else (1, 3, 1, 1)
        mean = np.array([0.4, 0.5, 0.6]).reshape(shape) * 255
        std = np.array([0.2, 0.3, 0.4]).reshape(shape) * 255
        given = ((given - mean) / std).astype(np.float32)
    for size in BATCHES:
        found = session.run(["embeddings"], {"images": np.ascontiguousarray(given[:size])})[0]
        assert found.shape == (size, embedder.embedding_size)
        far = distances_of(wanted[:size], found)
        assert far.largest < 1e-9  # allowed: 1e-5
        if place == "inside":
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        else:
            assert far.lengths is not None
            assert far.lengths < 1e-4


def _by_torch(embedder, pixels: np.ndarray, flip: bool) -> np.ndarray:
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        vectors = embedder(images)
        if flip:
            vectors = (vectors + embedder(torch.flip(images, [3]))) / 2
    return vectors.numpy()


def _width(values: dict[str, object]) -> int:
    """Return the number of features before the neck."""
    return small_embedder(**{**values, "neck": "linear"}).width
