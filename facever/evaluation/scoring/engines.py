"""Choice of the engine for block products: NumPy, torch in bfloat16, or torch on a GPU."""

import sys
from importlib.util import find_spec

from facever.data.machine import multiplies_bfloat16
from facever.errors import EvaluationError, unknown
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import NUMPY, BlockEngine

PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("cpu", "cuda", "auto")
_WORTH_IT = 4e11  # multiply-adds; below, the import of torch takes longer than it saves
_WORTH_IT_LOADED = 1e10  # the same if torch is already imported


def choose_engine(
    pairs: AllPairs, wanted: int, precision: str = "auto", device: str = "cpu"
) -> BlockEngine:
    """Return the engine for block products of the pairs.

    Args:
        pairs: The pairs.
        wanted: Number of the highest impostor trials to keep.
        precision: Precision of the screening, "float32", "bfloat16" or "auto" (see `worth_it`); it
            does not change the counts.
        device: "cpu", "cuda" or "auto" (a GPU if torch finds one).

    Raises:
        EvaluationError: The precision or device is unknown, or "cuda" is not available.
    """
    for kind, name, known in (("precision", precision, PRECISIONS), ("device", device, DEVICES)):
        if name not in known:
            raise EvaluationError(unknown(kind, name, known))
    if device == "cuda" and not _has_gpu():
        raise EvaluationError("CUDA is not available: omit `device`, or use `cpu`")
    if device != "cpu" and _has_gpu():
        from facever.evaluation.scoring.torch_blocks import torch_engine

        return torch_engine("cuda", half=precision != "float32")
    if precision == "bfloat16" or (precision == "auto" and worth_it(pairs, wanted)):
        from facever.evaluation.scoring.torch_blocks import Bfloat16Blocks

        return BlockEngine(Bfloat16Blocks, NUMPY.exact)
    return NUMPY


def worth_it(pairs: AllPairs, wanted: int) -> bool:
    """Return whether screening in bfloat16 saves time.

    It does if there are many products, few scores are kept, and the CPU supports bfloat16. The
    choice is deterministic: the same input uses the same engine on the same machine.
    """
    least = _WORTH_IT_LOADED if "torch" in sys.modules else _WORTH_IT
    products = pairs.impostor * pairs.scorer.width
    if products < least or wanted > pairs.impostor * 3e-3:
        return False
    return find_spec("torch") is not None and multiplies_bfloat16()


def _has_gpu() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
