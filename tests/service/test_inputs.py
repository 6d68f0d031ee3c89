"""Bodies: formats, limits, damage, and nothing written to the disk."""

import io
import json
import tempfile

import numpy as np
import pytest
from PIL import Image

from facever.service.inputs import Asked, AskedImages, takes
from tests.http_photos import coded, file_of, files, shot
from tests.squares import patch, photo

JSON = {"content-type": "application/json"}


def in_format(name: str, pixels: np.ndarray, **options: object) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, name, **options)
    return made.getvalue()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_formats(client, name):
    probe = in_format(name, photo((10, 20, 30, patch(ord("a")))), quality=95)
    said = client.post("/v1/search", files=files(probe))
    assert said.json()["answers"][0]["candidates"][0]["person"] == "a"


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_other_formats_are_415(client, name):
    refused = client.post("/v1/search", files=files(shot("a"), in_format(name, photo())))
    assert refused.status_code == 415
    assert "image 1" in refused.json()["detail"]
    assert "AVIF" in refused.json()["detail"]


def test_the_orientation_of_exif_is_honoured_and_exif_is_not_kept(client, gallery_path):
    pixels = photo((10, 50, 30, patch(ord("q"))), size=90)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to display
    exif[0x010F] = "a secret camera"
    turned = in_format("JPEG", np.ascontiguousarray(np.rot90(pixels)), exif=exif, quality=95)
    assert b"a secret camera" in turned
    [face] = client.post("/v1/detect", files=files(turned)).json()["photos"][0]["faces"]
    np.testing.assert_allclose(face["box"], [10, 50, 30, 30], atol=2)
    client.post("/v1/people/q/images", files=files(turned))
    archive = client.get("/v1/people/q/export").content
    held = [archive, *(one.read_bytes() for one in gallery_path.rglob("*") if one.is_file())]
    assert not any(b"a secret camera" in one for one in held)


@pytest.mark.parametrize(
    ("limits", "status", "word"),
    [
        ({"body_bytes": 300}, 413, "300"),
        ({"image_bytes": 100}, 413, "100"),
        ({"pixels": 8999}, 413, "8,999"),
        ({"images": 1}, 413, "1"),
        ({"pixels": 9000, "image_bytes": 10**6}, 413, "36,000"),
    ],
)
def test_limits(start, limits, status, word):
    client = start(limits=limits)
    images = [shot("a"), shot("b")] * (3 if word == "36,000" else 1)
    for reply in (
        client.post("/v1/search", files=files(*images)),
        client.post("/v1/search", json={"images": list(map(coded, images))}),
        client.post("/v1/detect", files=files(*images)),
    ):
        assert reply.status_code == status, reply.text
        assert word in reply.json()["detail"]


def test_a_body_without_a_length_is_cut_off(start):
    client = start(limits={"body_bytes": 10_000})
    sent = []

    def endless():
        for _ in range(10_000):
            sent.append(1)
            yield b" " * 1000

    reply = client.post("/v1/search", content=endless(), headers=JSON)
    assert reply.status_code == 413
    assert client.post("/v1/search", json={"images": [coded(shot("a"))]}).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b'{"images": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 400),
        (b'{"images": ["\\ud800"]}', "application/json", 400),
        (b'{"k": 1e999, "images": ["AAAA"]}', "application/json", 422),
        (b'{"images": {"a": 1}}', "application/json", 422),
        (b"images=AAAA", "application/x-www-form-urlencoded", 415),
        (b"abc", "image/png", 415),
        (b"abc", "", 415),
        (b"abc", "multipart/form-data", 400),
        (b"abc", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\nabc\r\n--x--", "multipart/form-data; boundary=x", 400),
        (
            b"--x\r\nContent-Disposition: form-data; name=k\r\n\r\n1",
            "multipart/form-data; boundary=x",
            400,
        ),
        (
            b"--x\r\nContent-Disposition: form-data; name=nope\r\n\r\n1\r\n--x--",
            "multipart/form-data; boundary=x",
            422,
        ),
    ],
)
def test_hostile_bodies(client, content, kind, status):
    reply = client.post("/v1/search", content=content, headers={"content-type": kind})
    assert reply.status_code == status, reply.text
    assert "\n" not in reply.json()["detail"]
    assert client.get("/v1/health/ready").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"person": "", "metadata": {}},
        {"person": "x", "metadata": {"a": float("inf")}},
        {"person": "x", "metadata": {"": 1}},
        {"person": "x", "metadata": {"n": 10**40}},
        {"person": "x", "metadata": []},
        {"person": 7},
        {},
        {"person": "x", "more": 1},
    ],
)
def test_hostile_people(client, body):
    text = json.dumps(body)
    reply = client.post("/v1/people", content=text, headers=JSON)
    assert reply.status_code in (400, 422), reply.text
    assert client.get("/v1/people/x").status_code == 404


def test_damaged_images_are_never_a_failure_of_the_service(client):
    random = np.random.default_rng(0)
    sound = [
        in_format(name, photo((10, 20, 30, patch(ord("a")))), quality=90)
        for name in ("JPEG", "PNG", "WEBP", "AVIF")
    ]
    for number in range(100):
        data = bytearray(sound[number % 4])
        if number % 3:
            for at in random.integers(0, len(data), 8):
                data[at] = random.integers(256)
        else:
            data = data[: random.integers(1, len(data))]
        reply = client.post("/v1/search", files=files(bytes(data)))
        assert reply.status_code in (200, 413, 415, 422), reply.text


def test_no_image_is_written_to_a_temporary_file(client, monkeypatch):
    def rollover(self):
        raise AssertionError("an image was written to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    noise = np.random.default_rng(0).integers(0, 40, (1200, 1200, 3), dtype=np.uint8)
    noise[100:130, 100:130] = patch(ord("a"))
    large = file_of(noise)
    assert len(large) > 2**20
    assert client.post("/v1/search", files=files(large)).status_code == 200


def test_a_field_given_twice_is_refused(client):
    twice = [*files(shot("a")), ("k", (None, "1")), ("k", (None, "2"))]
    refused = client.post("/v1/search", files=twice)
    assert refused.status_code == 422
    assert "k" in refused.json()["detail"]


def test_the_description_of_a_body_names_both_kinds():
    content = takes(AskedImages)["requestBody"]["content"]
    kinds = {kind: one["schema"]["properties"] for kind, one in content.items()}
    assert "base64" in json.dumps(kinds["application/json"]["images"])
    assert "binary" in json.dumps(kinds["multipart/form-data"]["images"])
    assert list(takes(Asked)["requestBody"]["content"]) == ["application/json"]
