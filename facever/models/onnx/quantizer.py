"""Networks with int8 layers, made by onnxruntime.quantization from one calibration."""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import ModelError
from facever.models.onnx.engine_checks import one_line
from facever.models.onnx.file import OnnxFile
from facever.models.onnx.package import onnx_package, onnxruntime_package
from facever.models.onnx.packed_weights import has_packed_weights, with_float_weights

_LAYERS = ("Conv", "Gemm", "MatMul")
_BETWEEN = ("Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool")  # of convolutional networks
_NORMALISED = ("LayerNormalization", "Softmax", "Erf")  # of transformers: these stay in float
_OLDEST_OPSET = 13  # from here on scales can be per channel


class Quantizer:
    """Makes networks with some layers in int8, as QDQ.

    Args:
        file: The float model.
        folder: A folder for temporary files.
        batches: Arrays as the network takes them, which ranges of activations are from.

    Attributes:
        layers: Names of the layers with weights (Conv, Gemm, MatMul) that can be int8.

    Raises:
        ModelError: The model has no such layer, an older opset, or cannot be calibrated; onnx or
            onnxruntime is not installed.
    """

    def __init__(
        self, file: OnnxFile, folder: Path, batches: Sequence[NDArray[np.float32]]
    ) -> None:
        if file.opset < _OLDEST_OPSET:
            raise ModelError(
                f"{file.path} has opset {file.opset}: int8 needs {_OLDEST_OPSET} or later; export "
                "the model again"
            )
        self._onnx = onnx_package()
        self._path, self._model = file.path, _folded(file, folder)
        operators = {node.op_type for node in self._model.graph.node}
        self._types = [*_LAYERS, *(() if operators & set(_NORMALISED) else _BETWEEN)]
        self.layers = _layers(self._model)
        if not self.layers:
            raise ModelError(f"{file.path} has no layer that can be int8 ({', '.join(_LAYERS)})")
        self._ranges = self._calibrated(folder, batches)

    def quantized(self, *, only: Sequence[str] = (), excluded: Sequence[str] = ()) -> bytes:
        """Return the network with int8 layers.

        Args:
            only: Names of the layers that are int8; all that can be, where it is empty.
            excluded: Names of layers that stay in float.

        Raises:
            ModelError: onnxruntime cannot quantise it.
        """
        quantization = _imported()
        with _quiet(), self._failures():
            maker = quantization.QDQQuantizer(
                copy.deepcopy(self._model),
                True,  # per channel
                True,  # weights of 7 bits
                quantization.QuantType.QInt8,
                quantization.QuantType.QUInt8,
                self._ranges,
                list(only),
                list(excluded),
                self._types,
                {"MatMulConstBOnly": True},
            )
            maker.quantize_model()
            maker.model.topological_sort()
            model = maker.model.model
        return bytes(model.SerializeToString(deterministic=True))

    def _calibrated(self, folder: Path, batches: Sequence[NDArray[np.float32]]) -> Any:
        quantization = _imported()
        name, kind = self._model.graph.input[0].name, self._input_type()
        given: Iterator[dict[str, NDArray[Any]]] = (
            {name: batch.astype(kind, copy=False)} for batch in batches
        )

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
            def get_next(self) -> Any:
                return next(given, None)

        source = folder / "float.onnx"
        self._onnx.save_model(self._model, str(source))
        with _quiet(), self._failures():
            calibrator = quantization.create_calibrator(
                str(source),
                self._types,
                augmented_model_path=str(folder / "ranges.onnx"),
                calibrate_method=quantization.CalibrationMethod.MinMax,
                providers=["CPUExecutionProvider"],
            )
            calibrator.collect_data(Reader())
            return calibrator.compute_data()

    def _input_type(self) -> Any:
        kind = self._model.graph.input[0].type.tensor_type.elem_type
        return self._onnx.helper.tensor_dtype_to_np_dtype(kind)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            raise
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise ModelError(f"{self._path} cannot be quantised: {one_line(str(error))}") from error


def _folded(file: OnnxFile, folder: Path) -> Any:
    """Return the model with float weights, constants computed and batch norms in their layers."""
    onnx, onnxruntime = onnx_package(), onnxruntime_package()
    source, target = folder / "source.onnx", folder / "folded.onnx"
    source.write_bytes(with_float_weights(file) if has_packed_weights(file) else file.content)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise ModelError(f"{file.path} cannot be quantised: {one_line(str(error))}") from error
    model = onnx.load_model(str(target))
    used = {node.domain for node in model.graph.node}
    domains = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:], model.metadata_props[:]
    model.opset_import.extend(domains)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model


def _layers(model: Any) -> list[str]:
    """Return the names of the layers whose weights are constants."""
    held = {one.name for one in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _LAYERS and len(node.input) > 1 and node.input[1] in held
    ]


def _imported() -> Any:
    onnxruntime_package()
    from onnxruntime import quantization

    return quantization


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnxruntime.quantization, which writes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
