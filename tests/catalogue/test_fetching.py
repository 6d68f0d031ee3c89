"""Fetching models, from a server of the test's own."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facever.catalogue import Entry, entry
from facever.catalogue.fetching import fetch
from facever.errors import ModelError

CONTENT = bytes(range(256)) * 1000


class Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/absent":
            self.send_error(404)
            return
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/model")
            self.end_headers()
            return
        if self.path == "/to-a-file":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/model")
            self.end_headers()
            return
        content = {"/more": CONTENT + b"more", "/less": CONTENT[:-1]}.get(self.path, CONTENT)
        if self.path == "/other":
            content = CONTENT[:-1] + b"x"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1000] if self.path == "/broken" else content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.delenv("FACEVER_MODELS", raising=False)
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def at(server: str, *paths: str) -> Entry:
    return replace(
        entry("sface"),
        file="fetched.onnx",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        urls=[server + path for path in paths],
    )


def leftovers(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_model_is_fetched_once(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(at(server, "/elsewhere"), name="fetched once")
    path = fetch(one)
    assert path.read_bytes() == CONTENT
    assert path == tmp_path / "cache" / "models" / "fetched.onnx"
    assert fetch(one) == path
    assert Handler.asked == ["/elsewhere", "/model"]
    assert one.licence in capsys.readouterr().err


def test_the_next_address_is_tried(server: str) -> None:
    assert fetch(at(server, "/absent", "/other", "/model")).read_bytes() == CONTENT
    assert Handler.asked == ["/absent", "/other", "/model"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/other", "SHA-256"),
        ("/more", "more than the"),
        ("/less", "bytes, not the"),
        ("/broken", "bytes, not the"),
        ("/absent", "Not Found"),
        ("/to-a-file", "ftp"),
    ],
)
def test_what_is_refused_leaves_nothing(
    server: str, tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(ModelError, match=rf"'sface'.*({reason}).*fetched\.onnx.*FACEVER_MODELS"):
        fetch(at(server, path))
    assert leftovers(tmp_path) == []


def test_no_network(server: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'sface'.*127\.0\.0\.1.*FACEVER_MODELS"):
        fetch(at("http://127.0.0.1:9", "/model"))
    assert leftovers(tmp_path) == []
