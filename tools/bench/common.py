"""What the benchmarks share: made-up people, the clock and the memory."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _figures import Rounds

WIDTH = 512


def faces(rows: int, each: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(-(-rows // each)), each)[:rows]
    centres = random.standard_normal((who[-1] + 1, WIDTH), dtype=np.float32)
    vectors = centres[who] + 1.5 * random.standard_normal((rows, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, who


REST = 0.05  # seconds


def in_turns(rounds: int, *works: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of each work in every round; a busy moment hits all of a round alike.

    One round before them warms up where there are several. Each work begins after a rest: threads
    of OpenMP occupy their cores for some milliseconds after the work before.
    """
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + (rounds > 1)):
        for times, work in zip(taken, works, strict=True):
            time.sleep(REST)
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
            if number == 0 and rounds > 1:
                times.clear()
    return taken


def seconds(work: Callable[[], object], rounds: int = 1) -> Rounds:
    """Return the median seconds of a work."""
    return Rounds(in_turns(rounds, work)[0])


def peak() -> float:
    """Return the largest memory so far, or since `forget_peak`, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    """Let `peak` begin at what is in use now."""
    Path("/proc/self/clear_refs").write_text("5")
