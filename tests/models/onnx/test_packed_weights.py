"""Weights of few bits are unpacked to the numbers that ONNX's own reference computes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from facever.errors import ModelError
from facever.models.onnx.file import OnnxFile, parse_onnx
from facever.models.onnx.packed_weights import has_packed_weights, with_float_weights

WIDE, HIGH = 10, 6


def packed(scale_shape: tuple[int, ...], zero: bool, axis: int, block: int = 0) -> OnnxFile:
    """A product with packed weights [WIDE, HIGH]."""
    random = np.random.default_rng(abs(axis) + block)
    levels = random.integers(-128, 128, (WIDE, HIGH), dtype=np.int8)
    scale = random.uniform(0.01, 0.1, scale_shape).astype(np.float32)
    shift = random.integers(-9, 9, scale_shape, dtype=np.int8)
    held = [numpy_helper.from_array(levels, "levels"), numpy_helper.from_array(scale, "scale")]
    inputs = ["levels", "scale"]
    if zero:
        held.append(numpy_helper.from_array(shift, "zero"))
        inputs.append("zero")
    attributes = {"axis": axis, **({"block_size": block} if block else {})}
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["weights"], **attributes),
        helper.make_node("MatMul", ["x", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "packed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, HIGH])],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return parse_onnx(Path("packed.onnx"), model.SerializeToString())


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(
    ("scale", "axis", "block"),
    [
        ((), 1, 0),
        ((WIDE,), 0, 0),
        ((HIGH,), 1, 0),
        ((HIGH,), -1, 0),
        ((3, HIGH), 0, 4),
        ((WIDE, 3), 1, 2),
    ],
)
def test_unpacked(scale: tuple[int, ...], axis: int, block: int, zero: bool) -> None:
    file = packed(scale, zero, axis, block)
    assert has_packed_weights(file)
    content = with_float_weights(file)
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert [one.name for one in model.graph.initializer] == ["weights"]
    assert not has_packed_weights(parse_onnx(Path("float.onnx"), content))
    x = np.random.default_rng(0).normal(size=(2, WIDE)).astype(np.float32)
    wanted = ReferenceEvaluator(onnx.load_model_from_string(file.content)).run(None, {"x": x})[0]
    found = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_scales_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match=r"packed\.onnx: weights 'weights'.*float32"):
        with_float_weights(packed((7,), False, 0))
