"""A process of `facever serve` over a gallery of made-up people, and what asks it over loopback."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model

DIMENSION = 32
SIZE = (24, 16)  # of crops: height, width
PATIENCE = 60.0  # seconds until a server is said to hang


def make_model(folder: Path) -> Path:
    """Write a model of crops, the mean colour times random weights, and return its file."""
    path = folder / "model.onnx"
    if path.is_file():
        return path
    weights = stream(0, "model").standard_normal((3, DIMENSION)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["colour", "weights"], ["vector"]),
        ],
        "colour",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, *SIZE])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", DIMENSION])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / "source.onnx").write_bytes(model.SerializeToString())
    size = "x".join(map(str, SIZE))
    add = [sys.executable, "-m", "facever", "models", "add", str(folder / "source.onnx")]
    add += ["--size", size, "--mean", "127.5", "--std", "128", "--out", str(path)]
    subprocess.run(add, check=True, capture_output=True)
    return path


class Server:
    """A running service.

    Args:
        folder: Where its log is written.
        gallery: The gallery's folder, created where there is none, or the address of a gallery.
        options: Of `facever serve`.
    """

    def __init__(self, folder: Path, gallery: Path | str, *options: str) -> None:
        model = make_model(folder)
        if isinstance(gallery, Path) and not gallery.exists():
            Gallery.create(gallery, load_model(model)).close()
        self.gallery, self.log = gallery, folder / "serve.log"
        with Gallery.open(gallery) as opened:
            self.fingerprint = opened.fingerprint
        command = [sys.executable, "-m", "facever", "serve", str(gallery), "--model", str(model)]
        with self.log.open("w") as file:
            self.process = subprocess.Popen([*command, "--port", "0", *options], stderr=file)
        try:
            self.port = self._port()
            self._wait_until_ready()
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _port(self) -> int:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"answers at http://127\.0\.0\.1:(\d+)", self.log.read_text()):
                return int(found[1])
            time.sleep(0.05)
        raise RuntimeError(f"the service does not start: {self.log.read_text()[-300:]}")

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                if Caller(self).ask("GET", "/v1/health/ready")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the service is not ready: {self.log.read_text()[-300:]}")

    def workers(self) -> list[int]:
        """Return the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(one) for one in children.read_text().split() if _is_worker(int(one))]

    def memory(self) -> float:
        """Return the resident memory of the process in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def stop(self) -> list[str]:
        """Stop the service by SIGTERM, and return what was wrong with it or with its gallery."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return ["the service does not stop on SIGTERM"]
        faults = [f"the exit status after SIGTERM is {status}"] if status else []
        said = self.log.read_text()
        faults += [f"the log has: {word}" for word in ("Traceback", "failed:") if word in said]
        with Gallery.open(self.gallery) as opened:
            return faults + [f"gallery check: {one}" for one in opened.check()]


def _is_worker(process: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


class Caller:
    """A client with one kept connection."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request, and return the status and the JSON of the answer.

        Raises:
            OSError, HTTPException: The connection was dropped.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, path, data, {"Content-Type": "application/json"})
            reply = self._connection.getresponse()
            return reply.status, json.loads(reply.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens another one
            raise
