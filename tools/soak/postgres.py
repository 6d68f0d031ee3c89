"""Servers of PostgreSQL that fail at random moments under nodes that write and ask.

    python -m tools.soak.postgres --out SOAK [--rounds 40] [--seconds 600] [--seed 0]
    python -m tools.soak.postgres --out SOAK --only asynchronous --rounds 10

Each round has new servers, writers that enrol people of three images and remove some of them, and a
node that asks all the time. At a random moment, of the round's kind:

- `killed`: the server is ended as by a loss of power, and started again;
- `stopped`: an administrator restarts it;
- `failover`: it is killed, and a replica that it waited for at each commit takes over;
- `asynchronous`: the same, with a replica that it did not wait for and that heard nothing for half
  a second: what was acknowledged in that time is lost, and it is counted;
- `flood`: three times as many clients as the server has connections, and connections that are
  terminated every few milliseconds.

Then a judge compares the gallery with what was acknowledged: everything is there (except in
`asynchronous`), each change whole or not at all, change numbers have no gap, `check` finds nothing,
and the node answers as a new one does. No answer had half an enrolment or a person whose removal
was acknowledged. An error is one line. Every round is written down: the same command goes on where
it stopped, and stops for good at the first fault.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from facever.core.json_files import write_json
from facever.core.seeding import stream
from facever.errors import NotEnrolledError, UnavailableError
from facever.gallery.gallery import Gallery
from facever.gallery.store.postgres.address import parse_address
from tests.postgres.server import Server

EACH, DIMENSION, WRITERS = 3, 16, 4
BEFORE, AFTER = (0.3, 2.0), 1.0  # seconds of work before and after the failure
BEHIND = 0.5  # seconds without news for the replica that takes over in `asynchronous`
CLIENTS, CONNECTIONS = 24, 16  # of a flood; a client needs two
MODEL = {"fingerprint": "model"}
DURABLE = {"shared_buffers": "16MB", "max_connections": "60"}
KINDS = {
    "killed": DURABLE,
    "stopped": DURABLE,
    "failover": DURABLE | {"synchronous_commit": "remote_apply", "synchronous_standby_names": "*"},
    "asynchronous": DURABLE,
    "flood": DURABLE | {"max_connections": str(CONNECTIONS)},
}


@dataclass
class Round:
    """What the clients of a round did and saw."""

    address: str
    keeps: bool  # whether everything that is acknowledged has to be kept
    stop: threading.Event = field(default_factory=threading.Event)
    there: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)  # not acknowledged: whole or not at all
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lost: int = 0
    answers: int = 0

    def note(self, error: BaseException) -> None:
        """Count an error that may be; note any other one as a fault."""
        said = str(error)
        if isinstance(error, UnavailableError) and "\n" not in said:
            self.refused[said.partition("gallery=gallery: ")[2][:60]] += 1
        else:
            self.faults.append(f"{type(error).__name__}: {said}")


@lru_cache(maxsize=100_000)
def vectors(person: str) -> np.ndarray:
    rows = stream(0, "person", person).standard_normal((EACH, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(now: Round, at: int, random: np.random.Generator) -> None:
    """Enrol and remove people until the end of the round."""
    mine: list[str] = []
    gallery, number = None, 0
    while not now.stop.is_set():
        number += 1
        person = f"{at}-{number}"
        removed = (
            mine.pop(int(random.integers(len(mine)))) if random.random() * len(mine) > 2 else ""
        )
        try:
            gallery = gallery or Gallery.open(now.address, wait=5)
            if removed:
                now.unknown.add(removed)
                now.there.discard(removed)
                gallery.remove(removed)
                now.gone.add(removed)
                now.unknown.discard(removed)
            else:
                now.unknown.add(person)
                gallery.enroll(vectors(person), person, duplicates="keep", **MODEL)
                now.there.add(person)
                now.unknown.discard(person)
                mine.append(person)
        except Exception as error:
            if isinstance(error, NotEnrolledError) and not now.keeps:  # lost
                now.there.add(removed)
                now.unknown.discard(removed)
                continue
            now.note(error)
            if str(error).endswith("nothing was changed"):  # the judge holds it to that
                now.unknown.discard(removed or person)
                if removed:
                    now.there.add(removed)
                    mine.append(removed)
            now.stop.wait(0.02)
    if gallery is not None:
        gallery.close()


def ask(now: Round, node: Gallery) -> None:
    """Look for half enrolments and, where removals are kept, for those removed."""
    probe = vectors("probe")[:1]
    while not now.stop.is_set():
        gone = set(now.gone)
        try:
            info = node.info()
            if not info.images == info.entries == EACH * info.people:
                now.faults.append(f"{info.images} images of {info.people} people")
            found = node.search(probe, 1000, **MODEL)[0].candidates
            people = [one.person for one in found]
            if now.keeps and gone & set(people):
                now.faults.append(f"removed, but in an answer: {sorted(gone & set(people))}")
            if len(set(people)) < len(people):
                now.faults.append("a person is twice in an answer")
            now.answers += 1
        except Exception as error:
            now.note(error)
        now.stop.wait(0.01)


@contextmanager
def servers(kind: str) -> Iterator[list[Server]]:
    """Yield the server of a round, and its replica if the kind has one."""
    with ExitStack() as stack:
        folders = [Path(tempfile.mkdtemp(prefix="facever-soak-")) for _ in range(2)]
        stack.callback(folders[1].rmdir) if kind not in ("failover", "asynchronous") else None
        made = [stack.enter_context(Server.make(folders[0], KINDS[kind]))]
        if kind in ("failover", "asynchronous"):
            alone = {"synchronous_standby_names": ""}
            made.append(stack.enter_context(made[0].make_standby(folders[1], alone)))
        yield made


def either(made: list[Server]) -> str:
    """Return the address of the one that is written to."""
    hosts = ",".join(str(server.folder) for server in made)
    return (
        f"postgresql://postgres@/postgres?host={hosts}&port=5432"
        "&target_session_attrs=read-write&gallery=gallery"
    )


def disturb(kind: str, made: list[Server], random: np.random.Generator) -> Server:
    """Bring about the failure; return the server that is written to afterwards."""
    if kind == "flood":
        until = time.monotonic() + 3
        sql = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'facever' ORDER BY random() LIMIT 1"
        )
        while time.monotonic() < until:
            with suppress(psycopg.OperationalError):  # no connection is left for this either
                made[0].execute(sql)
            time.sleep(0.02 * random.random())
        return made[0]
    if kind == "asynchronous":
        made[1].execute("ALTER SYSTEM SET primary_conninfo TO ''")
        made[1].reload()
        time.sleep(BEHIND)
    if kind == "stopped":
        made[0].stop()
    else:
        made[0].kill()
    if kind in ("killed", "stopped"):
        made[0].start()
        return made[0]
    made[1].promote()
    return made[1]


def run(kind: str, random: np.random.Generator) -> dict[str, Any]:
    """Run a round; return what it gave."""
    with servers(kind) as made:
        now = Round(either(made), keeps=kind != "asynchronous")
        Gallery.create(now.address, dimension=DIMENSION, **MODEL).close()
        node = Gallery.open(now.address, wait=5)
        clients = CLIENTS if kind == "flood" else WRITERS
        threads = [
            threading.Thread(target=write, args=(now, at, stream(at, str(random.random()))))
            for at in range(clients)
        ]
        threads.append(threading.Thread(target=ask, args=(now, node)))
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(*BEFORE))
        server = disturb(kind, made, random)
        time.sleep(AFTER)
        now.stop.set()
        for thread in threads:
            thread.join()
        judge(now, node, server.address(gallery="gallery"))
        node.close()
    return {
        "kind": kind,
        "acknowledged": len(now.there) + 2 * len(now.gone),
        "not acknowledged": len(now.unknown),
        "lost": now.lost,
        "answers": now.answers,
        "refused": dict(now.refused),
        "faults": now.faults,
    }


def judge(now: Round, node: Gallery, address: str) -> None:
    """Compare the gallery with what was acknowledged."""
    with Gallery.open(address) as fresh:
        people = {one.person: one.images for one in fresh.people()}
        lost = (now.there - set(people)) | (now.gone & set(people))
        now.lost = len(lost)
        if now.keeps and lost:
            now.faults.append(f"acknowledged, but lost: {sorted(lost)}")
        if wrong := {person for person, images in people.items() if images != EACH}:
            now.faults.append(f"not whole: {sorted(wrong)}")
        if wrong := set(people) - now.there - now.unknown - now.gone:
            now.faults.append(f"nobody enrolled them: {sorted(wrong)}")
        now.faults += [str(finding) for finding in fresh.check()]
        for person in sorted(now.there | now.gone)[:: max(1, len(now.there) // 50)]:
            wanted, given = (one.search(vectors(person), 5, **MODEL) for one in (fresh, node))
            for a, b in zip(wanted, given, strict=True):
                if a.candidates != b.candidates:
                    now.faults.append(
                        f"{person}: the node answers {b.candidates}, not {a.candidates}"
                    )
                if person in people and a.candidates[0].person != person:
                    now.faults.append(f"{person} is not found")
    with psycopg.connect(parse_address(address).conninfo) as raw:
        sql = "SELECT min(change), max(change), count(*) FROM facever_gallery.changes"
        ((first, last, count),) = raw.execute(sql).fetchall()
    if (first, last) != (1, count):
        now.faults.append(f"change numbers from {first} to {last}, but {count} changes")


def summary(soak: dict[str, Any]) -> dict[str, Any]:
    """Add up the rounds of each kind."""
    found: dict[str, Any] = {}
    for one in soak["rounds"]:
        of = found.setdefault(one["kind"], Counter())
        of.update({"rounds": 1, "refused": sum(one["refused"].values())})
        of.update({k: one[k] for k in ("acknowledged", "not acknowledged", "lost", "answers")})
    return {**found, "faults": [fault for one in soak["rounds"] for fault in one["faults"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for what was found")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    options = parser.parse_args()
    settings = {"seed": options.seed, "only": options.only}
    until, file = time.monotonic() + options.seconds, options.out / "soak.json"
    soak = {"settings": settings, "rounds": []}
    if file.is_file():
        soak = json.loads(file.read_text())
    else:
        options.out.mkdir(parents=True, exist_ok=True)
    if soak["settings"] != settings:
        sys.exit(f"{options.out} was made with other settings: choose another folder")
    rounds: list[dict[str, Any]] = soak["rounds"]
    while (
        len(rounds) < options.rounds
        and not (rounds and rounds[-1]["faults"])
        and time.monotonic() < until
    ):
        kind = options.only[len(rounds) % len(options.only)]
        rounds.append(run(kind, stream(options.seed, "round", len(rounds))))
        write_json(file, soak)
    print(json.dumps(summary(soak), indent=2))
    if rounds and rounds[-1]["faults"]:
        sys.exit("a fault")


if __name__ == "__main__":
    main()
