"""Threads that share a gallery, beside purge: is there no error, and nothing removed in an answer?

    python tools/soak/gallery_threads.py --out threads [--rounds 50] [--seconds 600] [--seed 0]

Each round, threads of one process search, verify, enroll, remove, rebuild, check and purge one
gallery at once; how many of each, the kind of index and the template policy are drawn. Whoever was
removed before a question was put must not be in its answer. After the round nothing may be wrong
with the gallery, and after a purge no byte of a removed vector is left in it. Every round is
written down: the same command goes on where it stopped, and stops for good at the first fault.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facever.core.json_files import write_json
from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from facever.gallery.index import snapshot as snapshots

MODEL, DIMENSION = "model", 16
PEOPLE, IMAGES = 200, 3  # at the beginning of a round
KINDS, POLICIES = ("auto", "HNSW8", "IVF4,Flat"), ("all", "mean")
LEAST = 20  # changes after which the index is written anew, so that it often is


def vectors(person: str, count: int = IMAGES) -> np.ndarray:
    """Return the vectors of a person, float32 [count, DIMENSION], always the same."""
    drawn = stream(0, "person", int(person[1:])).standard_normal((count, DIMENSION))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


class Round:
    """What threads do to one gallery, and what they saw.

    Args:
        gallery: Open.
        number: Of the round, from which its people are named.
        random: Draws what is done.
    """

    def __init__(self, gallery: Gallery, number: int, random: np.random.Generator) -> None:
        self.gallery, self.faults, self.done = gallery, list[str](), Counter[str]()
        first = 1_000_000 * (number + 1)
        self.living = [f"p{first + each}" for each in range(PEOPLE)]
        self.gone: list[str] = []
        self._next, self._changes = first + PEOPLE, threading.Lock()
        self._stop, self._random = threading.Event(), random

    def run(self, seconds: float) -> None:
        """Let all threads work for so long, and wait for them."""
        names = [one for person in self.living for one in [person] * IMAGES]
        given = np.vstack([vectors(person) for person in self.living])
        self.gallery.enroll(given, names, fingerprint=MODEL, conflicts="ignore")
        counts = {
            self.search: int(self._random.integers(1, 17)),
            self.verify: int(self._random.integers(1, 4)),
            self.enroll: 1,
            self.remove: int(self._random.integers(1, 3)),
            self.gallery.rebuild: int(self._random.integers(0, 3)),
            self.gallery.purge: int(self._random.integers(1, 4)),
            self.gallery.check: int(self._random.integers(0, 2)),
        }
        threads = [
            threading.Thread(target=self._repeat, args=(act,))
            for act, count in counts.items()
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        self._stop.wait(seconds)
        self._stop.set()
        for thread in threads:
            thread.join()

    def _repeat(self, act: Callable[[], object]) -> None:
        while not self._stop.is_set():
            try:
                found = act()
                self.done[act.__name__] += 1
                if act == self.gallery.check and found:
                    raise AssertionError(f"check found {found}")
            except BaseException as error:
                self.faults.append(f"{act.__name__}: {type(error).__name__}: {error}")
                self._stop.set()

    def _someone(self) -> str:
        place = int.from_bytes(np.random.default_rng().bytes(4)) % len(self.living)
        return self.living[place]

    def search(self) -> None:
        """Search for somebody; who was removed before that must not be found."""
        gone, person = set(self.gone), self._someone()
        for answer in self.gallery.search(vectors(person), 5, fingerprint=MODEL):
            if found := [one.person for one in answer.candidates if one.person in gone]:
                raise AssertionError(f"{found[0]} was removed and is answered")

    def verify(self) -> None:
        """Verify somebody who was not removed when that began, and perhaps is now."""
        person = self._someone()
        try:
            self.gallery.verify(vectors(person), person, fingerprint=MODEL)
        except Exception:
            if person not in self.gone:
                time.sleep(0.05)  # between the removal and its being noted
                if person not in self.gone:
                    raise

    def enroll(self) -> None:
        """Enroll some new people."""
        with self._changes:
            new = [f"p{self._next + each}" for each in range(5)]
            self._next += len(new)
        names = [one for person in new for one in [person] * IMAGES]
        given = np.vstack([vectors(person) for person in new])
        self.gallery.enroll(given, names, fingerprint=MODEL, conflicts="ignore")
        self.living += new
        time.sleep(0.01)

    def remove(self) -> None:
        """Remove one of the first; the others of a round stay for the searches."""
        with self._changes:
            if len(self.living) < PEOPLE // 2:
                return
            person = self.living.pop(0)
        self.gallery.remove(person)
        self.gone.append(person)
        time.sleep(0.002)


def judge(gallery: Gallery, done: Round) -> list[str]:
    """Purge, and return what is wrong with the gallery then."""
    gallery.purge()
    faults = [str(finding) for finding in gallery.check()]
    there = {person for person, _ in gallery.people()}
    faults += [f"{person} was removed and is there" for person in done.gone if person in there]
    faults += [f"{person} is lost" for person in done.living if person not in there]
    files = {path.name: path.read_bytes() for path in gallery.path.iterdir() if path.is_file()}
    patterns = {person: vectors(person)[0].tobytes()[:20] for person in done.gone[-40:]}
    return faults + [
        f"a vector of {person} is left in {name}"
        for name, content in files.items()
        for person, pattern in patterns.items()
        if pattern in content
    ]


def one_round(out: Path, soak: dict[str, Any]) -> None:
    """Run a round in a gallery of its own and note it in `soak`."""
    number, folder = len(soak["rounds"]), out / "gallery"
    random = stream(soak["settings"]["seed"], "round", number)
    kind, policy = str(random.choice(KINDS)), str(random.choice(POLICIES))
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    with Gallery.create(
        folder, fingerprint=MODEL, dimension=DIMENSION, index=kind, templates=policy
    ) as gallery:
        done = Round(gallery, number, random)
        done.run(soak["settings"]["round_seconds"])
        faults = done.faults or judge(gallery, done)
    soak["rounds"].append(
        {
            "index": kind,
            "templates": policy,
            "seconds": round(time.monotonic() - started, 2),
            "removed": len(done.gone),
            "done": dict(sorted(done.done.items())),
            "faults": faults,
        }
    )
    write_json(out / "soak.json", soak)


def summary(soak: dict[str, Any]) -> dict[str, Any]:
    """Count what was done, and list the faults."""
    done: Counter[str] = Counter()
    for each in soak["rounds"]:
        done.update(each["done"])
    return {
        "rounds": len(soak["rounds"]),
        "removed": sum(each["removed"] for each in soak["rounds"]),
        "done": dict(sorted(done.items())),
        "faults": [fault for each in soak["rounds"] for fault in each["faults"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for all of it")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--round-seconds", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    until, file = time.monotonic() + options.seconds, options.out / "soak.json"
    settings = {"seed": options.seed, "round_seconds": options.round_seconds}
    snapshots._LEAST = LEAST
    sys.setswitchinterval(1e-5)  # threads take turns often
    if file.is_file():
        soak = json.loads(file.read_text())
    else:
        soak = {"settings": settings, "rounds": []}
        write_json(file, soak)
    if soak["settings"] != settings:
        sys.exit(f"{options.out} was made with other settings: choose another folder")
    while (
        len(soak["rounds"]) < options.rounds
        and not (soak["rounds"] and soak["rounds"][-1]["faults"])
        and time.monotonic() < until
    ):
        one_round(options.out, soak)
    print(json.dumps(summary(soak), indent=2))
    if soak["rounds"] and soak["rounds"][-1]["faults"]:
        sys.exit(f"a fault: {options.out / 'gallery'} is the gallery")


if __name__ == "__main__":
    main()
