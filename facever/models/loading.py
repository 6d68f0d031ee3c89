"""One way in for every model: a run, a .safetensors file, ONNX, a public model or a plug-in."""

import json
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

from facever.core.extras import named_extras
from facever.core.run_folder import RunFolder
from facever.errors import ConfigError, ModelError, unknown
from facever.models.extraction import LoadedModel, Precision
from facever.models.plugin import is_plugin_model, open_plugin_model

Engine: TypeAlias = Literal["auto", "torch", "onnxruntime", "openvino"]

ONNX = ".onnx"
ENGINES: tuple[Engine, ...] = ("auto", "torch", "onnxruntime", "openvino")
_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin")


def load_model(
    model: str | Path,
    *,
    device: str = "auto",
    flip: bool = False,
    precision: Precision | None = None,
    batch_size: int = 64,
    engine: Engine = "auto",
) -> LoadedModel:
    """Load a model. A torch model needs torch, an ONNX model does not.

    Engine and precision are part of the model's fingerprint: vectors of another engine or precision
    are of another embedding space.

    Args:
        model: A run folder, a .safetensors file that facever wrote, an .onnx file that
            `facever models add` wrote, or the name of a public model such as "sface" (see
            `facever models list`); or a model of another package: "package.module:Name", or the
            name of its entry point (docs/plug-ins.md). A file or folder of that name goes first.
        device: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N"; ONNX models are
            computed on the CPU.
        flip: Embed each image and its mirror image, and average the two embeddings before
            normalising; twice the time.
        precision: Number format of the computation. A torch model has "fp32" (default) and "bf16",
            which is faster where the processor has it and gives other vectors. An ONNX model is
            computed in the numbers of its file (default): "fp32", "fp16" or "int8"; OpenVINO also
            has "bf16" for files of fp32.
        batch_size: Images that are embedded together.
        engine: What computes: "torch", "onnxruntime" or "openvino". "auto" is torch for a run and
            onnxruntime for an ONNX model; it depends on nothing else. A run is computed by
            "onnxruntime" or "openvino" where it has a model.onnx (`facever export`).

    Raises:
        ModelError: There is no usable model; the engine is not installed.
        ConfigError: An unknown device, engine or precision, or one that the model or the processor
            does not have; a batch size below 1; a package that cannot be imported.

    Example:
        >>> model = facever.load_model("sface")  # doctest: +SKIP
        >>> a, b = model.embed(["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> float(a @ b)  # doctest: +SKIP
        0.71
    """
    if engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    if is_onnx(model):
        if engine == "torch":
            raise ConfigError(
                f"engine is 'torch': {model} is an ONNX model (allowed: auto, onnxruntime, "
                "openvino)"
            )
        return _open_onnx(model, device, flip, precision, batch_size, engine)
    if is_plugin_model(os.fspath(model)):
        return open_plugin_model(os.fspath(model), device, flip, precision, batch_size, engine)
    path = Path(model)
    refuse_weights(path)
    if engine not in ("auto", "torch"):
        return _open_exported(path, device, flip, precision, batch_size, engine)
    with named_extras():  # torch, for those who need it
        from facever.models.extractor import Extractor
        from facever.models.saving import load_embedder

    embedder, card = load_embedder(path)
    return Extractor(embedder, card, device, flip, precision, batch_size, path)


def has_onnx(model: str | os.PathLike[str]) -> bool:
    """Return whether an engine of ONNX models can compute a model: ONNX, or a run with a file."""
    return is_onnx(model) or RunFolder(Path(model)).onnx.is_file()


def _open_onnx(
    model: str | Path,
    device: str,
    flip: bool,
    precision: Precision | None,
    batch_size: int,
    engine: Engine,
) -> LoadedModel:
    from facever.models.onnx.opening import open_onnx

    return open_onnx(
        model,
        device,
        flip,
        precision,
        batch_size,
        "openvino" if engine == "openvino" else "onnxruntime",
    )


def _open_exported(run: Path, *options: Any) -> LoadedModel:
    """Open the ONNX file of a run, if it was exported from the run's weights.

    Raises:
        ModelError: It is of other weights, or there is none.
    """
    path = _exported(run, options[-1])
    model, weights = _open_onnx(path, *options), RunFolder(run).model
    record = getattr(getattr(model, "card", None), "export", None)
    if weights.is_file() and (record is None or record.model_hash != _said_hash(weights)):
        raise ModelError(
            f"{path} was not exported from {weights}, or the run was trained further since: export "
            f"it again (facever export {run} --out {path} --overwrite)"
        )
    return model


def _said_hash(weights: Path) -> str:
    """Return the hash that a .safetensors file of facever says it has, without reading tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as file:
            return str(json.loads((file.metadata() or {})["facever"])["fingerprint"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{weights} is damaged: it does not say which model it is") from error


def _exported(run: Path, engine: str) -> Path:
    """Return the ONNX file of a run.

    Raises:
        ModelError: It has none, or there is no such run.
    """
    if not run.exists():
        raise ModelError(f"no model at {run}: give a run folder or an .onnx file")
    path = RunFolder(run).onnx
    if run.is_dir() and path.is_file():
        return path
    if run.is_dir():
        raise ModelError(
            f"engine {engine} needs an ONNX file and {run} has no {path.name}: export the run "
            f"(facever export {run} --out {path})"
        )
    raise ModelError(
        f"engine {engine} needs an ONNX file: export the model (facever export {run} --out "
        "MODEL.onnx) and give MODEL.onnx"
    )


def is_onnx(model: str | os.PathLike[str]) -> bool:
    """Return whether a model is an ONNX file, or a public model's name (all of them are ONNX)."""
    from facever.catalogue import is_name

    if os.path.exists(model):  # noqa: PTH110
        return os.path.isfile(model) and os.fspath(model).lower().endswith(ONNX)  # noqa: PTH113
    return os.fspath(model).lower().endswith(ONNX) or is_name(os.fspath(model))


def refuse_weights(path: Path) -> None:
    """Refuse weight files of other tools, which cannot be used without the code of their network.

    Raises:
        ModelError: It is one, or a folder of nothing else; says how to export the model.
    """
    if path.suffix.lower() in _WEIGHTS or _has_only_weights(path):
        raise ModelError(
            f"{path} holds weights without their network: export the model to ONNX where it was "
            "made (torch.onnx.export(model.eval(), images, 'MODEL.onnx', dynamo=True)), then "
            "facever models add MODEL.onnx --size 112 --out NAME.onnx (see docs/foreign-models.md)"
        )


def _has_only_weights(path: Path) -> bool:
    """Return whether a folder holds files of weights and nothing of a run."""
    if not path.is_dir() or RunFolder(path).config.exists() or any(path.glob("*.safetensors")):
        return False
    return any(one.suffix.lower() in _WEIGHTS for one in path.iterdir())
