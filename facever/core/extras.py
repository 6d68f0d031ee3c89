"""Packages that only an extra of facever installs, and the one message for a missing one.

The base installation reads data, evaluates and keeps galleries; training, engines and file formats
bring packages of their own. They are imported where they are used.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from facever.errors import MissingPackageError

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "albumentations": "train",
    "sklearn": "train",
    "matplotlib": "report",
    "faiss": "cpu",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "export",
    "openvino": "openvino",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "pytorch_metric_learning": "pml",
    "h5py": "hdf5",
    "pillow_heif": "heif",
}
"""The extra that installs a package: top-level module -> name of the extra."""


def install_command(module: str) -> str:
    """Return the command that installs the package of a module, such as "torch"."""
    return f"pip install 'facever[{EXTRAS[module]}]'"


@contextmanager
def named_extras() -> Iterator[None]:
    """Turn the failed import of such a package into one line that names the extra.

    Raises:
        MissingPackageError: The package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if isinstance(error, MissingPackageError) or module not in EXTRAS:
            raise
        raise MissingPackageError(
            f"this needs the package {module}, which is not installed: {install_command(module)}"
        ) from error
