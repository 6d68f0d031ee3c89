"""Clients that search, enrol and remove at once, and a judge of all their answers.

A client notes when it sent each request and when the answer came. Somebody whose enrolment was
acknowledged before a search was sent, and whose removal was not yet asked for when its answer came,
must be searched; somebody whose removal was acknowledged before must not be in the answer; whoever
was changed meanwhile may be. That leaves one correct answer for each search.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np

from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from tools.soak.service_process import DIMENSION, Caller, Server

STABLE, PROBES, NEAREST = 300, 256, 5
NOBODY = 1_000_000  # in the place of a client: those who are not changed
NEAR_ENOUGH = 1e-6  # between cosines in float32 and in float64
_NOISE = 0.5


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@lru_cache
def probes() -> np.ndarray:
    """Return the probes of all searches, float32 [PROBES, DIMENSION]."""
    return _unit(stream(0, "probes").standard_normal((PROBES, DIMENSION)))


def vectors(client: int, number: int) -> np.ndarray:
    """Return the two vectors of a person, float32 [2, DIMENSION]: near the probe `probe_of`."""
    noise = _unit(stream(0, "person", client, number).standard_normal((2, DIMENSION)))
    return _unit(probes()[probe_of(client, number)] + _NOISE * noise)


def probe_of(client: int, number: int) -> int:
    """Return the probe that a person is near to."""
    return (37 * client + number) % PROBES


class Times(NamedTuple):
    """When a person's enrolment and removal were sent and acknowledged; inf: not."""

    enrol_sent: float
    enrolled: float
    removal_sent: float = inf
    removed: float = inf


class Search(NamedTuple):
    """A search of one probe: candidates as (person, score)."""

    probe: int
    sent: float
    answered: float
    candidates: list[tuple[str, float]]


class Client:
    """One client. It changes only people of its own; their ids are "CLIENT-NUMBER"."""

    def __init__(self, load: "Load", number: int) -> None:
        self.load, self.number = load, number
        self.people: dict[str, Times] = {}
        self.searches: list[Search] = []
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._caller = Caller(load.server)
        self._random = stream(load.seed, "client", number)
        self._living: list[int] = []
        self._next = 0

    def run(self, until: float) -> None:
        """Ask until a time."""
        try:
            while time.monotonic() < until and not self.faults:
                draw = self._random.random()
                if draw < 0.1:
                    self._enrol()
                elif draw < 0.2 and self._living:
                    self._remove()
                elif draw < 0.3:
                    self._verify(int(self._random.integers(STABLE)))
                else:
                    count = int(self._random.integers(1, 5))
                    self._search(self._random.integers(PROBES, size=count).tolist())
        except Exception as error:  # a fault like any other
            self.faults.append(f"client {self.number}: {type(error).__name__}: {error}")

    def _ask(self, what: str, method: str, path: str, body: Any, *right: int) -> tuple[int, Any]:
        """Ask; return the status 0 where the connection was dropped."""
        try:
            status, said = self._caller.ask(method, path, body)
        except (OSError, http.client.HTTPException):
            if not self.load.may_drop:
                raise
            self.done[f"{what}: dropped"] += 1
            time.sleep(0.02)
            return 0, None
        self.done[f"{what}: {status}"] += 1
        if status in (429, 503):
            time.sleep(0.02)
        elif status not in right:
            self.faults.append(f"{what}: status {status}: {str(said)[:200]}")
        return status, said

    def _enrol(self) -> None:
        number, self._next = self._next, self._next + 1
        name = f"{self.number}-{number}"
        body = {
            "embeddings": vectors(self.number, number).tolist(),
            "fingerprint": self.load.server.fingerprint,
        }
        sent = time.monotonic()
        status, _ = self._ask("enrol", "POST", f"/v1/people/{name}/images", body, 201)
        if status == 201:
            self.people[name] = Times(sent, time.monotonic())
            self._living.append(number)
        elif not status:
            self.people[name] = Times(sent, inf)

    def _remove(self) -> None:
        number = self._living.pop(int(self._random.integers(len(self._living))))
        name = f"{self.number}-{number}"
        sent = time.monotonic()
        status, _ = self._ask("remove", "DELETE", f"/v1/people/{name}", None, 200)
        if status == 200:
            self.people[name] = self.people[name]._replace(
                removal_sent=sent, removed=time.monotonic()
            )
            self._search([probe_of(self.number, number)])
        elif not status:
            self.people[name] = self.people[name]._replace(removal_sent=sent)
        else:
            self._living.append(number)

    def _verify(self, person: int) -> None:
        probe = int(self._random.integers(PROBES))
        body = {
            "embeddings": [self.load.rows[probe]],
            "fingerprint": self.load.server.fingerprint,
            "person": f"s-{person}",
        }
        status, said = self._ask("verify", "POST", "/v1/verify", body, 200)
        if status == 200:
            score, true = said["probes"][0]["score"], float(self.load.stable[probe, person])
            if abs(score - true) > NEAR_ENOUGH:
                self.faults.append(f"verify probe {probe} against s-{person}: {score}, not {true}")

    def _search(self, wanted: list[int]) -> None:
        body = {
            "embeddings": [self.load.rows[probe] for probe in wanted],
            "fingerprint": self.load.server.fingerprint,
            "k": NEAREST,
        }
        sent = time.monotonic()
        status, said = self._ask("search", "POST", "/v1/search", body, 200)
        answered = time.monotonic()
        if status == 200:
            for probe, answer in zip(wanted, said["answers"], strict=True):
                given = [(one["person"], one["score"]) for one in answer["candidates"]]
                self.searches.append(Search(probe, sent, answered, given))


