"""One real server: signals, slow clients, TLS, worker processes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from facever.client import Client
from facever.errors import ConfigError, UnavailableError
from facever.gallery.gallery import Gallery
from facever.gallery.uses import UseLog
from facever.models.loading import load_model
from facever.service.address import Address
from facever.service.tokens import new_token
from tests.http_photos import coded, file_of
from tests.squares import patch, photo


class Server:
    """A process of `facever serve`."""

    def __init__(self, gallery: Path, model: Path, *options: str) -> None:
        command = [sys.executable, "-m", "facever", "serve", str(gallery), "--model", str(model)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said = ""
        while "answers at" not in self.said:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        self.url = re.search(r"https?://\S+", self.said)[0]  # type: ignore[index]
        self.port = int(self.url.rsplit(":", 1)[1])

    def ask(self, path: str, body: object = None, timeout: float = 20) -> tuple[int, dict]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ready(self) -> None:
        for _ in range(200):
            try:
                if self.ask("/v1/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("never ready")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def model(make_onnx, tmp_path) -> Path:
    """A model of crops in a file: the mean colour."""
    from facever.cli.main import main

    source = make_onnx("source.onnx", batch=1)
    sys_argv, sys.argv = sys.argv, ["facever", "models", "add", str(source)]
    sys.argv += [
        "--size",
        "24x16",
        "--mean",
        "127.5",
        "--std",
        "128",
        "--out",
        str(tmp_path / "model.onnx"),
    ]
    try:
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
    finally:
        sys.argv = sys_argv
    return tmp_path / "model.onnx"


@pytest.fixture
def gallery(model, tmp_path) -> Path:
    Gallery.create(tmp_path / "people", load_model(model)).close()
    return tmp_path / "people"


@pytest.fixture
def serve(gallery, model) -> Iterator:
    started = []

    def start(*options: str) -> Server:
        started.append(Server(gallery, model, *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def crop(person: str) -> str:
    return coded(file_of(photo((0, 0, 60, patch(ord(person))))))


def test_a_server_answers_and_stops_on_sigterm(serve, gallery):
    server = serve("--limit", "seconds=1", "--limit", "images=3")
    assert server.ask("/v1/people/a/images", {"images": [crop("a")]})[0] == 201
    assert server.ask("/v1/people/b/images", {"images": [crop("b")]})[0] == 201

    # slow and endless clients do not stop the fast ones, and are cut off
    slow = []
    for start in (b"", b"POST /v1/sea", b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"):
        one = socket.create_connection(("127.0.0.1", server.port))
        one.sendall(start)
        slow.append(one)
    body = socket.create_connection(("127.0.0.1", server.port))
    body.sendall(
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{"
    )
    began = time.monotonic()
    status, said = server.ask("/v1/search", {"images": [crop("a")]})
    assert (status, said["answers"][0]["candidates"][0]["person"]) == (200, "a")
    assert time.monotonic() - began < 1
    for one in slow:
        one.settimeout(10)
        assert b"200" not in one.recv(4096)  # closed, or refused
        one.close()
    body.settimeout(10)
    assert b" 408 " in body.recv(4096)
    body.close()

    # another process changes the gallery
    with Gallery.open(gallery) as opened:
        opened.remove("a")
    status, said = server.ask("/v1/search", {"images": [crop("a")]})
    assert [one["person"] for one in said["answers"][0]["candidates"]] == ["b"]

    # an unread limit is a line, and the server goes on
    assert server.ask("/v1/search", {"images": [crop("a")] * 4})[0] == 413
    assert server.stop() == 0
    with Gallery.open(gallery) as opened:
        assert [one.person for one in opened.people()] == ["b"]
        assert opened.check() == []


def test_an_answer_is_sent_at_once(serve):
    """Two writes without TCP_NODELAY wait for a delayed acknowledgement: 40 ms and more."""
    server = serve()
    took = []
    with Client(server.url) as client:
        for _ in range(30):
            began = time.perf_counter()
            client.info()
            took.append(time.perf_counter() - began)
    assert min(took) < 0.03


def test_a_kept_connection_may_not_trickle_a_second_header(serve):
    server = serve("--limit", "seconds=1")
    with socket.create_connection(("127.0.0.1", server.port)) as kept:
        kept.settimeout(10)
        kept.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while not said.endswith(b"}"):
            said += kept.recv(4096)
        began = time.monotonic()
        kept.sendall(b"GET /v1/hea")
        assert kept.recv(4096) == b""
        assert time.monotonic() - began < 5


def test_workers_share_the_gallery_and_its_log(serve, gallery):
    """What one of two workers has acknowledged is in the answers of both."""
    server = serve("--workers", "2")
    server.ready()
    for person in "abc":
        assert server.ask(f"/v1/people/{person}/images", {"images": [crop(person)]})[0] == 201
    asked = 0
    for _ in range(12):  # a connection each: any worker can have it
        asked += 1
        status, said = server.ask("/v1/search", {"images": [crop("c")]})
        assert (status, said["answers"][0]["candidates"][0]["person"]) == (200, "c")
    request = urllib.request.Request(f"{server.url}/v1/people/c", method="DELETE")
    with urllib.request.urlopen(request, timeout=20) as reply:
        assert reply.status == 200
    for _ in range(12):
        asked += 1
        _, said = server.ask("/v1/search", {"images": [crop("c")]})
        assert [one["person"] for one in said["answers"][0]["candidates"]] in (
            ["a", "b"],
            ["b", "a"],
        )
    assert server.stop() == 0
    with UseLog(gallery) as log:
        rows = log.rows()
    assert len(rows) == asked
    assert len({row.request for row in rows}) == asked
    assert {row.person for row in rows} & {"c"} == set()  # a random word stands for the removed one


def test_workers_share_a_gallery_and_a_killed_one_comes_again(serve):
    server = serve("--workers", "2")
    server.ready()
    for person in "abc":
        assert server.ask(f"/v1/people/{person}/images", {"images": [crop(person)]})[0] == 201
    for _ in range(8):
        status, said = server.ask("/v1/search", {"images": [crop("c")]})
        assert (status, said["answers"][0]["candidates"][0]["person"]) == (200, "c")
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    workers = [int(one) for one in children.read_text().split() if is_worker(int(one))]
    assert len(workers) == 2
    time.sleep(1)  # both have started; a starting one that is killed is missed only after a while
    os.kill(workers[0], signal.SIGKILL)
    for _ in range(300):
        now = [int(one) for one in children.read_text().split() if is_worker(int(one))]
        if len(now) == 2 and workers[0] not in now:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the killed worker did not come again")
    server.ready()
    assert server.ask("/v1/search", {"images": [crop("b")]})[0] == 200
    server.process.kill()
    server.process.wait()
    for _ in range(100):
        if not any(map(is_worker, now)):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the workers have outlived the process that started them")


def is_worker(process: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def test_requests_in_progress_are_finished(serve):
    server = serve()
    server.ask("/v1/people/a/images", {"images": [crop("a")]})
    body = json.dumps({"images": [crop("a")]}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as one:
        one.settimeout(20)
        head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        one.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body[:100])
        time.sleep(0.2)
        threading.Timer(0.3, lambda: one.sendall(body[100:])).start()
        server.process.send_signal(signal.SIGTERM)
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.process.wait(20) == 0


@pytest.mark.parametrize(
    ("address", "word"),
    [
        (Address("0.0.0.0"), "--tokens"),
        (Address("::"), "--tokens"),
        (Address("192.0.2.1"), "--tokens"),
        (Address(certificate=Path("x.pem")), "--tls-key"),
        (Address(certificate=Path("x.pem"), key=Path("y.pem")), "x.pem"),
    ],
)
def test_an_unsafe_address_is_refused(address, word):
    with pytest.raises(ConfigError, match=word):
        address.check(None)


def test_an_address_without_tls_is_said(capsys, tmp_path):
    Address("0.0.0.0").check(tmp_path / "tokens.json")
    assert "without TLS" in capsys.readouterr().err
    Address("localhost").check(None)
    assert not capsys.readouterr().err


def test_a_taken_port_is_one_line():
    with Address(port=0).bind() as bound:
        taken = Address(port=bound.getsockname()[1])
        with pytest.raises(ConfigError, match="--port"):
            taken.bind()
    with pytest.raises(ConfigError, match=r"no\.such"):
        Address("no.such.host.example").bind()


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    """A certificate for this machine that it has signed itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-addext"]
    command += ["subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_tls_and_tokens_with_the_client(serve, certificate, tmp_path):
    cert, key = certificate
    tokens = tmp_path / "tokens.json"
    token = new_token(tokens, "enrol", "the desk")
    server = serve("--tls-cert", str(cert), "--tls-key", str(key), "--tokens", str(tokens))
    assert server.url.startswith("https://")
    with Client(server.url, token, certificates=cert) as client:
        pixels = photo((0, 0, 60, patch(ord("a"))))
        assert client.enroll(pixels, "a").images == 1
        assert client.search(pixels)[0].candidates[0].person == "a"
        with pytest.raises(ConfigError, match="admin"):
            client.remove("a")
    with pytest.raises(ConfigError, match="token"):
        Client(server.url, "wrong", certificates=cert).info()
    with pytest.raises(UnavailableError, match="certificate"):
        Client(server.url, token).info()
    assert server.stop() == 0
