"""Files of `torch.save`, loaded with `weights_only=True`: tensors, lists, texts, numbers."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from facever.embedding_files.arrays import EmbeddingFile
from facever.embedding_files.pickled import from_values
from facever.errors import DataError


def open_torch(path: Path, held: ExitStack) -> EmbeddingFile:  # noqa: ARG001
    """Open a file of `torch.save` with features in dictionaries, lists and tuples."""
    import torch

    try:
        mapped = is_zipfile(path)  # older files cannot be mapped
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damage can make torch raise anything
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise DataError(
            f"{path} cannot be read as a file of torch.save ({reason}): facever reads tensors, "
            "lists, dictionaries, texts and numbers from it, and nothing else"
        ) from error
    return from_values(path, "embeddings-torch", _without_tensors(loaded))


def _without_tensors(value: Any) -> Any:
    """Return the value with NumPy arrays in the place of tensors."""
    import torch

    if isinstance(value, torch.Tensor):
        dense = value.detach().cpu()
        return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()
    if isinstance(value, Mapping):
        return {key: _without_tensors(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(part) for part in value]
    return value
