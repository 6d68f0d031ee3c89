"""Does loading end, right or with an error, whatever shared memory there is? (Linux, as root)

    python tools/soak/shared_memory.py [--megabytes 4 16 24 64] [--workers 4] [--seconds 120]

For each size a /dev/shm of its own is mounted (unshare --mount, mount -t tmpfs); Docker gives one
of 64 MB. There the batches of drawn images (112 x 112 pixels, 128 a batch) are loaded three times
over, slower than the workers load them, and compared with those that no worker loads:

    planned     what `facever.data.workers.plan` fits into the memory: every batch must be right
    unbounded   all workers and four batches ahead each: every batch must be right, or an error must
                come in time
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from facever.data import loading
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.samplers import ShuffleSampler
from facever.data.synthesize import synthesize
from facever.data.workers import AHEAD, Plan
from facever.errors import DataError

EPOCHS, BATCH, SIZE = 3, 128, 112


def load(root: Path, workers: int, seconds: float) -> list[int]:
    """Return the checksums of the batches of all epochs, each kept for some time."""
    manifest = Manifest.from_csv(root / "manifest.csv")
    sampler = ShuffleSampler(len(manifest), BATCH, seed=1)
    batches = loading.training_batches(
        manifest, Preprocessing(size=SIZE), None, sampler, seed=1, workers=workers
    )
    sums = []
    for epoch in range(EPOCHS):
        batches.set_epoch(epoch)
        for batch in batches:
            time.sleep(seconds)
            sums.append(zlib.crc32(batch.images.numpy().tobytes()))
    batches.close()
    return sums


def inside(root: Path, mode: str, workers: int) -> int:
    """Load with workers; 0 where every batch is right, 3 where an error came."""
    if mode == "unbounded":
        loading.plan = lambda workers, *_, **__: Plan(workers, AHEAD)
    try:
        return int(load(root, workers, 0.2) != load(root, 0, 0.0))
    except DataError as error:
        print(f"    {error}")
        return 3


def main() -> None:
    """Mount, load, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, nargs="+", default=[4, 16, 24, 64])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--inside", nargs=2, metavar=("ROOT", "MODE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        sys.exit(inside(Path(given.inside[0]), given.inside[1], given.workers))
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("needs Linux and root: it mounts a file system")
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "faces"
        synthesize(root, 120, 20, size=SIZE)
        for megabytes in given.megabytes:
            for mode in ("planned", "unbounded"):
                own = f'mount -t tmpfs -o size={megabytes}m tmpfs /dev/shm && exec "$@"'
                command = [sys.executable, __file__, "--workers", str(given.workers), "--inside"]
                words = ["unshare", "--mount", "sh", "-c", own, "sh", *command, str(root), mode]
                began = time.monotonic()
                try:
                    status = subprocess.run(words, timeout=given.seconds, check=False).returncode
                except subprocess.TimeoutExpired:
                    status = -1
                right = status == 0 or (mode == "unbounded" and status == 3)
                faults += not right
                verdict = {0: "every batch right", 3: "an error", -1: "no end"}.get(status, "WRONG")
                spent = time.monotonic() - began
                print(f"{megabytes} MB, {mode}: {verdict} after {spent:.0f} s", flush=True)
    sys.exit(f"{faults} faults" if faults else 0)


if __name__ == "__main__":
    main()
