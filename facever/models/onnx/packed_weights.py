"""Weights of few bits in an ONNX file whose layers compute in float: unpacked to float32.

Such a file holds integers and scales, per channel or per block (DequantizeLinear of constants).
The unpacked numbers are those that an engine computes from them.

Reference: ONNX, operator DequantizeLinear, opset 21 (block_size).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    model = onnx.load_model_from_string(file.content)
    graph = model.graph
    held = {one.name: one for one in graph.initializer}
    kept: list[Any] = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type != _UNPACK or any(name not in held for name in inputs):
            kept.append(node)
            continue
        attributes = {one.name: one.i for one in node.attribute}
        values = [onnx.numpy_helper.to_array(held[name]) for name in inputs]
        try:
            value = _unpacked(*values, **attributes)
        except (TypeError, ValueError, IndexError) as error:
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


def _unpacked(
    levels: NDArray[Any],
    scale: NDArray[Any],
    zero: NDArray[Any] | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    **_: int,
) -> NDArray[np.float32]:
    """Return (levels - zero) x scale; scale and zero are of all, of a channel or of a block."""

    def spread(value: NDArray[Any]) -> NDArray[np.float32]:
        value = value.astype(np.float32)
        if value.size == 1:
            return value.reshape(())
        if block_size:
            return value.repeat(block_size, axis)[(slice(None),) * axis + (slice(long),)]
        return value.reshape([-1 if one == axis else 1 for one in range(levels.ndim)])

    axis %= levels.ndim
    long = levels.shape[axis]
    shifted = levels.astype(np.float32) - (0 if zero is None else spread(zero))
    return shifted * spread(scale)
