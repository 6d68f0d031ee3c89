"""A service under load and misuse: are all answers right, and does it go on?

    python -m tools.soak.service --out service [--share 1] [--seed 0] [--only PART ...]

Each part starts a service of its own on a loopback port, over a gallery of made-up people and a
small model of crops, and stops it. Embeddings in the place of images make each answer exact:

    answers          64 clients search, verify, enrol and remove for 60 s; every answer is compared
                     with the only one that is right, and nobody is in one after the acknowledgement
                     of their removal (service_load.py)
    two workers      the same with --workers 2
    slow clients     50 clients that send a byte now and then, beside 8 fast ones
    requests         5,000 requests made up from the OpenAPI document: no status 500 (no server)
    damaged bodies   200 malformed or truncated bodies: no status 500
    memory           20,000 requests; the resident memory must be level
    killed workers   `answers` while workers are killed (SIGKILL), 16 clients
    locked store     `answers` while another process holds the store's write lock for 15 s
    full disk        `answers` on a disk of its own that is full for a third of the time (as root)

Each part is written down when it is done: the same command goes on where it stopped, and stops for
good at the first fault. `--share 0.1` is a tenth of all (tests/service/test_load.py).
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from facever.core.json_files import write_json
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from tools.soak.service_disturbances import (
    fill_disk,
    integrity,
    kill_workers,
    lock_store,
    small_disk,
)
from tools.soak.service_faults import damaged_bodies, memory, slow_clients
from tools.soak.service_load import Load, enrol_stable
from tools.soak.service_process import Server, make_model
from tools.soak.service_requests import made_up_requests

CUT_OFF = 2.0  # seconds, the limit of slow clients
MORE = ("--limit", "requests_each=200")


class Soak:
    """The parts.

    Args:
        out: Folder of all files.
        share: Share of the counts and times.
        seed: What is drawn.
    """

    def __init__(self, out: Path, share: float, seed: int) -> None:
        self._out, self._share, self._seed = out, share, seed
        self.parts: dict[str, Callable[[], dict]] = {
            "answers": lambda: self._load(64, 60),
            "two workers": lambda: self._load(64, 60, "--workers", "2"),
            "slow clients": self._slow_clients,
            "requests": self._requests,
            "damaged bodies": self._damaged_bodies,
            "memory": self._memory,
            "killed workers": self._killed_workers,
            "locked store": self._locked_store,
            "full disk": self._full_disk,
        }

    def _count(self, whole: int) -> int:
        return max(1, round(whole * self._share))

    def _gallery(self, folder: Path) -> Path:
        path = folder / "gallery"
        shutil.rmtree(path, ignore_errors=True)
        with Gallery.create(path, load_model(make_model(self._out))) as gallery:
            enrol_stable(gallery)
        return path

    def _load(
        self,
        clients: int,
        seconds: float,
        *options: str,
        may_drop: bool = False,
        folder: Path | None = None,
        disturb: Callable[[Server, float], list[str]] | None = None,
    ) -> dict:
        """Run a load and judge it."""
        gallery = self._gallery(folder or self._out)
        with Server(self._out, gallery, *MORE, *options) as server:
            load = Load(server, clients, self._seed, may_drop)
            load.run(
                seconds * self._share,
                None if disturb is None else lambda whole: disturb(server, whole),
            )
            faults = load.judge() + server.stop() + integrity(gallery)
        return {
            "searches judged": sum(len(one.searches) for one in load.clients),
            "removed": sum(when.removed < 1e18 for c in load.clients for when in c.people.values()),
            "done": load.done,
            "faults": faults,
        }

    def _plain(self, ask: Callable[[Server], dict], *options: str) -> dict:
        with Server(self._out, self._gallery(self._out), *options) as server:
            said = ask(server)
            return {**said, "faults": said["faults"] + server.stop()}

    def _slow_clients(self) -> dict:
        seconds = 20 * self._share
        return self._plain(
            lambda server: slow_clients(server, self._count(50), 8, seconds, CUT_OFF),
            *("--limit", f"seconds={CUT_OFF}"),
        )

    def _requests(self) -> dict:
        shutil.rmtree(self._out / "made-up", ignore_errors=True)
        return made_up_requests(self._out, self._count(5000))

    def _damaged_bodies(self) -> dict:
        return self._plain(lambda one: damaged_bodies(one, self._count(200), self._seed))

    def _memory(self) -> dict:
        return self._plain(lambda one: memory(one, self._count(20_000), 8, self._seed))

    def _killed_workers(self) -> dict:
        def kill(server: Server, seconds: float) -> list[str]:
            return kill_workers(server, self._count(8), seconds)

        return self._load(16, 60, "--workers", "2", may_drop=True, disturb=kill)

    def _locked_store(self) -> dict:
        hold = 15 * self._share  # above 10 s, changes are refused
        return self._load(16, 30, disturb=lambda one, whole: lock_store(one, hold, whole))

    def _full_disk(self) -> dict:
        with small_disk(self._out) as disk:
            if disk is None:
                return {"not run": "this user may not mount a disk", "faults": []}
            return self._load(
                16, 30, folder=disk, disturb=lambda _, seconds: fill_disk(disk, seconds)
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder for all of it")
    parser.add_argument("--share", type=float, default=1.0, help="of the counts and times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="parts to run")
    options = parser.parse_args()
    file, settings = options.out / "soak.json", {"seed": options.seed, "share": options.share}
    soak = Soak(options.out, options.share, options.seed)
    if wrong := set(options.only or ()) - set(soak.parts):
        sys.exit(f"no part {sorted(wrong)}: choose of {', '.join(soak.parts)}")
    if file.is_file():
        said = json.loads(file.read_text())
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        said = {"settings": settings, "parts": {}}
    if said["settings"] != settings:
        sys.exit(f"{options.out} was made with other settings: choose another folder")
    for name in options.only or soak.parts:
        if name in said["parts"]:
            continue
        began = time.monotonic()
        found = soak.parts[name]()
        said["parts"][name] = {"seconds": round(time.monotonic() - began, 1), **found}
        write_json(file, said)
        print(f"{name}: {json.dumps(said['parts'][name])}", flush=True)
        if found["faults"]:
            break
    if any(part["faults"] for part in said["parts"].values()):
        sys.exit(f"a fault: {file} names it, and {options.out} has the gallery and the log")


if __name__ == "__main__":
    main()
