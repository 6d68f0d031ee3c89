"""Killed at random moments, does a gallery keep every change it acknowledged, and half of none?

    python tools/soak/gallery_kill.py --out kills [--kills 300] [--seconds 600] [--seed 0]

A worker changes a gallery and writes each change down, before it begins and when it is done. It is
killed (SIGKILL) at a random moment of a change of a drawn kind. Then a judge opens the gallery: it
must be what the changes that are done make of a plain dictionary, the one in flight whole or not at
all, and its answers those of a comparison with every image. Every kill is written down: the same
command goes on where it stopped, and stops for good at the first fault, with a copy of the folder.
"""

import argparse
import copy
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from gallery_verbs import (
    DIMENSIONS,
    VERBS,
    Given,
    State,
    begin,
    fingerprint,
    images_in,
    source,
    vectors,
)

from facever.core.json_files import write_json
from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from facever.gallery.index.faiss_import import import_faiss

STEPS_BEFORE, STEPS = 4, 12  # changes before the one to be killed, and at most in all
PROBES, NEAREST = 24, 5
PATIENCE = 120.0  # seconds until a worker or a judge is said to hang
SOME = 40  # of those that went, whose bytes are looked for
FILES = {  # of a gallery
    *("gallery.db", "gallery.db-wal", "gallery.db-shm"),
    *("index.snapshot", "index.faiss", "index.lock"),
}
FIRST_GUESS = 0.02  # seconds that a change takes, until one of its kind was measured


# -- the worker ---------------------------------------------------------------------------------


def work(folder: Path, log: Path, state: State, seed: int, kill: int, target: str) -> None:
    """Change the gallery until killed, or STEPS changes are done."""
    random, parent = stream(seed, "work", kill), os.getppid()
    hit = int(random.integers(STEPS_BEFORE))
    with log.open("a") as file, Gallery.open(folder) as gallery:

        def write(line: dict) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        for step in range(STEPS):
            verb = target if step == hit else str(random.choice(list(VERBS)))
            given = VERBS[verb].draw(state, random)
            if given is None or os.getppid() != parent:
                continue
            write({"verb": verb, "given": given, "hit": step >= hit})
            started = time.perf_counter()
            VERBS[verb].act(gallery, given)
            write({"seconds": time.perf_counter() - started})
            VERBS[verb].note(state, given)


def lines_of(log: Path) -> Iterator[dict]:
    """Yield what a worker wrote; a last line that was cut off is left out."""
    for line in log.read_text().splitlines() if log.is_file() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def replay(state: State, log: Path) -> tuple[State, dict | None, list[tuple[str, float]]]:
    """Return the state after the changes that are done, the one in flight, and what each took."""
    state, in_flight, took = copy.deepcopy(state), None, []
    for line in lines_of(log):
        if "seconds" not in line:
            in_flight = line
            continue
        assert in_flight is not None
        VERBS[in_flight["verb"]].note(state, in_flight["given"])
        took.append((in_flight["verb"], line["seconds"]))
        in_flight = None
    return state, in_flight, took


# -- the judge ----------------------------------------------------------------------------------


def judge(folder: Path, state: State, in_flight: Given | None, seed: int, kill: int) -> dict:
    """Return the state that the gallery is in, and the faults that it has."""
    random = stream(seed, "judge", kill)
    possible = [("done", state)]
    if in_flight is not None:
        after = copy.deepcopy(state)
        VERBS[in_flight["verb"]].note(after, in_flight["given"])
        possible.append(("whole", after))
    with Gallery.open(folder) as gallery:
        wrong = {name: differences(gallery, each) for name, each in possible}
        right = [name for name, _ in possible if not wrong[name]]
        if not right:
            return {"faults": [f"as if {name}: {fault}" for name in wrong for fault in wrong[name]]}
        state = dict(possible)[right[0]]
        faults = [str(each) for each in gallery.check() if each.part != "index"]
        faults += wrong_answers(gallery, state, random)
        if not faults and random.random() < 0.3:
            gallery.purge()
            faults = [str(each) for each in gallery.check()]
            faults += [*leftovers(folder, state, random), *wrong_answers(gallery, state, random)]
            VERBS["purge"].note(state, {})
    return {"state": state, "in_flight_was": right[0] if in_flight else "none", "faults": faults}


