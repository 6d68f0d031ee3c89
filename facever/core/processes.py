"""Several processes of one run: rank, collectives and failures.

`torchrun --nproc-per-node N -m facever ...` starts them; `started` joins them. In a single process
every function here does nothing, so that callers need not check. torch is imported only where it is
used.
"""

import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from facever.errors import ConfigError, FaceverError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

FAILED = "facever/failed"
"""Key of the store that the processes share: how many of them have failed."""

PATIENCE = timedelta(days=7)
"""How long a process waits for another one: as long as that one lives (see `started`)."""

GRACE_SECONDS = 10.0
"""What a process has to end by itself once another one has failed."""

SETTLING_SECONDS = 0.2
"""What gloo's threads have at the end to free what they held, and others to ask the store why."""

_failed = False  # whether an error has left `started`: each process ends alone from then on
_joined = False  # whether this process has ever been one of several
_rank = 0  # among the processes that it was one of, also once they have parted


class ProcessError(FaceverError):
    """The processes cannot connect, or one of them has ended."""


class EndedElsewhere(Exception):  # noqa: N818 - the error is another process's, which tells it
    """Another process has failed and reported the error: exit silently with this status."""

    exit_status = 2


def world() -> int:
    """Return how many processes work together; 1 without torchrun."""
    group = _group()
    return 1 if group is None else int(group.get_world_size())


def rank() -> int:
    """Return the number of this process, 0 to world() - 1, also once the processes have parted."""
    group = _group()
    return _rank if group is None else int(group.get_rank())


def is_main() -> bool:
    """Return whether this process writes files and messages: the one of rank 0."""
    return rank() == 0


def all_sum(tensor: "Tensor") -> "Tensor":
    """Add up a tensor over all processes, in place, and return it."""
    group = _group()
    if group is not None and world() > 1:
        group.all_reduce(tensor)
    return tensor


def all_max(tensor: "Tensor") -> "Tensor":
    """Take the largest of a tensor's elements over all processes, in place, and return it."""
    group = _group()
    if group is not None and world() > 1:
        group.all_reduce(tensor, op=group.ReduceOp.MAX)
    return tensor


def gather(rows: "Tensor") -> "Tensor":
    """Return the rows of all processes, in their order, without gradients.

    Args:
        rows: [b, ...]; each process may have another number of them, none too.

    Returns:
        [sum of b, ...], the same on every process.
    """
    return _gathered(rows.detach())[0]


def gather_rows(rows: "Tensor") -> "Tensor":
    """Return the rows of all processes, in their order, with gradients.

    The gradient is that of a loss which every process computes alike from all rows: this process's
    rows get their own part of it, times world(), because the gradients of what made them are then
    averaged over the processes.

    Args:
        rows: [b, D]; each process may have another number of them, none too.

    Returns:
        [sum of b, D].
    """
    if world() == 1:
        return rows
    every: Tensor = _gather_function().apply(rows)
    return every


def gather_objects(value: T) -> list[T]:
    """Return the objects of all processes, in order of rank; for small objects, sent over the
    CPU.
    """
    group = _group()
    if group is None or world() == 1:
        return [value]
    values: list[T] = [value] * world()
    group.all_gather_object(values, value)
    return values


def from_main(value: T) -> T:
    """Return the object of rank 0; for a small object, sent over the CPU."""
    group = _group()
    if group is None or world() == 1:
        return value
    values = [value]
    group.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def started(device: object = "auto") -> Iterator[None]:
    """Join the processes that torchrun started; one process alone does nothing.

    gloo serves tensors on the CPU, NCCL those on GPUs, where each process takes the one of its
    number on its machine. What fails in one process ends all: the first to fail raises its error,
    the others exit silently, within 10 seconds even if they wait for it. The group is then not
    destroyed: NCCL would wait for the others.

    Args:
        device: "cpu" uses no GPUs.

    Raises:
        ConfigError: There are more processes on a machine than GPUs.
        ProcessError: The processes cannot connect, or one of them was killed.
        EndedElsewhere: Another process has failed and reported the error.
    """
    if not _are_several() or world() > 1:
        yield
        return
    import torch.distributed as dist

    global _failed
    store = _store()
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store.clone(), over), daemon=True)
    watcher.start()
    try:
        _join(str(device), store)
        yield
        gather_objects(None)  # nobody leaves before all are done
    except BaseException as error:
        _failed = True
        _end(error, store)
        raise
    else:
        dist.destroy_process_group()
        over.set()
        watcher.join()
    finally:
        time.sleep(SETTLING_SECONDS)


