"""From a torch network to the bytes of an ONNX model.

Only here torch's exporter, and the packages onnx and onnxscript, are used.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch import nn

from facever.deployment.graph import DeployedNetwork
from facever.errors import ModelError
from facever.models.weights import first_line

OPSET = 18
"""Of the standard operators: the lowest that torch's exporter writes, for older runtimes."""

INPUT, OUTPUT, BATCH = "images", "embeddings", "batch"

_EXAMPLES = 2  # images: a batch of one would be taken for a constant
_STATIC = "inferred a static shape"  # of torch.export
_FIXED = (
    "cannot be exported: its forward fixes the batch size; use images.shape[0], not len(images) or "
    "a Python number, and operations on the whole batch"
)
_FAMILIAR = ("torch.", "torchvision.", "timm.", "facever.")
_FLOAT_OPERATORS = ("ReduceL2", "Clip", "Expand", "Div")  # the unit length: fp16 overflows


def onnx_program(network: DeployedNetwork, backbone: str) -> bytes:
    """Return an ONNX model of a network, with a free batch size.

    The bytes hold no paths, source lines or times; those of the same network, by the same versions
    of the packages, are equal.

    Args:
        network: In evaluation mode, on the CPU, float32.
        backbone: Name of the model's backbone, for messages.

    Raises:
        ModelError: A package is missing; a module of the network cannot be exported (the message
            names it); or the exporter has fixed the batch size.
    """
    require_packages()
    height, width = network.embedder.preprocessing.size
    shape = (3, height, width) if network.layout == "NCHW" else (height, width, 3)
    kind = torch.uint8 if network.inside else torch.float32
    example = torch.zeros((_EXAMPLES, *shape), dtype=kind)
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises anything, a user's forward too
        fixed = any(_STATIC in str(one) for one in _causes(error))
        raise ModelError(
            f"backbone '{backbone}' {_FIXED}" if fixed else _reason(error, network, backbone)
        ) from error
    model = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ModelError(f"backbone '{backbone}' {_FIXED}")
    _clean(model)
    return bytes(model.SerializeToString(deterministic=True))


def half_precision(content: bytes) -> bytes:
    """Return an ONNX model with float16 weights and operators; inputs and outputs are kept."""
    onnx = require_packages()
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise ModelError(
            "fp16 needs onnxruntime, which is not installed: pip install 'facever[export]'"
        ) from error
    model = onnx.load_model_from_string(content)
    blocked = _unit_length(model.graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that become 0 or the largest float16
        made = convert_float_to_float16(model, keep_io_types=True, node_block_list=blocked)
    return bytes(made.SerializeToString(deterministic=True))


def require_packages() -> Any:
    """Return the module onnx.

    Raises:
        ModelError: onnx, onnxscript or onnxruntime is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(name)
        except ImportError as error:
            raise ModelError(
                f"the export needs the package {name}, which is not installed: "
                "pip install 'facever[export]'"
            ) from error
    import onnx

    return onnx


def _unit_length(graph: Any) -> list[str]:
    """Return the names of the last nodes of a graph, which divide vectors by their length."""
    makers = {output: node for node in graph.node for output in node.output}
    found, wanted = [], [graph.output[0].name]
    while wanted:
        node = makers.get(wanted.pop())
        if node is not None and node.op_type in _FLOAT_OPERATORS and node.name not in found:
            found.append(node.name)
            wanted += node.input
    return found


def _clean(model: Any) -> None:
    """Remove source lines and paths, also of graphs within nodes, and name the free dimension."""
    free = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for part in _messages(model):
        for name in ("metadata_props", "doc_string"):
            if name in part.DESCRIPTOR.fields_by_name:
                part.ClearField(name)
        if part.DESCRIPTOR.name == "Dimension" and part.dim_param == free:
            part.dim_param = BATCH
    model.graph.name, model.producer_version = "embedder", torch.__version__


def _messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and all within it, at any depth."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(part)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's reports on its progress, and its warnings, from a command's output."""
    levels = {name: logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")}
    before = {name: log.level for name, log in levels.items()}
    said = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        warnings.simplefilter("ignore")
        for log in levels.values():
            log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, log in levels.items():
                log.setLevel(before[name])


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it, the first cause last."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return causes


def _reason(error: BaseException, network: nn.Module, backbone: str) -> str:
    """Return one line that names the module that cannot be exported."""
    causes = _causes(error)
    module = next((found for one in causes[::-1] if (found := _module_of(one, network))), "")
    said = first_line(causes[-1])
    where = f", in {module}" if module else ""
    return (
        f"backbone '{backbone}' cannot be exported to ONNX{where}: {type(causes[-1]).__name__}: "
        f"{said}; rewrite that module with operations that torch.export can follow"
    )


def _module_of(error: BaseException, network: nn.Module) -> str:
    """Return the innermost module of a user's own in whose code an error arose, and the line."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        frame: FrameType = trace.tb_frame
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and not type(owner).__module__.startswith(_FAMILIAR):
            file = frame.f_code.co_filename
            found = f"module {_place(owner, network)}({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _place(module: nn.Module, network: nn.Module) -> str:
    kind = f"{type(module).__module__}:{type(module).__name__} "
    name = next((name for name, one in network.named_modules() if one is module), "")
    return f"'{name.removeprefix('embedder.')}' {kind}" if name else kind