def differences(gallery: Gallery, state: State) -> list[str]:
    """Say how a gallery differs from a state."""
    info, migration = gallery.info(), gallery.migration()
    names = ("fingerprint", "dimension", "people", "images", "templates", "storage", "index")
    model, count = state["model"], len(state["people"])
    wanted: list[object] = [fingerprint(model), DIMENSIONS[model % 2], count, images_in(state)]
    wanted += [state[name] for name in names[4:]]
    found = [
        f"its {name} is {getattr(info, name)}, not {value}"
        for name, value in zip(names, wanted, strict=True)
        if getattr(info, name) != value
    ]
    if (migration is not None) != state["migrating"]:
        found.append(f"migration: {migration}")
    if migration is not None and migration.done < state["migrated"]:
        found.append(f"{migration.done} images are migrated, not {state['migrated']}")
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as db:
        there = {id_: (json.loads(known), []) for id_, known in db.execute(_PEOPLE)}
        for id_, from_where in db.execute(_IMAGES):
            there[id_][1].append(from_where)
        found += [f"SQLite: {line}" for (line,) in db.execute("PRAGMA integrity_check")]
        found.remove("SQLite: ok")
    for id_ in sorted(set(there) | set(state["people"])):
        person = state["people"].get(id_, {"metadata": None, "images": []})
        known, sources = there.get(id_, (None, []))
        if known != person["metadata"]:
            found.append(f"{id_}: metadata {known}, not {person['metadata']}")
        if sorted(sources) != sorted(source(image) for image in person["images"]):
            found.append(f"{id_}: images {sources}, not {person['images']}")
    return found


_PEOPLE = "SELECT id, metadata FROM people"
_IMAGES = "SELECT id, source FROM images JOIN people USING (person)"