class Load:
    """A load on a service.

    Args:
        server: The service, over a gallery from `enrol_stable`.
        clients: Number of clients.
        seed: What they ask.
        may_drop: Whether connections may be dropped, as by a worker that is killed.
    """

    def __init__(self, server: Server, clients: int, seed: int, may_drop: bool = False) -> None:
        self.server, self.seed, self.may_drop = server, seed, may_drop
        self.rows = [row.tolist() for row in probes()]
        people = np.stack([vectors(NOBODY, number) for number in range(STABLE)])
        self.stable = _scores(people)
        self.clients = [Client(self, number) for number in range(clients)]

    def run(self, seconds: float, disturb: Callable[[float], list[str]] | None = None) -> None:
        """Let all clients ask for so long, and `disturb` at the same time.

        Args:
            seconds: How long.
            disturb: Called with the seconds; returns faults, and ends before the load does.
        """
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=one.run, args=(until,)) for one in self.clients]
        for thread in threads:
            thread.start()
        said = disturb(seconds) if disturb is not None else []
        for thread in threads:
            thread.join()
        self.clients[0].faults += said

    @property
    def done(self) -> dict[str, int]:
        """How many requests were answered how."""
        return dict(sorted(sum((one.done for one in self.clients), Counter[str]()).items()))

    def judge(self) -> list[str]:
        """Return what was wrong with the answers, and with the gallery at the end."""
        faults = [fault for one in self.clients for fault in one.faults]
        return (faults + self._wrong_answers() + self._wrong_end())[:20]

    def _wrong_answers(self) -> list[str]:
        times = {f"s-{number}": Times(0, 0) for number in range(STABLE)}
        people = [vectors(NOBODY, number) for number in range(STABLE)]
        for one in self.clients:
            times |= one.people
            people += [vectors(one.number, int(name.split("-")[1])) for name in one.people]
        column = {name: place for place, name in enumerate(times)}
        scores = _scores(np.stack(people))
        enrol_sent, enrolled, removal_sent, removed = np.array(list(times.values())).T
        faults = []
        for search in (search for one in self.clients for search in one.searches):
            surely = (enrolled < search.sent) & (removal_sent > search.answered)
            absent = (removed < search.sent) | (enrol_sent > search.answered)
            if unknown := [name for name, _ in search.candidates if name not in column]:
                faults.append(f"{unknown} were not enrolled")
                continue
            given = [column[name] for name, _ in search.candidates]
            if gone := [name for name, _ in search.candidates if absent[column[name]]]:
                faults.append(f"{gone} are in an answer, and were removed or not enrolled yet")
                continue
            surely[given] = True
            row = scores[search.probe]
            best = np.sort(row[surely])[::-1][:NEAREST]
            told = np.array([score for _, score in search.candidates])
            same = len(told) == len(best) and np.abs(told - best).max() <= NEAR_ENOUGH
            if not same or np.abs(told - row[given]).max() > NEAR_ENOUGH:
                faults.append(f"probe {search.probe}: {search.candidates}, not {best.tolist()}")
        return faults

    def _wrong_end(self) -> list[str]:
        """Compare people and answers of the service with those of the gallery alone."""
        caller, faults = Caller(self.server), []
        body = {"embeddings": self.rows[:64], "fingerprint": self.server.fingerprint}
        status, said = caller.ask("POST", "/v1/search", {**body, "k": NEAREST})
        if status != 200:
            return [f"the last search: status {status}: {str(said)[:200]}"]
        with Gallery.open(self.server.gallery) as gallery:
            found = gallery.search(probes()[:64], NEAREST, fingerprint=self.server.fingerprint)
            there = {one.person for one in gallery.people()}
        for probe, (answer, alone) in enumerate(zip(said["answers"], found, strict=True)):
            told = [(one["person"], one["score"]) for one in answer["candidates"]]
            if told != [(one.person, one.score) for one in alone.candidates]:
                faults.append(f"probe {probe}: {told}, and the gallery alone: {alone.candidates}")
        for one in self.clients:
            for name, when in one.people.items():
                if when.removed < inf and name in there:
                    faults.append(f"{name} was removed, and is there")
                if when.enrolled < inf and when.removal_sent == inf and name not in there:
                    faults.append(f"{name} is lost")
        return faults


def enrol_stable(server_gallery: Gallery) -> None:
    """Enrol those who are not changed."""
    rows = np.concatenate([vectors(NOBODY, number) for number in range(STABLE)])
    names = [f"s-{number}" for number in range(STABLE) for _ in range(2)]
    server_gallery.enroll(rows, names, fingerprint=server_gallery.fingerprint)


def _scores(people: np.ndarray) -> np.ndarray:
    """Return the scores of all probes and people [N, 2, DIMENSION]: the best image's cosine."""
    cosines = np.einsum("pd,nid->pni", probes().astype(np.float64), people.astype(np.float64))
    return cosines.max(axis=2)
