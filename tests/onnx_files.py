"""Small ONNX files as other people's tools write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def write_network(
    path: Path,
    weights: np.ndarray,
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
    """Write a small network: the mean colour of an image times `weights`.

    Args:
        path: Where to.
        weights: [channels, D].
        batch, size: Of the input; texts are free dimensions.
        layout: "NCHW" or "NHWC".
        kind: Of the numbers, a TensorProto.DataType; of uint8 levels the mean is float32.
        listed: Whether the graph's inputs list initializers, and one that nobody reads, as SFace's.
        last: Further operators after the embedding "vector", as (operator, output).
        outputs: What the graph gives.
        opset: Of the standard operators.
        change: Called with the model before it is written.
    """
    channels, width = weights.shape
    shape = [batch, channels, *size] if layout == "NCHW" else [batch, *size, channels]
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    inner = TensorProto.FLOAT if kind == TensorProto.UINT8 else kind
    held = [numpy_helper.from_array(weights.astype(_numpy(inner)), "weights")]
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["vector"]),
    ]
    if inner != kind:
        nodes[0].input[0] = "levels"
        nodes.insert(0, helper.make_node("Cast", ["pixels"], ["levels"], to=inner))
    before = "vector"
    for operator, output in last:
        nodes.append(helper.make_node(operator, [before], [output]))
        before = output
    inputs = [helper.make_tensor_value_info("pixels", kind, shape)]
    if listed:
        inputs.append(helper.make_tensor_value_info("weights", inner, [channels, width]))
        inputs.append(helper.make_tensor_value_info("idle", inner, [7]))
    given = [helper.make_tensor_value_info(one, inner, None) for one in outputs]
    graph = helper.make_graph(nodes, "small", inputs, given, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    if change is not None:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


def _numpy(kind: int) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind))


def write_export(path: Path, weights: np.ndarray, fingerprint: str, **values: Any) -> Path:
    """Write a small network as `facever export` writes one, with its card.

    Args:
        path: Where to.
        weights: As in `write_network`.
        fingerprint: Of the model that it says it was exported from.
        values: Of its card; `last` and `outputs` go to `write_network`.
    """
    from facever.models.onnx.card import KEY, Card
    from facever.models.onnx.export_record import ExportRecord
    from facever.models.onnx.file import parse_onnx, with_metadata

    network = {name: values.pop(name) for name in ("last", "outputs") if name in values}
    write_network(path, weights, **network)
    file = parse_onnx(path, path.read_bytes())
    card = Card(
        size=(24, 16),
        input="pixels",
        output=file.outputs[0].name,
        dimension=weights.shape[1],
        source_sha256="0" * 64,
        body_sha256=file.body_sha256,
        export=ExportRecord("0" * 64, fingerprint, "outside", OPSET, "2026-11-29T00:00:00+00:00"),
    )
    content = with_metadata(file.content, {KEY: card.with_values(values).to_json()})
    path.write_bytes(content)
    return path