def wrong_answers(gallery: Gallery, state: State, random: np.random.Generator) -> list[str]:
    """Compare searches and verifications with a brute force over the state.

    An approximate index may miss people; the scores that it gives are exact all the same.
    """
    model = state["model"]
    people = {name: person["images"] for name, person in state["people"].items()}
    people = {name: images for name, images in people.items() if images}
    if not people:
        return []
    names, counts = list(people), np.array([len(images) for images in people.values()])
    images = [image for several in people.values() for image in several]
    begins, known = np.cumsum(counts) - counts, vectors(images, model).astype(np.float64)
    near = known[random.integers(len(images), size=PROBES // 2)]
    far = random.standard_normal((PROBES // 2, near.shape[1]))
    probes = np.vstack([near, far / np.linalg.norm(far, axis=1, keepdims=True)]).astype(np.float32)
    if state["templates"] == "mean":
        means = np.add.reduceat(known, begins, axis=0)
        known, counts = means / np.linalg.norm(means, axis=1, keepdims=True), np.ones(len(names))
        begins = np.arange(len(names))
    scores, faults = probes.astype(np.float64) @ known.T, []
    wanted = {
        "max": np.maximum.reduceat(scores, begins, axis=1),
        "mean": np.add.reduceat(scores, begins, axis=1) / counts,
    }
    near_enough = {"rtol": 0, "atol": 2e-3 if state["rounded"] else 1e-5}
    at = {name: column for column, name in enumerate(names)}
    for rule, of in wanted.items():
        found = gallery.search(probes, NEAREST, fingerprint=fingerprint(model), rule=rule)
        missed = 0
        for row, answer in enumerate(found):
            given = [(c.person, c.score) for c in answer.candidates]
            told = [score for _, score in given]
            true = [of[row][at[name]] if name in at else 9 for name, _ in given]
            best = np.sort(of[row])[::-1][:NEAREST]
            same = len(told) == len(best) and np.allclose(told, true, **near_enough)
            missed += not (same and np.allclose(told, best, **near_enough))
            if not same or told != sorted(told, reverse=True):
                faults.append(f"{rule} of probe {row}: {given}, truly {true}, not {best.tolist()}")
        exact = state["index"] in ("auto", "flat")
        if missed > (0 if exact else PROBES // 2 if rule == "max" else PROBES):
            faults.append(f"{rule}: {missed} of {PROBES} answers are not the best")
    column = int(random.integers(len(names)))
    verified = gallery.verify(probes, names[column], fingerprint=fingerprint(model)).scores
    if not np.allclose(verified, wanted["max"][:, column], **near_enough):
        faults.append(f"verify against {names[column]}: {verified}")
    return faults


def leftovers(folder: Path, state: State, random: np.random.Generator) -> list[str]:
    """Say what is left of those removed, and of earlier models, in the bytes of a purged folder."""
    living = [image for person in state["people"].values() for image in person["images"]]
    model, gone = state["model"], state["gone"]
    patterns = {f"source {image}": source(image).encode() for image in gone[-SOME:]}
    for name in state["gone people"][-SOME:]:
        if not any(name in other for other in state["people"]):
            patterns[f"id {name}"] = name.encode()
    for images, models in ((gone, range(model + 1)), (living, range(model))):
        for image in random.permutation(images)[:SOME].astype(int).tolist():
            for each in models[-2:]:
                vector = vectors([image], each)[0]
                for kind in ("<f4", "<f2"):
                    patterns[f"image {image}, {kind}"] = vector.astype(kind).tobytes()[:20]
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = [
        f"{what} is left in {name}"
        for name, content in files.items()
        for what, pattern in patterns.items()
        if pattern in content
    ]
    with closing(sqlite3.connect(folder / "gallery.db")) as db:
        if free := db.execute("PRAGMA freelist_count").fetchone()[0]:
            found.append(f"{free} pages are free")
    return [*found, *(f"{name} is left" for name in files if name not in FILES)]


# -- the soak -----------------------------------------------------------------------------------


def forked(task: Callable[[], object], wait: float | None = None) -> tuple[int, int | None]:
    """Run a task in a child; return its process and, after `wait` seconds, how it ended."""
    child = os.fork()
    if not child:
        code = 1
        try:
            task()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child, None if wait is None else ended(child, wait)


def ended(child: int, wait: float) -> int | None:
    """Wait for a child; return its exit status, or None when it was still running and is killed."""
    until = time.monotonic() + wait
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def kill_one(out: Path, soak: dict[str, Any], kill: int) -> int | None:
    """Let a worker work and kill it; return its exit status where it ended before that."""
    seed, log = soak["settings"]["seed"], out / "log.jsonl"
    random = stream(seed, "kill", kill)
    target = list(VERBS)[kill % len(VERBS)]
    state = copy.deepcopy(soak["state"])
    child, _ = forked(lambda: work(out / "gallery", log, state, seed, kill, target))
    until = time.monotonic() + PATIENCE
    while '"hit": true' not in (log.read_text() if log.is_file() else ""):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1
        time.sleep(0.0005)
    usual = float(np.mean(soak["took"].get(target, [FIRST_GUESS])[-20:]))
    time.sleep(1.2 * usual * random.random() ** 2)
    os.kill(child, signal.SIGKILL)
    return None if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL else 0


def one_round(out: Path, soak: dict[str, Any]) -> None:
    """Kill a worker, judge the gallery and note both in `soak`."""
    kill, log, verdict = len(soak["kills"]), out / "log.jsonl", out / "verdict.json"
    seed, folder, status = soak["settings"]["seed"], out / "gallery", None
    if not log.is_file():
        status = kill_one(out, soak, kill)
    state, in_flight, took = replay(soak["state"], log)
    verdict.unlink(missing_ok=True)
    before = sorted(path.name for path in folder.iterdir())
    _, judged = forked(
        lambda: write_json(verdict, judge(folder, state, in_flight, seed, kill)), PATIENCE
    )
    found = json.loads(verdict.read_text()) if judged == 0 else {"faults": ["the judge failed"]}
    if status not in (None, 0):
        found["faults"].append(f"the worker ended with status {status} before it was killed")
    for verb, seconds in took:
        soak["took"].setdefault(verb, []).append(seconds)
    soak["kills"].append(
        {
            "in": in_flight["verb"] if in_flight else "between changes",
            "was": found.get("in_flight_was"),
            "done": len(took),
            "ended": status == 0,
            "files": before,
            "faults": found["faults"],
        }
    )
    soak["state"] = found.get("state", soak["state"])
    if found["faults"]:
        shutil.copytree(folder, out / f"fault-{kill}", dirs_exist_ok=True)
    write_json(out / "soak.json", soak)
    log.unlink(missing_ok=True)


def summary(soak: dict[str, Any]) -> dict[str, Any]:
    """Count what was hit and what came of it."""
    kills: dict[str, dict[str, int]] = {}
    for kill in soak["kills"]:
        counts = kills.setdefault(kill["in"], {})
        for name in ("killed", f"in flight: {kill['was']}"):
            counts[name] = counts.get(name, 0) + 1
    return {
        "kills": sum(not kill["ended"] for kill in soak["kills"]),
        "changes acknowledged": sum(kill["done"] for kill in soak["kills"]),
        "temporary files found": sum(
            any(name.startswith(".index.snapshot.") for name in kill["files"])
            for kill in soak["kills"]
        ),
        "by verb": dict(sorted(kills.items())),
        "people": len(soak["state"]["people"]),
        "images": images_in(soak["state"]),
        "faults": [fault for kill in soak["kills"] for fault in kill["faults"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for all of it")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    until, settings, file = (
        time.monotonic() + options.seconds,
        {"seed": options.seed},
        options.out / "soak.json",
    )
    import_faiss()  # once for all children
    if file.is_file():
        soak = json.loads(file.read_text())
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        soak = {"settings": settings, "state": begin(), "took": {}, "kills": []}
        shutil.rmtree(options.out / "gallery", ignore_errors=True)
        origin = {"fingerprint": fingerprint(0), "dimension": DIMENSIONS[0]}
        Gallery.create(options.out / "gallery", **origin).close()
        write_json(file, soak)
    if soak["settings"] != settings:
        sys.exit(f"{options.out} was made with other settings: choose another folder")
    while (
        sum(not kill["ended"] for kill in soak["kills"]) < options.kills
        and not (soak["kills"] and soak["kills"][-1]["faults"])
        and time.monotonic() < until
    ):
        one_round(options.out, soak)
    print(json.dumps(summary(soak), indent=2))
    if soak["kills"] and soak["kills"][-1]["faults"]:
        sys.exit(f"a fault: {options.out} has a copy of the gallery as it was judged")


if __name__ == "__main__":
    main()
