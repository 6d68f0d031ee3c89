"""Tensors in files, and messages if they do not fit a module."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from facever.core.files import open_regular
from facever.core.run_folder import RunFolder
from facever.errors import ModelError

HEADER = "facever"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header of a safetensors file.

    Raises:
        ModelError: The file is missing, truncated or not safetensors.
    """
    try:
        open_regular(path).close()
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole safetensors file ({first_line(error)})") from error


def read_archive(path: Path) -> Any:
    """Return what `torch.save` wrote, on the CPU, never unpickling code.

    The checksum of every member of the archive is verified first: torch.load does not look at them.

    Raises:
        ModelError: No such file, not an archive of torch, or damaged.
    """
    try:
        with io.BufferedReader(open_regular(path)) as file:
            with zipfile.ZipFile(file) as archive:
                if (member := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"{member} does not have its checksum")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(f"{path} holds no plain tensors ({_what_is_pickled(error)})") from error
    except Exception as error:  # damage can make zipfile, zlib and torch raise anything
        raise ModelError(f"{path} is damaged or was not written by torch.save: {error}") from error


def hash_of(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of an architecture (JSON's values) and named tensors, in hexadecimal."""
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {list(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_weights(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a .safetensors or torch file or a run folder, never unpickling code.

    Returns:
        The tensors by name, and the names of what else is in the file.

    The wrappings "state_dict" and "model" and the prefix "module." are taken off; of a facever
    model only its backbone is returned.

    Raises:
        ModelError: No such file, or none that holds named tensors only.
    """
    if path.is_dir():
        path = RunFolder(path).model
    if not path.is_file():
        raise ModelError(f"no file with pretrained weights at {path}")
    if path.suffix == ".safetensors":
        tensors, header = read_safetensors(path)
        if HEADER in header:
            inside = "backbone."
            own = {k.removeprefix(inside): v for k, v in tensors.items() if k.startswith(inside)}
            return own, [name for name in tensors if not name.startswith(inside)]
        return {name.removeprefix("module."): value for name, value in tensors.items()}, []
    try:
        with io.BufferedReader(open_regular(path)) as file:
            whole = zipfile.is_zipfile(file)  # torch's format before 1.6 has no checksums
        content = (
            read_archive(path) if whole else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} holds no plain tensors ({_what_is_pickled(error)})") from error
    left_out: list[str] = []
    for wrapping in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapping), dict):
            left_out += [str(name) for name in content if name != wrapping]
            content = content[wrapping]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise ModelError(f"{path} holds no dictionary of named tensors")
    return {name.removeprefix("module."): value for name, value in content.items()}, left_out


def _what_is_pickled(error: BaseException) -> str:
    """Return why torch does not load a file, in one line."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it has a {found[1]}: save its state_dict()" if found else first_line(error)


def without_prefix(
    tensors: Mapping[str, Tensor], expected: Collection[str]
) -> tuple[dict[str, Tensor], list[str], str]:
    """Return the tensors under the one prefix under which all `expected` names are.

    A model of several parts has its backbone's tensors under a prefix, such as "backbone.".

    Args:
        tensors: By the names in a file.
        expected: The names of a network's parameters.

    Returns:
        The tensors without the prefix, the names of the others, and the prefix: empty where no
        prefix, or more than one, has them all.
    """
    first = next(iter(expected), "")
    above = [name.removesuffix(first) for name in tensors if name.endswith(f".{first}")]
    found = [one for one in above if all(one + name in tensors for name in expected)]
    if first in tensors or len(found) != 1:
        return dict(tensors), [], ""
    (prefix,) = found
    inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return inside, [name for name in tensors if not name.startswith(prefix)], prefix


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, owner: str = "this architecture"
) -> None:
    """Copy tensors into a module that they must fit exactly.

    Raises:
        ModelError: Names or shapes differ; the first of each are named.
    """
    if problem := misfit(module.state_dict(), tensors):
        raise ModelError(f"{source} does not fit {owner}: {problem}")
    module.load_state_dict(dict(tensors))


def misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Return the first names and shapes that differ, or an empty string."""
    parts = []
    if missing := [name for name in expected if name not in found]:
        parts.append(f"without {first_names(missing)}")
    if extra := [name for name in found if name not in expected]:
        parts.append(f"with unknown {first_names(extra)}")
    for name, tensor in expected.items():
        if name in found and found[name].shape != tensor.shape:
            have, want = list(found[name].shape), list(tensor.shape)
            parts.append(f"{name} is {have} where {want} is needed")
            break
    return "; ".join(parts)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__


def first_names(names: Iterable[str], most: int = 3) -> str:
    """Return the first of many names in words, and how many they are."""
    listed = list(names)
    more = f", ... ({len(listed)} in all)" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
