"""Weights of few bits in an ONNX file whose layers compute in float: unpacked to float32.

Such a file holds integers and scales, per channel or per block (DequantizeLinear of constants).
The unpacked numbers are those that an engine computes from them.

Reference: ONNX, operator DequantizeLinear, opset 21 (block_size).
"""

from typing import Any

from facever.errors import ModelError
from facever.models.onnx.file import OnnxFile
from facever.models.onnx.package import onnx_package

_UNPACK = "DequantizeLinear"


def has_packed_weights(file: OnnxFile) -> bool:
    """Return whether weights are quantised and no layer is: the network computes in float."""
    operators = set(file.makers.values())
    return _UNPACK in operators and not any(
        "Quant" in name or name.startswith("QLinear") for name in operators - {_UNPACK}
    )


def with_float_weights(file: OnnxFile) -> bytes:
    """Return the bytes of a model with constants in the place of its packed weights.

    Raises:
        ModelError: The package onnx is not installed, or weights cannot be unpacked.
    """
    onnx = onnx_package()
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_model_from_string(file.content)
    graph = model.graph
    held = {one.name: one for one in graph.initializer}
    kept: list[Any] = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type != _UNPACK or any(name not in held for name in inputs):
            kept.append(node)
            continue
        output = onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
        alone = onnx.helper.make_graph([node], "one", [], [output], [held[i] for i in inputs])
        network = onnx.helper.make_model(alone, opset_imports=model.opset_import)
        try:
            value = ReferenceEvaluator(network).run(None, {})[0]
        except Exception as error:  # the reference's errors have no class of their own
            raise ModelError(
                f"{file.path}: weights '{node.output[0]}' cannot be unpacked: export the model in "
                "float32"
            ) from error
        graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
    read = {name for node in kept for name in node.input}
    needed = [one for one in graph.initializer if one.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(needed)
    return bytes(model.SerializeToString(deterministic=True))
