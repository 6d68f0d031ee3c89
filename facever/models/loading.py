"""One way in for every model: a run, a .safetensors file, ONNX, a public model or a plug-in."""

import os
from pathlib import Path

from facever.core.run_folder import RunFolder
from facever.errors import ModelError
from facever.models.extraction import LoadedModel, Precision
from facever.models.plugin import is_plugin_model, open_plugin_model

ONNX = ".onnx"
_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin")


def load_model(
    model: str | Path,
    *,
    device: str = "auto",
    flip: bool = False,
    precision: Precision = "fp32",
    batch_size: int = 64,
) -> LoadedModel:
    """Load a model. A torch model needs torch, an ONNX model does not.

    Args:
        model: A run folder, a .safetensors file that facever wrote, an .onnx file that
            `facever models add` wrote, or the name of a public model such as "sface" (see
            `facever models list`); or a model of another package: "package.module:Name", or the
            name of its entry point (docs/plug-ins.md). A file or folder of that name goes first.
        device: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N"; ONNX models are
            computed on the CPU.
        flip: Embed each image and its mirror image, and average the two embeddings before
            normalising; twice the time.
        precision: "fp32", or "bf16" for autocast: faster where the processor has it, and other
            vectors. ONNX models take "fp32" only: the precision is their file's.
        batch_size: Images that are embedded together.

    Raises:
        ModelError: There is no usable model.
        ConfigError: An unknown device or precision, or a batch size below 1; a package that cannot
            be imported.

    Example:
        >>> model = facever.load_model("sface")  # doctest: +SKIP
        >>> a, b = model.embed(["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> float(a @ b)  # doctest: +SKIP
        0.71
    """
    if is_onnx(model):
        from facever.models.onnx.opening import open_onnx

        return open_onnx(model, device, flip, precision, batch_size)
    if is_plugin_model(os.fspath(model)):
        return open_plugin_model(os.fspath(model), device, flip, precision, batch_size)
    path = Path(model)
    refuse_weights(path)
    from facever.models.extractor import Extractor  # torch, for those who need it
    from facever.models.saving import load_embedder

    embedder, card = load_embedder(path)
    return Extractor(embedder, card, device, flip, precision, batch_size, path)


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
