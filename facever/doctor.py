"""What `facever doctor` finds: versions, engines, processor, memory, models, and a short test.

The text is made to be pasted into a bug report: no name of a person, a host or a folder of the home
directory is in it.
"""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from facever._version import __version__
from facever.catalogue import entries, found_at
from facever.core.console import byte_count
from facever.core.extras import EXTRAS, install_command
from facever.data.machine import (
    free_memory,
    free_shared,
    instruction_sets,
    most_open_files,
    processor_name,
    usable_cpus,
)
from facever.errors import FaceverError
from facever.render.blocks import Facts, Section
from facever.render.result import Result

_BASE = ("numpy", "pandas", "pyarrow", "scipy", "pydantic", "typer", "safetensors", "pillow")
_IMAGES = ("opencv-python-headless", "simplejpeg")
_NAMES = {
    "sklearn": "scikit-learn",
    "mlflow": "mlflow-skinny",
    "python_multipart": "python-multipart",
}
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "neon")
_VARIABLES = ("FACEVER_DATA", "FACEVER_MODELS", "FACEVER_CACHE", "FACEVER_IMPORTS")
_PEOPLE, _IMAGES_EACH, _WIDTH = 50, 4, 64  # of the test's gallery


@dataclass(frozen=True)
class Diagnosis(Result):
    """The state of an installation.

    Attributes:
        versions: Version by package; "not installed" for those of extras.
        machine: System, processor, memory.
        engines: What computes models and searches galleries.
        models: Where each public model was found.
        tests: What was tried, and "passed" with its time, or the reason why it failed or was not
            tried: a package or a model is not installed.
        passed: Whether no test failed.
    """

    versions: dict[str, str]
    machine: dict[str, str]
    engines: dict[str, str]
    models: dict[str, str]
    tests: dict[str, str]
    passed: bool

    json_keys = "versions machine engines models tests passed"

    def describe(self) -> list[Section]:
        """Return the state, a table for each kind of fact."""
        named = {
            "Versions": self.versions,
            "Machine": self.machine,
            "Engines": self.engines,
            "Public models": self.models,
            "Self-test": self.tests,
        }
        blocks = [Facts(list(rows.items()), title) for title, rows in named.items()]
        return [Section("doctor", "", blocks)]


def diagnose() -> Diagnosis:
    """Examine this installation and its machine; nothing is changed and nothing is sent."""
    tests, passed = _tests()
    return Diagnosis(
        versions=dict(_versions()),
        machine=dict(_machine()),
        engines=dict(_engines()),
        models=dict(_models()),
        tests=tests,
        passed=passed,
    )


def short_path(path: str | Path) -> str:
    """Return a path with the home directory as ~."""
    text = os.path.abspath(path)  # noqa: PTH100 - links stay
    home = os.path.abspath(Path.home())  # noqa: PTH100
    if text == home or text.startswith(home.rstrip(os.sep) + os.sep):
        return "~" + text[len(home.rstrip(os.sep)) :]
    return text


def _versions() -> Iterator[tuple[str, str]]:
    yield "facever", __version__
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    extras = [
        _NAMES.get(module, module.replace("_", "-")) for module in EXTRAS if module != "faiss"
    ]
    for name in (*_BASE, *_IMAGES, *extras):
        yield name, _version(name) or "not installed"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> Iterator[tuple[str, str]]:
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "processor", f"{processor_name()}, {usable_cpus()} CPUs usable"
    found = [name for name in _FEATURES if name in instruction_sets()]
    yield "instructions", " ".join(found) or "not known"
    yield "free memory", byte_count(free_memory(shared=False))
    shared = free_shared()
    yield "free /dev/shm", "no such file system" if shared is None else byte_count(shared)
    yield "open files", f"{most_open_files():,} at most"
    yield "terminal encoding", str(sys.stdout.encoding)
    for name in _VARIABLES:
        if name in os.environ:
            yield name, _said(name, os.environ[name])
    threads = os.environ.get("OMP_NUM_THREADS")
    yield "OMP_NUM_THREADS", threads or "not set"


def _said(name: str, value: str) -> str:
    if name == "FACEVER_IMPORTS":  # names of the user's own modules
        return f"{len(value.split(','))} modules"
    state = "a folder" if Path(value).is_dir() else "no such folder"
    return f"{short_path(value)} ({state})"


