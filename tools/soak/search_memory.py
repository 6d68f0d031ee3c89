"""Exact search of a gallery that is larger than the memory it may use.

    python -m tools.soak.search_memory [--rows 300000] [--limit 350] [--probes 64]   (as root)

A gallery of made-up vectors is written, and its answers are computed from the vectors in float64,
block by block. Then a process in a control group with a memory limit (MB) opens the gallery and
answers the same probes: one by one, and together. It prints the vectors' size, the group's peak,
the times and whether all answers are the exact ones.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from facever.gallery.gallery import Gallery

WIDTH, K, BLOCK = 512, 5, 20_000
GROUPS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")  # version 1, version 2
SETTINGS = ("memory.limit_in_bytes", "memory.max_usage_in_bytes"), ("memory.max", "memory.peak")


def vectors(block: int, rows: int = BLOCK) -> np.ndarray:
    made = np.random.default_rng(block).standard_normal((rows, WIDTH), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def probes(count: int) -> np.ndarray:
    """Noisy copies of enrolled vectors, and as many strangers."""
    near = vectors(0)[: count // 2] + 0.03 * vectors(-1 % 2**32, count // 2)
    both = np.concatenate([near, vectors(2**31, count - count // 2)])
    return both / np.linalg.norm(both, axis=1, keepdims=True)


def fill(path: Path, rows: int) -> None:
    with Gallery.create(path, fingerprint="m", dimension=WIDTH, index="flat") as gallery:
        for block in range(rows // BLOCK):
            people = [f"p{block * BLOCK + row}" for row in range(BLOCK)]
            gallery.enroll(vectors(block), people, fingerprint="m", conflicts="ignore")
        gallery.rebuild()


def exact(rows: int, asked: np.ndarray) -> list[list[str]]:
    """Return the K best people of each probe by float64."""
    best = [np.empty((len(asked), 0)), np.empty((len(asked), 0), int)]
    for block in range(rows // BLOCK):
        scores = asked.astype(np.float64) @ vectors(block).T.astype(np.float64)
        both = np.concatenate([best[0], scores], 1)
        ids = np.concatenate(
            [best[1], np.tile(np.arange(BLOCK) + block * BLOCK, (len(asked), 1))], 1
        )
        first = np.argsort(-both, axis=1, kind="stable")[:, :K]
        best = [np.take_along_axis(both, first, 1), np.take_along_axis(ids, first, 1)]
    return [[f"p{one}" for one in row] for row in best[1].tolist()]


def answer(path: Path, count: int) -> dict[str, object]:
    asked = probes(count)
    with Gallery.open(path) as gallery:
        gallery.search(asked[:1], K, fingerprint="m")
        start = time.perf_counter()
        alone = [gallery.search(one[None], K, fingerprint="m")[0] for one in asked]
        between = time.perf_counter()
        together = list(gallery.search(asked, K, fingerprint="m"))
        end = time.perf_counter()
        screen = gallery.info().screen
    found = [[one.person for one in each.candidates] for each in alone]
    same = found == [[one.person for one in each.candidates] for each in together]
    return {
        "found": found,
        "together_is_alone": same,
        "ms_each": 1e3 * (between - start) / count,
        "ms_together": 1e3 * (end - between),
        "screen": screen,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--limit", type=int, default=350, help="MB")
    parser.add_argument("--probes", type=int, default=64)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        print(json.dumps(answer(options.answer, options.probes)))
        return
    version = 0 if (GROUPS[0] / SETTINGS[0][0]).exists() else 1
    group = GROUPS[version] / f"facever-{os.getpid()}"
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a disk, not memory
        fill(Path(folder) / "gallery", options.rows)
        wanted = exact(options.rows, probes(options.probes))
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
        group.mkdir()
        try:
            (group / SETTINGS[version][0]).write_text(str(options.limit * 10**6))
            words = [sys.executable, "-m", "tools.soak.search_memory", "--answer"]
            words += [str(Path(folder) / "gallery"), "--probes", str(options.probes)]
            enter = f'echo $$ > {group / "cgroup.procs"} && exec "$@"'
            done = subprocess.run(
                ["sh", "-c", enter, "sh", *words], stdout=subprocess.PIPE, text=True, check=True
            )
            peak = int((group / SETTINGS[version][1]).read_text()) / 1e6
        finally:
            group.rmdir()
    said = json.loads(done.stdout)
    right = sum(one == other for one, other in zip(said.pop("found"), wanted, strict=True))
    print(
        f"vectors {4e-6 * options.rows * WIDTH:.0f} MB, limit {options.limit} MB, "
        f"peak {peak:.0f} MB"
    )
    print(f"{right} of {options.probes} answers are those of float64; {said}")
    sys.exit(right != options.probes or not said["together_is_alone"])


if __name__ == "__main__":
    main()
