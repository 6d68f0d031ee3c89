"""The client: the results of the recognizer, from a service elsewhere."""

import json
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import cv2
import numpy as np
import pytest
import uvicorn
from PIL import Image

import facever
from facever.client import Client
from facever.errors import (
    ConfigError,
    DataError,
    NotEnrolledError,
    TakenError,
    UnavailableError,
)
from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint
from facever.recognizer import Recognizer
from facever.service.address import Address
from facever.service.app import create_app
from facever.service.service import Service
from tests.http_photos import file_of, shot
from tests.squares import AlignedColours, SquareCropper, patch, photo

POINT = OperatingPoint(
    threshold=0.9,
    target_rate=1e-2,
    achieved_rate=1e-2,
    trials={"genuine": 10, "impostor": 1000},
    fingerprint=AlignedColours.fingerprint,
    kind="1:N",
    score_rule="max",
    gallery_size=10,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, Recognizer]]:
    """A running service's address, and a recognizer of the same gallery."""
    path = tmp_path_factory.mktemp("served") / "gallery"
    Gallery.create(path, AlignedColours()).close()
    service = Service(AlignedColours(), path, cropper=SquareCropper)
    address = Address(port=0)
    with address.bind() as bound, Gallery.open(path) as gallery:
        config = uvicorn.Config(create_app(service), lifespan="on", log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        recognizer = Recognizer(AlignedColours(), gallery, photos=SquareCropper())
        for person in "ab":
            recognizer.enroll([shot(person), shot(person, 1)], person)
        gallery.add_operating_point("door", POINT)
        gallery.add_operating_point(
            "pairs",
            POINT.model_copy(
                update={"kind": "1:1-image", "score_rule": None, "gallery_size": None}
            ),
        )
        yield address.url(bound), recognizer
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(served):
    with facever.Client(served[0]) as made:
        yield made


def plain(result) -> dict:
    """The result as JSON; of an image without a face, nothing is said of the face."""
    said = result.to_dict()
    for one in said.get("answers", ()):
        one["face"] = one["face"] if "box" in (one["face"] or {}) else None
    if "faces" in said:
        said["faces"] = [one or None for one in said["faces"]]
    return said


def test_answers_are_those_of_the_recognizer(client, served):
    recognizer = served[1]
    probes = [shot("a", 5), shot("z"), shot("b")[:-30]]
    assert plain(client.search(probes, 2)) == plain(recognizer.search(probes, 2))
    both = file_of(photo((5, 5, 30, patch(ord("b"))), (50, 40, 20, patch(ord("a")))))
    every = Recognizer(recognizer.model, recognizer.gallery, photos=SquareCropper("all"))
    assert plain(client.search(both, face="all")) == plain(every.search(both))
    one = plain(client.verify_person(probes, "a"))
    assert one == plain(recognizer.verify_person(probes, "a"))
    point = recognizer.gallery.operating_points()["pairs"]
    pair = plain(client.verify(probes[0], probes[1], "pairs"))
    assert pair == plain(recognizer.verify(probes[0], probes[1], point))


def test_images_in_any_form(client, tmp_path):
    pixels = photo((10, 20, 30, patch(ord("a"))))
    (tmp_path / "a.png").write_bytes(file_of(pixels))
    (tmp_path / "a.bmp").write_bytes(file_of(pixels, ".bmp"))
    np.save(tmp_path / "a.npy", pixels[None])
    given = [
        str(tmp_path / "a.png"),
        tmp_path / "a.bmp",
        f"{tmp_path / 'a.npy'}#0",
        file_of(pixels),
        Image.fromarray(pixels),
        pixels,
    ]
    scores = [answer.candidates[0].score for answer in client.search(given)]
    assert len(set(scores)) == 1
    with pytest.raises(DataError, match="no such file"):
        client.search(tmp_path / "none.png")


def test_people_and_their_images(client, served):
    gallery = served[1].gallery
    done = client.enroll([shot("q"), shot("q", 1)[:-40]], "q/x", metadata={"site": "A"})
    assert (done.images, done.given, len(done.failed), done.new_people) == (1, 2, 1, 1)
    again = client.enroll(shot("q"), "q/x")
    assert (again.images, again.duplicates[0].known_as) == (0, "q/x")
    assert client.images("q/x") == gallery.images("q/x")
    with pytest.raises(NotEnrolledError, match="no crop of image"):
        client.crop("q/x", client.images("q/x")[0].image)
    gallery.set_keep_crops(True)
    client.enroll(shot("q", 7), "q/x", conflicts="ignore")
    kept = client.images("q/x")[-1]
    assert kept.crop
    assert client.crop("q/x", kept.image) == gallery.crop("q/x", kept.image)
    gallery.set_keep_crops(False)
    client.remove("q/x", kept.image)
    client.add_person("empty", {"n": 1})
    client.update("empty", {"m": [1]}, ["n"], "still empty")
    assert client.metadata("still empty") == {"m": [1]}
    assert list(client.people()) == list(gallery.people())
    assert [one.person for one in client.people({"site": "A"})] == ["q/x"]
    number = client.images("q/x")[0].image
    client.enroll(shot("q", 3), "q/x", conflicts="ignore")
    assert client.split("q/x", [number], "r") == 1
    assert client.merge("r", "q/x") == 1
    with zipfile.ZipFile(BytesIO(client.export("q/x"))) as archive:
        assert json.loads(archive.read("person.json"))["person"] == "q/x"
    number = client.images("q/x")[0].image
    assert client.remove("q/x", number) == 1
    assert client.remove("q/x") == 1
    client.remove("still empty")
    assert [one.person for one in client.people()] == ["a", "b"]


def test_cameras_and_times(client, served):
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    client.enroll(shot("q"), "q", camera=3, taken=noon, conflicts="ignore")
    [image] = client.images("q")
    assert (image.camera, image.taken) == ("3", noon.isoformat())
    where = {"camera": [3], "taken": {"to": noon.isoformat()}}
    found = client.search(shot("a"), where_images=where)
    assert found.to_dict() == served[1].search(shot("a"), where_images=where).to_dict()
    assert [one.person for one in found[0].candidates] == ["q"]
    client.remove("q")


def test_the_gallery(client, served):
    assert client.operating_points() == served[1].gallery.operating_points()
    assert client.info()["gallery"]["people"] == 2
    [found] = client.detect(shot("a"))
    assert found["faces"][0]["box"] == [10, 20, 30, 30]


def test_errors_are_those_of_the_package(client):
    with pytest.raises(NotEnrolledError, match="nobody"):
        client.verify_person(shot("a"), "nobody")
    with pytest.raises(TakenError, match="taken"):
        client.add_person("a")
    with pytest.raises(TakenError):
        client.add_operating_point("door", POINT)
    with pytest.raises(DataError, match="no face found"):
        client.search(file_of(photo()))
    with pytest.raises(DataError, match="did you mean 'door'"):
        client.search(shot("a"), operating_point="dor")


def test_threads_share_a_client(client, served):
    expected = {person: served[1].search(shot(person, 2)).to_dict() for person in "ab"}

    def ask(number: int) -> None:
        person = "ab"[number % 2]
        assert client.search(shot(person, 2)).to_dict() == expected[person]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))


