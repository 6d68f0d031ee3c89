"""Worker processes that load images: their number, prefetching, failures and end.

Their batches are in shared memory, which containers limit (Docker: 64 MB by default).
"""

import os
import signal
from multiprocessing.queues import Queue
from threading import Thread
from typing import Any, Literal, NamedTuple

import cv2
import torch

from facever.core.console import byte_count, say
from facever.data.machine import (
    free_shared,
    most_processes,
    processes_here,
    usable_cpus,
)
from facever.errors import ConfigError, DataError

AHEAD = 4  # batches that a worker loads in advance
_SHARE = 0.8  # share of the free shared memory
_PAGE = 4096


class Plan(NamedTuple):
    """Number of worker processes, and of batches that each may have ready."""

    workers: int
    ahead: int


def worker_count(workers: int | Literal["auto"], to_gpu: bool) -> int:
    """Return the number of worker processes.

    "auto" divides the usable cores among the training processes of this machine. If batches go to a
    GPU, it uses all cores but one, up to 16. Otherwise the model needs the cores, too: it uses a
    quarter of them, up to 4, and none below four cores, where workers would slow down the model.

    Raises:
        ConfigError: The number is below 0, or above both 64 and four per usable core.
    """
    if workers == "auto":
        cores = usable_cpus() // processes_here()
        return max(1, min(cores - 1, 16)) if to_gpu else min(cores // 4, 4)
    most = most_processes()
    if not 0 <= workers <= most:
        raise ConfigError(
            f"{workers} worker processes (allowed on this machine: 0 to {most}, or 'auto')"
        )
    return workers


def plan(workers: int, images: int, size: tuple[int, int], held: int) -> Plan:
    """Reduce the workers and their prefetched batches to fit into the free shared memory.

    The batches do not depend on the plan. A reduction is printed.

    Args:
        workers: Requested number of workers.
        images: Number of images of the largest batch.
        size: (height, width) of an image in pixels.
        held: Number of batches that the caller keeps at once.
    """
    batch = images * size[0] * size[1] * 3
    shared = free_shared()
    if workers == 0 or shared is None:
        return Plan(workers, AHEAD)
    room = int(_SHARE * shared / processes_here()) // (batch + 3 * _PAGE) - held
    if room >= workers:
        fitting = Plan(workers, min(AHEAD, room // workers))
    else:
        fitting = Plan(max(room, 0), 1)
    if fitting != (workers, AHEAD):
        ahead = f"{fitting.ahead} batches ahead each" if fitting.workers else "so this process does"
        say(
            f"{byte_count(shared)} of shared memory are free: {fitting.workers} of {workers} "
            f"worker processes load images, {ahead} (in Docker, increase it with --shm-size or "
            "--ipc=host)"
        )
    return fitting


def share(tensors: tuple[torch.Tensor, ...]) -> DataError | None:
    """Move tensors into shared memory if this is a worker; return the error if that fails."""
    if torch.utils.data.get_worker_info() is None:
        return None
    try:
        for tensor in tensors:
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        return lost(error)
    return None


def lost(error: Exception) -> DataError:
    """Return the error for a batch that a worker could not deliver."""
    reason = str(error).strip().splitlines()
    shared = free_shared()
    free = "" if shared is None else f"; {byte_count(shared)} of shared memory are free"
    return DataError(
        f"a worker process that loads images ended ({reason[0] if reason else error!r}){free}: "
        "choose fewer workers or smaller batches, or more memory (in Docker with --shm-size or "
        "--ipc=host)"
    )


def start_worker(_: int) -> None:
    """Use one thread per process; leave Ctrl-C and SIGTERM to the main process.

    A SIGTERM from the main process ends a worker. A worker ends if it cannot send a result, so that
    the main process does not wait forever.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_obey_the_parent, daemon=True).start()


def _end(*_: Any) -> None:
    os._exit(1)


def _obey_the_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
