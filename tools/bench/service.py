"""The service against the bare pipeline, in ratios; one run, one table.

    python tools/bench/service.py [--photos 400] [--people 5000] [--clients 16] [--seconds 15]

It needs FACEVER_DATA with lfw/raw_sample, and the public models `yunet` and `sface`. The bare
pipeline decodes, detects, aligns, embeds and searches batches of photos in one process, without
HTTP and without a log (`Recognizer.search`). The service is another process of the same machine,
and the clients share its cores.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15)
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
        process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True)
        try:
            line = ""
            while "answers at" not in line:
                line = process.stderr.readline()
                assert line, "the service did not start"
            port = int(re.search(r":(\d+) ", line)[1])
            with Gallery.open(path) as gallery:
                figures = compare(Recognizer(model, gallery), photos, port, bodies, asked)
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
    bodies: list[bytes],
    asked: argparse.Namespace,
) -> dict[str, float]:
    recognizer.search(photos[:BATCH])
    client = Client(port)
    for body in bodies[:BATCH]:
        client.ask(body)
    alone_bare, alone_served, bare, answers = [], [], [], []
    for number, photo in enumerate(photos[:150]):  # in turns, so that the machine is the same
        began = time.perf_counter()
        recognizer.search(photo)
        middle = time.perf_counter()
        assert client.ask(bodies[number]) == 200
        alone_bare.append(middle - began)
        alone_served.append(time.perf_counter() - middle)
    for _ in range(2):
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < asked.seconds / 2:
            first = done % max(1, len(photos) - BATCH)
            recognizer.search(photos[first : first + BATCH])
            done += BATCH
        bare.append(done / (time.perf_counter() - began))
        answers.append(served(port, bodies, asked.clients, asked.seconds / 2)[0])
    answered, refused = served(port, bodies, 4 * asked.clients, asked.seconds)
    return {
        "bare_photos_per_second": median(bare),
        "served_photos_per_second": median(answers),
        "served_over_bare": median(answers) / median(bare),
        "bare_lone_milliseconds": 1e3 * median(alone_bare),
        "served_lone_milliseconds": 1e3 * median(alone_served),
        "lone_latency_over_bare": median(alone_served) / median(alone_bare),
        "overload_answers_per_second": answered,
        "overload_refusals_per_second": refused,
        "overload_over_best": answered / max(median(answers), 1e-9),
    }


if __name__ == "__main__":
    main()