def leave(status: int) -> None:
    """End this process where it was one of several; return where it never was.

    gloo's threads live on and may want the interpreter's lock once more. Without this one that asks
    while the interpreter shuts down would abort a process that has done all its work.
    """
    if _joined:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def tells(message: str) -> bool:
    """Return whether this process is the one that says why all of them end.

    Of an error that has left `started` that is settled. What fails before, such as a mistyped
    option, fails in all of them, and the first one says it.
    """
    if _failed or not _are_several():
        return True
    try:
        first = bool(_store().add(FAILED, 1) == 1)
    except (ProcessError, RuntimeError):
        return True
    if first:
        _tell_torchrun(message)
    return first


def _are_several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def _group() -> Any:
    """Return torch.distributed where a group is at work, without importing it."""
    dist: Any = sys.modules.get("torch.distributed")
    if _failed or dist is None or not dist.is_available() or not dist.is_initialized():
        return None
    return dist


def _store() -> Any:
    """Return where the processes leave words for one another."""
    from torch.distributed.rendezvous import rendezvous

    global _failed
    try:
        return next(rendezvous("env://"))[0]
    except (ValueError, RuntimeError) as error:  # those of torch.distributed are RuntimeErrors
        _failed = True  # there is nobody to agree with
        raise _apart(error) from error


def _join(device: str, store: Any) -> None:
    import torch.distributed as dist

    backend = _backend(device)
    try:
        dist.init_process_group(
            backend,
            store=store,
            rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
            timeout=PATIENCE,
        )
    except (ValueError, RuntimeError) as error:
        raise _apart(error) from error
    global _joined, _rank
    _joined, _rank = True, int(os.environ["RANK"])
    # Its destructor waits for threads that may wait for the interpreter's lock. Who frees the last
    # reference with the lock held, as DistributedDataParallel does, would wait for ever: none does.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dist.group.WORLD))


def _apart(error: Exception) -> ProcessError:
    return ProcessError(
        f"the {os.environ['WORLD_SIZE']} processes could not connect (rendezvous failed): "
        f"{str(error).splitlines()[0]}. Start them with torchrun"
    )


@cache
def _gather_function() -> Any:
    import torch

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, rows: "Tensor") -> "Tensor":
            every, ctx.first = _gathered(rows)
            ctx.count = len(rows)
            return every

        @staticmethod
        def backward(ctx: Any, gradient: "Tensor") -> "Tensor":
            return gradient[ctx.first : ctx.first + ctx.count] * world()

    return Gather


def _gathered(rows: "Tensor") -> "tuple[Tensor, int]":
    """Return the rows of all processes, and where this one's begin."""
    group = _group()
    if group is None or world() == 1:
        return rows, 0
    import torch

    own = torch.tensor([len(rows)], device=rows.device)
    found = [torch.empty_like(own) for _ in range(world())]
    group.all_gather(found, own)
    counts = [int(count) for count in found]
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    pieces = [torch.empty_like(padded) for _ in counts]
    group.all_gather(pieces, padded)
    every = torch.cat([piece[:count] for piece, count in zip(pieces, counts, strict=True)])
    return every, sum(counts[: rank()])


def _backend(device: str) -> str:
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    if device.startswith("cuda:"):
        raise ConfigError(
            f"device '{device}' is one GPU for several processes: use cuda, so that each "
            "process takes its "
            "own"
        )
    local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= gpus:
        raise ConfigError(
            f"process {local} of this machine has no GPU of its own ({gpus} GPUs): start at most "
            f"{gpus} processes a machine, or use the device cpu"
        )
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"


def _end(error: BaseException, store: Any) -> None:
    """Notify the other processes that this one failed.

    Raises:
        EndedElsewhere: Another process failed first, and this error is the same or a consequence.
        ProcessError: Another process has ended without reporting an error.
    """
    lost = _is_of_communication(error)
    try:
        first = store.add(FAILED, 1) == 1
    except RuntimeError:  # gone with the process that kept it
        first = not lost
    if not first and (lost or isinstance(error, FaceverError | OSError)):
        raise EndedElsewhere from error
    if lost:
        error = ProcessError(
            "another process of this run has ended: it was killed or ran out of memory"
        )
    _tell_torchrun(str(error) or type(error).__name__)
    if lost:
        raise error


def _is_of_communication(error: BaseException) -> bool:
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL"))
    )


def _tell_torchrun(message: str) -> None:
    """Write the error to the file that torchrun reads for its last lines."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        told = {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"message": told}, file)


def _watch(store: Any, over: threading.Event) -> None:
    """End this process if another one has failed and this one would wait for it forever."""
    while not over.wait(1.0):
        try:
            failed = store.check([FAILED])
        except RuntimeError:  # the store is gone, and with it who kept it
            failed = True
        if failed and not over.wait(GRACE_SECONDS):
            os._exit(EndedElsewhere.exit_status)
