"""Processes that load images: how many, how far ahead, and how one is lost or ended.

Their batches lie in shared memory, of which a container may have little (Docker gives 64 MB).
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

AHEAD = 4  # batches that a worker loads before they are asked for
_SHARE = 0.8  # of the free shared memory
_PAGE = 4096


class Plan(NamedTuple):
    """Worker processes, and how many batches each of them may have ready."""

    workers: int
    ahead: int


def worker_count(workers: int | Literal["auto"], to_gpu: bool) -> int:
    """Return how many worker processes to start.

    "auto" shares the usable cores among the training processes of this machine. Where batches go to
    a GPU it takes all but one, up to 16. Elsewhere the model needs the cores too: a quarter of
    them, up to 4, and none below four, where a worker and the model's threads would only be in each
    other's way.

    Raises:
        ConfigError: A number below 0, or more than 64 and four for each usable core.
    """
    if workers == "auto":
        cores = usable_cpus() // processes_here()
        return max(1, min(cores - 1, 16)) if to_gpu else min(cores // 4, 4)
    most = most_processes()
    if not 0 <= workers <= most:
        raise ConfigError(
            f"{workers} worker processes: it must be 0 to {most} on this machine, or 'auto'"
        )
    return workers


def plan(workers: int, images: int, size: tuple[int, int], held: int) -> Plan:
    """Fit the workers and the batches that they load ahead into the free shared memory.

    The batches are the same for any plan. One line says what was reduced.

    Args:
        workers: How many are wanted.
        images: Of the largest batch.
        size: Of an image: (height, width) in pixels.
        held: Batches that whoever takes them keeps at once.
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
            f"worker processes load images, {ahead} (in Docker give more by --shm-size or "
            "--ipc=host)"
        )
    return fitting


def share(tensors: tuple[torch.Tensor, ...]) -> DataError | None:
    """Move tensors into shared memory, where this is a worker; return why it cannot be."""
    if torch.utils.data.get_worker_info() is None:
        return None
    try:
        for tensor in tensors:
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        return lost(error)
    return None


def lost(error: Exception) -> DataError:
    """Return the error of a batch that a worker could not deliver."""
    reason = str(error).strip().splitlines()
    shared = free_shared()
    free = "" if shared is None else f"; {byte_count(shared)} of shared memory are free"
    return DataError(
        f"a worker process that loads images ended ({reason[0] if reason else error!r}){free}: "
        "choose fewer workers or smaller batches, or give more memory (in Docker by --shm-size or "
        "--ipc=host)"
    )


def start_worker(_: int) -> None:
    """One thread per process; Ctrl-C and SIGTERM, sent to all, are for the main process to answer.

    The main process itself ends its workers by SIGTERM, and that they obey. What a worker cannot
    send ends it, so that the main process learns of it instead of waiting for ever.
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