def _engines() -> Iterator[tuple[str, str]]:
    yield "torch", _attempt(_torch) if find_spec("torch") else "not installed"
    yield "onnxruntime", _attempt(_onnxruntime) if find_spec("onnxruntime") else "not installed"
    yield "openvino", _version("openvino") or "not installed"
    yield "faiss", _attempt(_faiss) if find_spec("faiss") else "not installed"


def _torch() -> str:
    import torch

    cuda = "no GPU usable"
    if torch.cuda.is_available():
        cuda = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        cuda += f" (CUDA {torch.version.cuda})"
    return f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads"


def _onnxruntime() -> str:
    from facever.models.onnx.package import onnxruntime_package

    package = onnxruntime_package()
    return f"{package.__version__}, {', '.join(package.get_available_providers())}"


def _faiss() -> str:
    from facever.gallery.index.faiss_import import import_faiss, installed_wheels

    faiss = import_faiss()
    options = str(faiss.get_compile_options()).split()
    return f"{' '.join(installed_wheels())} {faiss.__version__}, {' '.join(options)}"


def _models() -> Iterator[tuple[str, str]]:
    for one in entries():
        try:
            path = found_at(one)
        except FaceverError as error:
            yield one.name, _without_home(str(error))
            continue
        yield one.name, "not on this machine" if path is None else short_path(path.parent)


def _tests() -> tuple[dict[str, str], bool]:
    """Run every test; return what each said, and whether none failed."""
    said: dict[str, str] = {}
    passed = True
    for name, test in (
        ("images", _decode_an_image),
        ("gallery", _search_a_gallery),
        ("onnx model", _compute_a_model),
    ):
        began = time.monotonic()
        try:
            note = test()
        except _NotTriedError as missing:
            said[name] = f"not tried: {missing}"
        except Exception as error:  # whatever is wrong is what the user wants to know
            reason = " ".join(str(error).split()) or type(error).__name__
            said[name], passed = f"FAILED: {_without_home(reason)}", False
        else:
            said[name] = f"passed in {time.monotonic() - began:.1f} s{note}"
    return said, passed


class _NotTriedError(Exception):
    """A test needs what is not installed."""


def _require(module: str) -> None:
    if find_spec(module) is None:
        raise _NotTriedError(f"{module} is not installed: {install_command(module)}")


def _decode_an_image() -> str:
    """Encode and decode an image in memory, in both formats."""
    import cv2

    from facever.data.decode import decode_bytes

    slope = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
    for suffix in (".png", ".jpg"):
        found = decode_bytes(cv2.imencode(suffix, slope[..., ::-1])[1].tobytes())
        if np.abs(found.astype(int) - slope).mean() > 8:
            raise ValueError(f"an image of type {suffix} is decoded with other colours")
    return ""


def _search_a_gallery() -> str:
    """Enrol generated vectors in a gallery in a temporary folder, and find each of them."""
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.gallery.gallery import Gallery

    _require("faiss")
    people = np.arange(_PEOPLE).repeat(_IMAGES_EACH)
    vectors = np.random.default_rng(0).normal(size=(len(people), _WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"person {one}" for one in people]
    faces = EmbeddingSet.from_arrays(vectors, names, fingerprint="self-test")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        with Gallery.create(path, fingerprint="self-test", dimension=_WIDTH) as gallery:
            gallery.enroll(faces)
            found = [one.candidates[0].person for one in gallery.search(faces, k=1)]
    wrong = sum(one != name for one, name in zip(found, names, strict=True))
    if wrong:
        raise ValueError(f"{wrong} of {len(names)} vectors find another person than their own")
    return f" ({len(names)} searches)"


def _compute_a_model() -> str:
    """Embed an image with a public model, where there is one and an engine."""
    from facever.models.loading import load_model

    name = next(
        (one.name for one in entries() if one.task == "embedding" and found_at(one) is not None),
        None,
    )
    _require("onnxruntime")
    if name is None:
        raise _NotTriedError("no public model is on this machine (facever models list)")
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    vectors = np.asarray(load_model(name).embed([image, image], photos=False))
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise ValueError(f"model {name} returns vectors that do not have unit length")
    return f" ({name})"


def _attempt(told: Callable[[], str]) -> str:
    """Return what a function says, or why it cannot."""
    try:
        return told()
    except Exception as error:  # a broken package can raise anything
        return f"cannot be used: {_without_home(' '.join(str(error).split()))}"


def _without_home(text: str) -> str:
    return text.replace(str(Path.home()), "~") if len(str(Path.home())) > 1 else text
