"""The service under load and under hostile requests: what must never happen, and figures.

    python -m tools.soak.service [--requests 5000] [--clients 64] [--seconds 60] [--level 20000]

It makes a small network and a gallery of its own, and starts one real server. tests/service has a
tenth of it.

- Requests made up from the OpenAPI document: none is a failure of the service (5xx).
- Clients that send nothing, half a header or half a body do not stop the others.
- Searches while people are enrolled and removed: answers have the scores that the gallery alone
  gives, and nobody whose removal was acknowledged before the question.
- Memory stays level over many requests.
"""

import argparse
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from facever.client import Client
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from facever.service.app import create_app
from facever.service.service import Service
from tests.http_photos import HOST
from tests.made_up_requests import MadeUp, requests
from tests.onnx_files import write_network
from tests.squares import AlignedColours, SquareCropper

STAYING, PASSING = [f"stays {i}" for i in range(20)], [f"passes {i}" for i in range(6)]


def crop(person: str, shot: int = 0) -> np.ndarray:
    random = np.random.default_rng([*person.encode(), shot])
    colour = np.random.default_rng([*person.encode()]).integers(40, 216, 3)
    return np.uint8(np.clip(colour + random.normal(0, 20, (24, 16, 3)), 0, 255))


def made_up(folder: Path, count: int) -> None:
    Gallery.create(folder / "made-up", AlignedColours()).close()
    service = Service(AlignedColours(), folder / "made-up", cropper=SquareCropper)
    with TestClient(create_app(service), base_url=HOST, raise_server_exceptions=False) as client:
        statuses: dict[int, int] = {}

        @settings(
            max_examples=count, database=None, deadline=None, suppress_health_check=[*HealthCheck]
        )
        @given(asked=requests())
        def ask(asked: MadeUp) -> None:
            reply = client.request(
                asked.method, asked.path, headers=asked.headers, content=asked.body
            )
            statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
            assert reply.status_code < 500, (asked, reply.text)

        ask()
    print(f"made-up requests: {dict(sorted(statuses.items()))}")


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the address of a server and its process id."""
    weights = np.random.default_rng(3).normal(size=(3, 8)).astype(np.float32)
    source, model = write_network(folder / "source.onnx", weights, batch=1), folder / "model.onnx"
    facever = [sys.executable, "-m", "facever"]
    how = ["--size", "24x16", "--mean", "127.5", "--std", "128", "--out", str(model)]
    subprocess.run([*facever, "models", "add", str(source), *how], check=True, capture_output=True)
    Gallery.create(folder / "people", load_model(model)).close()
    command = [*facever, "serve", str(folder / "people"), "--model", str(model), "--port", "0"]
    limits = ["--limit", "requests_each=256", "--limit", "seconds=20"]
    process = subprocess.Popen([*command, *limits], stderr=subprocess.PIPE, text=True)
    try:
        line = ""
        while "answers at" not in line:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line, "the server did not start"
        yield re.search(r"http\S+", line)[0], process.pid  # type: ignore[index]
    finally:
        process.terminate()
        assert process.wait(60) == 0, "the server did not stop cleanly"


def slow_clients(url: str, count: int = 50) -> None:
    client, port = Client(url), int(url.rsplit(":", 1)[1])

    def latency() -> float:
        took = []
        for shot in range(100):
            began = time.perf_counter()
            client.search(crop(STAYING[0], shot))
            took.append(time.perf_counter() - began)
        return median(took)

    before = latency()
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n{"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for number, one in enumerate(slow):
        one.sendall((b"", b"POST /v1", head)[number % 3])
    during = latency()
    for one in slow:
        one.close()
    print(f"median latency: {1e3 * before:.1f} ms, with {count} slow clients {1e3 * during:.1f} ms")
    assert during < 3 * before + 0.01


def churn(url: str, clients: int, seconds: float) -> None:
    client, lock, removed = Client(url, timeout=120), threading.Lock(), dict[str, float]()
    alone = {one: client.search(crop(one, 1), 50)[0].candidates[0].score for one in STAYING}
    until, counts = time.monotonic() + seconds, [0, 0]

    def ask(number: int) -> None:
        person = STAYING[number % len(STAYING)]
        while time.monotonic() < until:
            with lock:
                gone = dict(removed)
            candidates = client.search(crop(person, 1), 50)[0].candidates
            with lock:
                still = {one for one, since in gone.items() if removed.get(one) == since}
                counts[0] += 1
            scores = {one.person: one.score for one in candidates}
            assert scores[person] == alone[person], "an answer differs from the gallery's own"
            assert not still & set(scores), "a removed person was found"

    def change(person: str) -> None:
        while time.monotonic() < until:
            with lock:
                removed.pop(person, None)
            client.enroll(crop(person), person, conflicts="ignore")
            client.remove(person)
            with lock:
                removed[person] = time.monotonic()
                counts[1] += 2

    with ThreadPoolExecutor(clients) as pool:
        tasks = [pool.submit(change, one) for one in PASSING]
        tasks += [pool.submit(ask, number) for number in range(clients - len(PASSING))]
        for task in tasks:
            task.result()
    print(
        f"{clients} clients for {seconds:g} s: {counts[0]:,} searches, {counts[1]:,} changes, right"
    )


def level(url: str, process: int, count: int) -> None:
    client = Client(url)
    sizes = []
    for _ in range(4):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda shot: client.search(crop(STAYING[3], shot)), range(count // 4)))
        status = Path(f"/proc/{process}/status").read_text()
        sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e3)  # type: ignore[index]
    print(f"memory over {count:,} requests: {', '.join(f'{one:.0f}' for one in sizes)} MB")
    assert sizes[-1] < 1.1 * sizes[0] + 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--level", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made_up(Path(name), asked.requests)
        with server(Path(name)) as (url, process):
            client = Client(url)
            for person in STAYING:
                client.enroll([crop(person), crop(person, 2)], person, conflicts="ignore")
            slow_clients(url)
            churn(url, asked.clients, asked.seconds)
            level(url, process, asked.level)


if __name__ == "__main__":
    main()
