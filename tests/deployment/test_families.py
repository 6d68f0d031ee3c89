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

FAMILIES = {
    "test_resnet": {},
    "mobilenetv4_conv_small_035": {},
    "test_vit": {},
    "test_convnext": {},
}
NECKS = ("linear_bn", "bnneck", "linear", "none")
LOCAL = {"stages": [3, 4], "keypoints": 2}

# Each family with each neck. Keypoints (not of vit, which has no feature maps), mirror images,
# pooling, preprocessing and layout change so that every family and every neck has each of them
# with both values (test_cases_cover).
CASES = [
    # family, neck, keypoints, flip, pooling, place, layout
    ("test_resnet", "linear_bn", True, False, "backbone", "inside", "NHWC"),
    ("test_resnet", "bnneck", False, True, "flatten", "outside", "NCHW"),
    ("test_resnet", "linear", True, True, "backbone", "outside", "NHWC"),
    ("test_resnet", "none", False, False, "backbone", "inside", "NCHW"),
    ("mobilenetv4_conv_small_035", "linear_bn", False, True, "flatten", "inside", "NCHW"),
    ("mobilenetv4_conv_small_035", "bnneck", True, False, "backbone", "outside", "NHWC"),
    ("mobilenetv4_conv_small_035", "linear", False, False, "backbone", "inside", "NHWC"),
    ("mobilenetv4_conv_small_035", "none", True, True, "backbone", "outside", "NCHW"),
    ("test_vit", "linear_bn", False, False, "backbone", "outside", "NCHW"),
    ("test_vit", "bnneck", False, True, "backbone", "inside", "NHWC"),
    ("test_vit", "linear", False, True, "flatten", "inside", "NCHW"),
    ("test_vit", "none", False, False, "backbone", "outside", "NHWC"),
    ("test_convnext", "linear_bn", True, True, "backbone", "inside", "NCHW"),
    ("test_convnext", "bnneck", False, False, "backbone", "outside", "NHWC"),
    ("test_convnext", "linear", False, True, "flatten", "outside", "NCHW"),
    ("test_convnext", "none", True, False, "backbone", "inside", "NHWC"),
]


def test_cases_cover() -> None:
    assert {case[:2] for case in CASES} == {(a, b) for a in FAMILIES for b in NECKS}
    for column in (3, 5, 6):
        for first in (0, 1):
            pairs = {(case[first], case[column]) for case in CASES}
            assert len(pairs) == 8, (first, column)
    keypoints = {(case[0], case[2]) for case in CASES if case[0] != "test_vit"}
    assert len(keypoints) == 6
    assert len({(case[1], case[2]) for case in CASES}) == 8


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
