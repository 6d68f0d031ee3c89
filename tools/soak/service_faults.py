"""What clients do to a service: send slowly, send damaged bodies, ask many thousand times."""

import base64
import json
import socket
import threading
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from facever.core.seeding import stream
from tools.soak.service_load import probes
from tools.soak.service_process import SIZE, Caller, Server

HUNG = 5.0  # seconds after which an answer of a fast client came too late
GROWTH = 8.0  # MiB that a service may grow by in the second half of many requests


# -- slow clients ---------------------------------------------------------------------------------


def slow_clients(server: Server, slow: int, fast: int, seconds: float, limit: float) -> dict:
    """Let fast clients search without and then with slow ones, which send a byte now and then.

    Args:
        server: The service, with the limit `seconds=limit`.
        slow, fast: Numbers of clients.
        seconds: How long, for each of the two.
        limit: Seconds after which the service cuts a slow client off.
    """
    alone, _ = _ask_fast(server, fast, seconds)
    stop = threading.Event()
    lives: list[float] = []
    threads = [
        threading.Thread(target=_trickle, args=(server, number % 2 == 0, stop, lives))
        for number in range(slow)
    ]
    for thread in threads:
        thread.start()
    beside, faults = _ask_fast(server, fast, seconds)
    stop.set()
    for thread in threads:
        thread.join()
    if late := [f"{one:.1f} s" for one in lives if one > limit + HUNG]:
        faults.append(f"slow clients were cut off after {late}, and the limit is {limit} s")
    if len(lives) < slow:
        faults.append(f"only {len(lives)} slow clients were cut off")
    return {
        "requests": len(beside),
        "cut off": len(lives),
        "median ms": [round(1000 * float(np.median(one)), 1) for one in (alone, beside)],
        "slowest ms": [round(1000 * max(one), 1) for one in (alone, beside)],
        "faults": faults,
    }


def _ask_fast(server: Server, clients: int, seconds: float) -> tuple[list[float], list[str]]:
    """Return how long the answers took, in seconds, and the faults."""
    took: list[float] = []
    faults: list[str] = []
    body = {"embeddings": probes()[:1].tolist(), "fingerprint": server.fingerprint}
    until = time.monotonic() + seconds

    def run() -> None:
        caller = Caller(server)
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                status, said = caller.ask("POST", "/v1/search", body)
            except Exception as error:
                faults.append(f"a fast client: {type(error).__name__}: {error}")
                return
            took.append(time.monotonic() - began)
            if status != 200 or took[-1] > HUNG:
                faults.append(f"a fast client: status {status} after {took[-1]:.1f} s: {said}")

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, faults[:5]


def _trickle(server: Server, in_header: bool, stop: threading.Event, lives: list[float]) -> None:
    """Send a request a byte at a time, again and again; note for how long each was let live."""
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    whole = head + b"Content-Length: 5000\r\n\r\n"
    begun = False
    while not (begun and stop.is_set()):
        begun, began = True, time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port)) as one:
            one.settimeout(0.2)
            sent = 10 if in_header else len(whole)
            try:
                one.sendall(whole[:sent])
                while time.monotonic() < began + 60:
                    with suppress(TimeoutError):
                        if one.recv(4096) == b"":
                            break
                    one.sendall(whole[sent : sent + 1] if in_header else b" ")
                    sent += sent < len(head) - 2  # the header never ends
            except OSError:
                pass
        lives.append(time.monotonic() - began)


# -- damaged bodies -------------------------------------------------------------------------------

_ROUTES = (
    *(("POST", f"/v1/{one}") for one in ("search", "verify", "detect", "people", "thresholds")),
    *(("POST", f"/v1/people/s-1/{one}") for one in ("images", "merge", "split")),
    ("PATCH", "/v1/people/s-1"),
)


def damaged_bodies(server: Server, count: int, seed: int) -> dict:
    """Send damaged bodies; none may have a status of 500, or stop the service."""
    random, statuses, faults = stream(seed, "bodies"), Counter[str](), list[str]()
    for number in range(count):
        method, path = _ROUTES[number % len(_ROUTES)]
        kind, body = _damaged(random, server.fingerprint)
        cut = random.random() < 0.3
        promised = len(body) + int(cut) * int(random.integers(1, 100))
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += f"Content-Type: {kind}\r\nContent-Length: {promised}\r\n\r\n"
        status = _raw(server, head.encode() + body, cut)
        statuses[status or "closed by the client"] += 1
        if status.startswith("5") and status != "503":
            faults.append(f"{method} {path} ({kind}, {body[:80]!r}): {status}")
        if status == "late":
            faults.append(f"{method} {path} ({kind}, {body[:80]!r}) was not answered")
    if Caller(server).ask("GET", "/v1/health/ready")[0] != 200:
        faults.append("the service is not ready any more")
    faults += [f"metrics: {line}" for line in counted_as_defects(server)]
    return {"requests": count, "statuses": dict(sorted(statuses.items())), "faults": faults}