class Scripted(HTTPServer):
    """A server that answers as it is told, and keeps the requests."""

    def __init__(self, *answers: tuple[int, dict[str, str], object]) -> None:
        self.answers, self.seen = list(answers), []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answers.pop(0)
        if not status:
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {"Facever-Version": "x", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


BUSY = (503, {"Retry-After": "0.05"}, {"detail": "busy now"})
LOST = (0, {}, None)
PAGE = (200, {}, {"people": [], "next": None})


@pytest.mark.parametrize("first", [BUSY, LOST, (429, {}, {"detail": "wait"})])
def test_a_question_is_sent_again(first):
    server = Scripted(first, first, PAGE)
    assert list(Client(server.url, "token-1").people()) == []
    assert len(server.seen) == 3
    assert {one[2] for one in server.seen} == {"Bearer token-1"}
    server.shutdown()


@pytest.mark.parametrize("first", [BUSY, LOST])
@pytest.mark.parametrize(
    "change",
    [
        lambda client: client.add_person("x"),
        lambda client: client.enroll(shot("a"), "x"),
        lambda client: client.remove("x"),
        lambda client: client.merge("x", "y"),
        lambda client: client.update("x", {"a": 1}),
    ],
)
def test_a_change_is_sent_once(first, change):
    server = Scripted(first, PAGE)
    with pytest.raises(UnavailableError):
        change(Client(server.url))
    assert len(server.seen) == 1
    server.shutdown()


def test_retries_end_and_wait_as_they_are_told():
    server = Scripted(*[(503, {"Retry-After": "0.2"}, {"detail": "busy now"})] * 3)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="busy now"):
        Client(server.url, retries=2).info()
    assert time.monotonic() - began > 0.4
    assert len(server.seen) == 3
    server.shutdown()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {}, {"detail": "the token is unknown"}), ConfigError),
        ((500, {}, {"detail": "broken"}), UnavailableError),
        ((422, {}, "no problem"), DataError),
        ((200, {}, [1]), DataError),
        ((200, {"Facever-Version": ""}, {}), DataError),
    ],
)
def test_refusals(answer, error):
    server = Scripted(answer)
    if answer[1]:
        server.answers = [(302, {"Location": "http://other"}, {})]
    with pytest.raises(error):
        Client(server.url, retries=0).info()
    server.shutdown()


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x", "http://", "http://x:y", "http://x?a"]
)
def test_a_wrong_url_is_refused(url):
    with pytest.raises(ConfigError, match="url"):
        Client(url)


def test_a_token_cannot_add_headers():
    with pytest.raises(ConfigError, match="token"):
        Client("http://localhost", "a\r\nX: y")


def test_nobody_answers():
    with Address(port=0).bind() as bound:
        url = Address().url(bound)
    with pytest.raises(UnavailableError, match="does not answer"):
        Client(url, retries=0).info()


def test_png_of_pixels_is_exact():
    from facever.client.images import coded
    from facever.data.decode import decode_bytes

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    import base64

    [sent] = coded(pixels)
    np.testing.assert_array_equal(decode_bytes(base64.b64decode(sent)), pixels)
    assert cv2.imdecode(np.frombuffer(base64.b64decode(sent), np.uint8), -1).shape == (5, 7, 3)
