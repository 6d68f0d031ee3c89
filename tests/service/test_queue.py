"""The queue: who is refused, how early, and what the connection is good for afterwards."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPResponse

import pytest
import uvicorn

from facever.data.machine import usable_cpus
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from facever.models.onnx.adding import add_model
from facever.service.server import TimedProtocol
from tests.http_photos import coded, file_of, files, shot
from tests.squares import AlignedColours, patch, photo

SEARCH = (
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
)
LIVE = b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Gated(AlignedColours):
    """A model that waits until it may compute."""

    def __init__(self) -> None:
        self.open, self.begun = threading.Event(), threading.Event()

    def embed(self, images):
        self.begun.set()
        assert self.open.wait(10)
        return super().embed(images)


@pytest.fixture
def full(start):
    """Return a client of a service that computes an image, while another one fills its queue."""
    model = Gated()
    client = start(model, limits={"queue": 1, "batch": 1})
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/v1/search", files=files(shot("a")))
        assert model.begun.wait(10)
        second = pool.submit(client.post, "/v1/search", files=files(shot("b")))
        wait_for(client, 1)
        yield client
        model.open.set()
        assert first.result().status_code == second.result().status_code == 200


def wait_for(client, images: int) -> None:
    """Wait until so many images wait."""
    until = time.monotonic() + 10
    while f"facever_queue_images {images}.0" not in client.get("/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.002)


@contextmanager
def listening(app, header_seconds: float = 30, idle_seconds: int = 10):
    """Yield the port of a server of an app."""
    http = partial(TimedProtocol, header_seconds=header_seconds)
    options = {"http": http, "lifespan": "off", "timeout_keep_alive": idle_seconds}
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", **options))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def connected(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def reply_of(connection: socket.socket) -> tuple[HTTPResponse, dict]:
    """Return the next answer on a connection."""
    reply = HTTPResponse(connection)
    reply.begin()
    return reply, json.loads(reply.read())


def refused_requests(client) -> float:
    """Return how many refused searches are counted."""
    name = 'facever_requests_total{method="POST",route="/v1/search",status="503"} '
    rows = client.get("/metrics").text.splitlines()
    return sum(float(row.removeprefix(name)) for row in rows if row.startswith(name))


def test_a_form_is_refused_before_it_is_read_and_the_connection_goes_on(full):
    with listening(full.app) as port, connected(port) as connection:
        for round_ in range(1, 4):
            connection.sendall(SEARCH)  # and nothing of the body
            reply, said = reply_of(connection)
            assert reply.status == 503
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.headers["Content-Type"] == "application/problem+json"
            assert reply.headers["Connection"] is None
            assert (said["status"], said["request"]) == (503, reply.headers["X-Request-ID"])
            assert "1 images wait, and at most 1 may" in said["detail"]
            while refused_requests(full) < round_:  # counted when the answer is sent
                time.sleep(0.002)
            assert refused_requests(full) == round_
            for _ in range(10):  # an HTTP client sends the body that it has announced
                connection.sendall(bytes(10_000))
            connection.sendall(LIVE)
            reply, said = reply_of(connection)
            assert (reply.status, said) == (200, {"status": "live"})


def test_json_with_images_is_refused_and_embeddings_are_answered(full):
    refused = full.post("/v1/search", json={"images": [coded(shot("a"))]})
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    for path in ("/v1/verify", "/v1/detect", "/v1/people/c/images"):
        assert full.post(path, files=files(shot("a"), shot("b"))).status_code == 503
    vector = [1.0] + [0.0] * (AlignedColours.dimension - 1)
    asked = {"embeddings": [vector], "fingerprint": AlignedColours.fingerprint}
    assert full.post("/v1/people/c/images", json=asked).status_code == 201
    assert (
        full.post("/v1/search", json=asked).json()["answers"][0]["candidates"][0]["person"] == "c"
    )


def test_a_discarded_body_must_end_in_time(full):
    with listening(full.app, header_seconds=1) as port, connected(port) as connection:
        connection.sendall(SEARCH)
        assert reply_of(connection)[0].status == 503
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - a reset, or a broken pipe
            while time.monotonic() - began < 10:
                connection.sendall(b"x")
                time.sleep(0.1)


def test_a_connection_without_a_request_is_closed_after_a_discarded_body(full):
    with listening(full.app, idle_seconds=1) as port, connected(port) as connection:
        connection.sendall(SEARCH)
        assert reply_of(connection)[0].status == 503
        connection.sendall(bytes(100_000))
        assert connection.recv(1) == b""


def test_a_lone_request_is_never_refused(start):
    client = start(limits={"queue": 1, "images": 32, "batch": 1})
    photos = [shot("a", row) for row in range(32)]
    for _ in range(3):
        said = client.post("/v1/people/a/images", files=files(*photos))
        assert said.status_code in (200, 201), said.text


def test_images_of_an_admitted_request_go_on_while_the_queue_is_full(make_onnx, start, tmp_path):
    source = make_onnx("source.onnx", batch=1)
    values = {"size": (24, 16), "mean": (127.5,) * 3, "std": (128.0,) * 3}
    model = load_model(add_model(source, tmp_path / "m.onnx", **values).path)
    Gallery.create(tmp_path / "crops", model).close()
    go, forward, computing = threading.Event(), model.embed_batch, 0

    def held(images):
        nonlocal computing
        computing += 1
        assert go.wait(10)
        return forward(images)

    model.embed_batch = held
    client = start(model, tmp_path / "crops", cropper=None, limits={"queue": 1})
    crops = [file_of(photo((0, 0, 60, patch(row)))) for row in range(3 * usable_cpus())]

    def search():
        return client.post("/v1/search", files=files(*crops))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(search)
        while computing < usable_cpus():
            time.sleep(0.002)
        second = pool.submit(search)  # admitted: nothing waits, and then more than the queue holds
        wait_for(client, usable_cpus())
        assert search().status_code == 503
        go.set()
        for one in (first, second):
            assert len(one.result().json()["answers"]) == len(crops)
