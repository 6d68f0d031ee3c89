"""Pickled features of training scripts, such as those of fast-reid and torchreid.

Neither project writes such a file itself. Their evaluation holds features, person ids and camera
ids (`features`, `pids`, `camids`; torchreid `qf`, `q_pids`, `q_camids`, `gf`, ...), and scripts
write these with `pickle.dump` or `torch.save`. Read are, of arrays and lists:

- a dictionary of them, or of dictionaries such as {"query": {...}, "gallery": {...}};
- a list or tuple (features, pids) or (features, pids, camids), alone or in such a dictionary;
- a dictionary from the name of each image to its vector;
- a list of dictionaries of batches ({"feats": ..., "pids": ..., "camids": ...});
- one matrix.

References:
    fast-reid, https://github.com/JDAI-CV/fast-reid (`fastreid/evaluation/reid_evaluation.py`);
    torchreid, https://github.com/KaiyangZhou/deep-person-reid (`torchreid/engine/engine.py`).
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.core.pickles import read_pickle
from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, StoredArray

_WHAT = "a pickle of embeddings"
_PARTS = ("features", "pids", "camids")
_MOST_DEPTH = 3


def open_pickle(path: Path, held: ExitStack) -> EmbeddingFile:  # noqa: ARG001
    """Open a pickle; its values are loaded by the restricted reader."""
    return from_values(path, "embeddings-pickle", read_pickle(path, _WHAT)[0])


def from_values(path: Path, layout: str, value: Any) -> EmbeddingFile:
    """Return the arrays in dictionaries, lists and tuples."""
    arrays: dict[str, StoredArray] = {}
    unread: dict[str, str] = {}
    for name, part in _parts("", value, 0):
        try:
            arrays[name] = SlicedArray(_array(part))
        except (TypeError, ValueError) as error:
            unread[name] = str(error)
    return EmbeddingFile(path, layout, arrays, unread)


def _parts(prefix: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield what can be an array, with its name."""
    if isinstance(value, list | tuple) and value and depth < _MOST_DEPTH:
        if all(isinstance(one, Mapping) for one in value):
            value = _joined(value)
        elif [_axes(one) for one in value] in ([2, 1], [2, 1, 1]):
            value = dict(zip(_PARTS, value, strict=False))
    if not isinstance(value, Mapping) or depth >= _MOST_DEPTH:
        yield prefix or "array", value
        return
    named = {_text(key): part for key, part in value.items()}
    if _is_by_image(named):
        yield f"{prefix}/path".lstrip("/"), list(named)
        yield f"{prefix}/features".lstrip("/"), list(named.values())
        return
    for name, part in named.items():
        yield from _parts(f"{prefix}/{name}".lstrip("/"), part, depth + 1)


def _axes(value: Any) -> int:
    """Return the number of axes of an array, or of a list of lists."""
    if isinstance(value, np.ndarray):
        return value.ndim
    return 1 + (_axes(value[0]) if value else 0) if _is_list(value) else 0


def _joined(batches: list[Any] | tuple[Any, ...]) -> dict[Any, Any]:
    """Return the parts of several batches as lists of arrays."""
    return {key: [batch.get(key) for batch in batches] for key in batches[0]}


def _is_by_image(named: dict[str, Any]) -> bool:
    """Return whether the values are vectors of one length, and the names those of images."""
    if not all(isinstance(part, np.ndarray) and part.dtype.kind == "f" for part in named.values()):
        return False
    shapes = {part.shape for part in named.values()}
    return len(shapes) == 1 and len(shape := shapes.pop()) == 1 and shape[0] > 1


def _array(value: Any) -> NDArray[Any]:
    """Return a list of numbers, texts, vectors or batches of them as one array."""
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if not _is_list(value):
        raise ValueError(f"a {type(value).__name__}")
    if value and all(isinstance(one, np.ndarray) and one.ndim for one in value):
        batches = value[0].ndim > 1 or len({one.shape for one in value}) > 1
        return np.concatenate(value) if batches else np.stack(value)
    if all(isinstance(one, str | bytes) or one is None for one in value):
        return np.array(value, dtype=object)
    made = np.array(value)
    if made.dtype.kind not in "biuf":
        raise ValueError("a list of several kinds of values")
    return made


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _text(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
