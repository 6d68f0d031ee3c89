"""The service against the bare pipeline, in ratios; one run, one table.

    python tools/bench/service.py [--photos 400] [--people 5000] [--clients 16] [--workers 1] ...

It needs Linux, FACEVER_DATA with lfw/raw_sample, and the models `yunet` and `sface`. The bare
pipeline decodes, detects, aligns, embeds and searches batches of photos in one process, without
HTTP and without a log (`Recognizer.search`). The service is another process of the same machine,
and the clients share its cores: what each of them costs is told as CPU time. Bare and served take
turns of two seconds, so that a busy moment of the machine hits both; `served_over_bare` is the
ratio of all photos per second, the clients' work included.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from facever.recognizer import Recognizer

BATCH = 32
TURN = 2.0  # seconds
TICKS = os.sysconf("SC_CLK_TCK")
HEADERS = {"Content-Type": "multipart/form-data; boundary=facever"}


def photos_of(count: int) -> list[bytes]:
    folder = Path(os.environ.get("FACEVER_DATA", "")) / "lfw" / "raw_sample"
    found = sorted(folder.rglob("*.jpg"))[:count]
    if not found:
        raise SystemExit("FACEVER_DATA has no lfw/raw_sample: set it to a folder with real photos")
    return [one.read_bytes() for one in found]


def form(photo: bytes) -> bytes:
    head = b'--facever\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    return head + photo + b"\r\n--facever--\r\n"


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._port, self._kept = port, http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, body: bytes) -> int:
        try:
            self._kept.request("POST", "/v1/search", body, HEADERS)
            reply = self._kept.getresponse()
            reply.read()
        except (OSError, http.client.HTTPException):
            self._kept = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            return 0
        return reply.status


def served(port: int, bodies: list[bytes], clients: int, seconds: float) -> tuple[float, float]:
    """Return answers and refusals per second of so many clients."""
    until, counts = time.monotonic() + seconds, [[0, 0] for _ in range(clients)]

    def run(number: int) -> None:
        client, row = Client(port), number
        while time.monotonic() < until:
            status = client.ask(bodies[row % len(bodies)])
            counts[number][0 if status == 200 else 1] += 1
            if status != 200:
                time.sleep(0.05)
            row += clients

    threads = [threading.Thread(target=run, args=[number]) for number in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    answered, refused = np.array(counts).sum(axis=0) / seconds
    return float(answered), float(refused)


def cpu_of(process: int) -> float:
    """Return the CPU seconds of a process and its children so far, of all their threads."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    seconds = 0.0
    for one in (process, *children):
        after_name = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(after_name[11]) + int(after_name[12])) / TICKS
    return seconds


class Share:
    """Photos with the seconds and the CPU seconds that they took."""

    def __init__(self) -> None:
        self.photos, self.seconds, self.cpu, self.clients = 0.0, 0.0, 0.0, 0.0

    @property
    def rate(self) -> float:
        return self.photos / self.seconds

    def milliseconds(self, cpu: float) -> float:
        return 1e3 * cpu / max(self.photos, 1)


def bare_turn(recognizer: Recognizer, photos: list[bytes], share: Share) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < TURN:
        first = int(share.photos) % max(1, len(photos) - BATCH)
        recognizer.search(photos[first : first + BATCH])
        share.photos += BATCH
    share.seconds += time.perf_counter() - began
    share.cpu += time.process_time() - cpu


def served_turn(
    port: int, process: int, bodies: list[bytes], clients: int, seconds: float, share: Share
) -> float:
    """Let clients ask, and return the refusals per second."""
    began, cpu, own = time.perf_counter(), cpu_of(process), time.process_time()
    answered, refused = served(port, bodies, clients, seconds)
    share.photos += answered * seconds
    share.seconds += time.perf_counter() - began
    share.cpu += cpu_of(process) - cpu
    share.clients += time.process_time() - own
    return refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--workers", type=int, default=1, help="processes of the service")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    photos = photos_of(asked.photos)
    bodies = [form(one) for one in photos]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        model = load_model("sface")
        rows = np.random.default_rng(0).normal(size=(asked.people, model.dimension))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        with Gallery.create(path, model) as gallery:
            gallery.enroll(rows, [f"p{i}" for i in range(len(rows))], fingerprint=model.fingerprint)
            gallery.rebuild()
        command = [sys.executable, "-m", "facever", "serve", str(path), "--model", "sface"]
        more = ["--port", "0", "--limit", "queue=48", "--limit", "requests_each=64"]
        more += ["--workers", str(asked.workers)]
        process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True)
        try:
            line = ""
            while "answers at" not in line:
                line = process.stderr.readline()
                assert line, "the service did not start"
            port = int(re.search(r":(\d+) ", line)[1])
            with Gallery.open(path) as gallery:
                recognizer = Recognizer(model, gallery)
                figures = compare(recognizer, photos, port, process.pid, bodies, asked)
        finally:
            process.terminate()
            process.wait()
    if asked.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:34} {value:.3f}")


def compare(
    recognizer: Recognizer,
    photos: list[bytes],
    port: int,
    process: int,
    bodies: list[bytes],
    asked: argparse.Namespace,
) -> dict[str, float]:
    recognizer.search(photos[:BATCH])
    client = Client(port)
    served(port, bodies, asked.clients, TURN)  # each worker has loaded its model
    alone_bare, alone_served = [], []
    for number, photo in enumerate(photos[:150]):  # in turns, so that the machine is the same
        began = time.perf_counter()
        recognizer.search(photo)
        middle = time.perf_counter()
        assert client.ask(bodies[number]) == 200
        alone_bare.append(middle - began)
        alone_served.append(time.perf_counter() - middle)
    bare, busy, flooded = Share(), Share(), Share()
    for _ in range(max(1, round(asked.seconds / TURN))):
        bare_turn(recognizer, photos, bare)
        served_turn(port, process, bodies, asked.clients, TURN, busy)
    refused = served_turn(port, process, bodies, 4 * asked.clients, asked.seconds, flooded)
    return {
        "bare_photos_per_second": bare.rate,
        "served_photos_per_second": busy.rate,
        "served_over_bare": busy.rate / bare.rate,
        "bare_cpu_milliseconds": bare.milliseconds(bare.cpu),
        "served_cpu_milliseconds": busy.milliseconds(busy.cpu),
        "client_cpu_milliseconds": busy.milliseconds(busy.clients),
        "bare_lone_milliseconds": 1e3 * median(alone_bare),
        "served_lone_milliseconds": 1e3 * median(alone_served),
        "lone_latency_over_bare": median(alone_served) / median(alone_bare),
        "overload_answers_per_second": flooded.rate,
        "overload_refusals_per_second": refused,
        "overload_over_best": flooded.rate / max(busy.rate, 1e-9),
    }


if __name__ == "__main__":
    main()