def _raw(server: Server, data: bytes, cut: bool) -> str:
    """Send bytes, and close the connection if they are `cut`.

    Returns:
        The status; "" for none, "late" where the service neither answers nor closes.
    """
    with socket.create_connection(("127.0.0.1", server.port), timeout=HUNG) as one:
        said = b""
        try:
            one.sendall(data)
            if cut:
                return ""
            while more := one.recv(65536):
                said += more
        except TimeoutError:
            return "late"
        except OSError:
            return ""
    return said[9:12].decode()


def counted_as_defects(server: Server) -> list[str]:
    """Return the lines of the metrics that count answers with status 500."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as reply:
        return [line for line in reply.read().decode().splitlines() if 'status="500"' in line]


def _damaged(random: np.random.Generator, fingerprint: str) -> tuple[str, bytes]:
    """Return the content type and the bytes of a damaged body."""
    image = crop(random)
    fields: dict[str, Any] = {"images": [base64.b64encode(image).decode()] * 2}
    if random.random() < 0.4:
        fields = {"embeddings": probes()[:2].tolist(), "fingerprint": fingerprint}
    if random.random() < 0.5:
        fields[
            str(random.choice(["k", "where", "person", "into", "metadata", "face", "track"]))
        ] = _STRANGE[int(random.integers(len(_STRANGE)))]
    kind, body = "application/json", json.dumps(fields).encode()
    if random.random() < 0.4:
        kind = "multipart/form-data; boundary=x"
        part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        body = (part + image + b"\r\n") * 2 + b"--x--\r\n"
        kind = kind if random.random() < 0.8 else "multipart/form-data"
    return kind, _DAMAGES[int(random.integers(len(_DAMAGES)))](body, random)


_STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 10**400, 1e308, "", "a" * 10_000, "\x00", "\ud800", "..", [], {}),
    *([[[]]], {"": {"": []}}, {"a": [None] * 1000}, float("nan"), float("inf")),
)


def _flipped(body: bytes, random: np.random.Generator) -> bytes:
    data = bytearray(body)
    for place in random.integers(len(data), size=int(random.integers(1, 20))):
        data[place] = int(random.integers(256))
    return bytes(data)


_DAMAGES = (
    lambda body, random: body[: int(random.integers(len(body)))],
    lambda body, random: body,  # only a field is strange, or too few bytes are sent
    _flipped,
    lambda body, random: body + random.bytes(int(random.integers(1, 200))),
    lambda body, random: random.bytes(int(random.integers(1, 2000))),
    lambda body, random: b"[" * 100_000,
    lambda body, random: body.replace(b'"', b"'"),
    lambda body, random: body.replace(b"\r\n", b"\n", int(random.integers(1, 5))),
    lambda body, random: b"\xff\xfe" + body,
    lambda body, random: b"",
)


def crop(random: np.random.Generator) -> bytes:
    """Return a crop as a PNG file."""
    return bytes(cv2.imencode(".png", random.integers(0, 256, (*SIZE, 3), np.uint8))[1])


# -- memory ---------------------------------------------------------------------------------------


def memory(server: Server, requests: int, clients: int, seed: int) -> dict:
    """Ask many questions; the resident memory must be level in their second half."""
    asked, taken, faults = threading.Lock(), [0], list[str]()
    samples: list[tuple[int, float]] = []
    image = base64.b64encode(crop(stream(seed, "crop"))).decode()
    vectors = {"embeddings": probes()[:4].tolist(), "fingerprint": server.fingerprint}
    questions = (
        ("/v1/search", vectors),
        ("/v1/search", {"images": [image, image]}),
        ("/v1/verify", {"images": [image, image]}),
        ("/v1/verify", {**vectors, "person": "s-1"}),
    )

    def run() -> None:
        caller = Caller(server)
        while not faults:
            with asked:
                if taken[0] >= requests:
                    return
                number, taken[0] = taken[0], taken[0] + 1
                if number % max(requests // 40, 1) == 0:
                    samples.append((number, server.memory()))
            path, body = questions[number % len(questions)]
            status, said = caller.ask("POST", path, body)
            if status != 200:
                faults.append(f"{path}: status {status}: {said}")

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if taken[0] < requests and not faults:
        faults.append("a client has ended")
    before = max(size for number, size in samples if requests // 4 <= number < requests // 2)
    after = max(size for number, size in samples if number >= 3 * requests // 4)
    if after - before > GROWTH:
        faults.append(f"the memory grew from {before:.0f} to {after:.0f} MiB")
    return {
        "requests": taken[0],
        "MiB": [round(size, 1) for _, size in samples],
        "growth MiB, last quarter over the second": round(after - before, 1),
        "faults": faults,
    }
