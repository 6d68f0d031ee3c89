"""Which engine multiplies the blocks: NumPy, bfloat16 where it is faster, or a GPU."""

import sys
import time
from functools import cache
from importlib.util import find_spec

import numpy as np

from facever.errors import EvaluationError, unknown
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import NUMPY, BlockEngine
from facever.evaluation.scoring.similarity import Scorer

PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("cpu", "cuda", "auto")
_WORTH_IT = 4e11  # multiply-adds below which importing torch costs more than it saves
_WORTH_IT_LOADED = 1e10  # and where torch is there already
_FASTER = 1.3  # times as fast as float32 before it is used


def choose_engine(
    pairs: AllPairs, wanted: int, precision: str = "auto", device: str = "cpu"
) -> BlockEngine:
    """Return the engine that walks over the pairs.

    Args:
        pairs: What is compared.
        wanted: How many of the highest impostor trials are to be kept.
        precision: Of the screening, "float32", "bfloat16" or "auto": bfloat16 wherever it is
            faster. The counts are the same.
        device: "cpu", "cuda" or "auto": a GPU where torch finds one.

    Raises:
        EvaluationError: An unknown precision or device, or no GPU where one is asked for.
    """
    for kind, name, known in (("precision", precision, PRECISIONS), ("device", device, DEVICES)):
        if name not in known:
            raise EvaluationError(unknown(kind, name, known))
    if device == "cuda" and not _has_gpu():
        raise EvaluationError("no GPU is to be found here: leave the device away, or make it auto")
    if device != "cpu" and _has_gpu():
        from facever.evaluation.scoring.torch_blocks import torch_engine

        return torch_engine("cuda", half=precision != "float32")
    if precision == "bfloat16" or (precision == "auto" and worth_it(pairs, wanted)):
        from facever.evaluation.scoring.torch_blocks import Bfloat16Blocks

        return BlockEngine(Bfloat16Blocks, NUMPY.exact)
    return NUMPY


def worth_it(pairs: AllPairs, wanted: int) -> bool:
    """Tell whether screening in bfloat16 saves time: many products, few scores kept, fast."""
    width = pairs.scorer.left.shape[1]
    least = _WORTH_IT_LOADED if "torch" in sys.modules else _WORTH_IT
    if pairs.impostor * width < least or wanted > pairs.impostor * 3e-3:
        return False
    return find_spec("torch") is not None and speed_up(width) >= _FASTER


@cache
def speed_up(width: int) -> float:
    """Return how many times as fast as float32 a bfloat16 product of this width is, measured."""
    from facever.evaluation.scoring.torch_blocks import Bfloat16Blocks

    rows = np.random.default_rng(0).standard_normal((1024, width)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = AllPairs(Scorer.between(rows, rows), np.arange(1024))
    block = slice(0, 1024)
    seconds = []
    for screen in (NUMPY.screen(pairs), Bfloat16Blocks(pairs)):
        tries = []
        for _ in range(8):
            start = time.perf_counter()
            screen.count(block, block)
            tries.append(time.perf_counter() - start)
        seconds.append(min(tries))
    return seconds[0] / seconds[1]


def _has_gpu() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
