from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


@pytest.fixture
def weights() -> np.ndarray:
    """float32 [3, 5]: what the small network multiplies the mean colour of an image by."""
    return np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture
def make_onnx(tmp_path: Path, weights: np.ndarray) -> Callable[..., Path]:
    """Write a small network: the mean colour of an image times `weights`.

    Args of what it returns:
        name: Of the file.
        batch, size: Of the input; texts are free dimensions.
        layout: "NCHW" or "NHWC".
        kind: Of the numbers, a TensorProto.DataType.
        listed: Whether the graph's inputs list initializers, and one that nobody reads, as SFace's.
        last: Further operators after the embedding "vector", as (operator, output).
        outputs: What the graph gives.
        opset: Of the standard operators.
        change: Called with the model before it is written.
    """

    def make(
        name: str = "small.onnx",
        *,
        batch: Any = "batch",
        size: tuple[Any, Any] = (24, 16),
        layout: str = "NCHW",
        kind: int = TensorProto.FLOAT,
        listed: bool = False,
        last: tuple[tuple[str, str], ...] = (),
        outputs: tuple[str, ...] = ("vector",),
        opset: int = OPSET,
        change: Callable[[onnx.ModelProto], None] | None = None,
    ) -> Path:
        shape = [batch, 3, *size] if layout == "NCHW" else [batch, *size, 3]
        axes = [2, 3] if layout == "NCHW" else [1, 2]
        held = [numpy_helper.from_array(weights.astype(_numpy(kind)), "weights")]
        nodes = [
            helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=axes, keepdims=0),
            helper.make_node("MatMul", ["colour", "weights"], ["vector"]),
        ]
        before = "vector"
        for operator, output in last:
            nodes.append(helper.make_node(operator, [before], [output]))
            before = output
        inputs = [helper.make_tensor_value_info("pixels", kind, shape)]
        if listed:
            inputs.append(helper.make_tensor_value_info("weights", kind, [3, 5]))
            inputs.append(helper.make_tensor_value_info("idle", kind, [7]))
        given = [helper.make_tensor_value_info(one, kind, None) for one in outputs]
        graph = helper.make_graph(nodes, "small", inputs, given, held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        if change is not None:
            change(model)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return make


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Eleven image files of several sizes."""
    import cv2

    random = np.random.default_rng(1)
    paths = [tmp_path / "images" / f"p{i % 3}" / f"{i}.png" for i in range(11)]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 256, (20 + i, 30 - i, 3), dtype=np.uint8))
    return paths


def _numpy(kind: int) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind))
