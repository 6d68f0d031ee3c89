"""Crops of a person's images: shown where the gallery keeps them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facever.data.decode import decode_bytes
from facever.data.given import pixels_of
from facever.gallery.gallery import Gallery
from tests.http_photos import files, shot
from tests.squares import AlignedColours, SquareCropper


@pytest.fixture
def gallery_path(tmp_path: Path) -> Path:
    Gallery.create(tmp_path / "gallery", AlignedColours(), keep_crops=True).close()
    return tmp_path / "gallery"


def test_it_is_what_the_model_saw(client):
    listed = client.get("/v1/people/a/images").json()["images"]
    assert [one["crop"] for one in listed] == [True, True]
    reply = client.get("/v1/people/a/images/1/crop")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    right = SquareCropper().crop(pixels_of(shot("a")), (16, 16)).pixels
    np.testing.assert_array_equal(decode_bytes(reply.content), right)
    info = client.get("/v1/info").json()["gallery"]
    assert (info["keep_crops"], info["crops"]) == (True, 4)


def test_where_there_is_none_is_404(client, gallery_path):
    row = [1.0, *[0.0] * 11]
    body = {"embeddings": [row], "fingerprint": AlignedColours.fingerprint}
    assert client.post("/v1/people/v/images", json=body).status_code == 201
    track = client.post(
        "/v1/people/t/images", files=files(shot("t"), shot("t", 4)), data={"track": "true"}
    )
    assert track.status_code == 201
    for path, line in (
        ("v/images/5", "no crop of image 5 of 'v' is kept"),
        ("t/images/6", "no crop of image 6 of 't' is kept"),
        ("a/images/3", "'a' has no image number 3"),
        ("x/images/1", "no person 'x' is enrolled"),
    ):
        refused = client.get(f"/v1/people/{path}/crop")
        assert (refused.status_code, refused.json()["detail"]) == (404, line)
        assert refused.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/people/a/images/one/crop").status_code == 422
    client.delete("/v1/people/a/images/1")
    assert client.get("/v1/people/a/images/1/crop").status_code == 404
    with Gallery.open(gallery_path) as gallery:
        gallery.set_keep_crops(False)
    refused = client.get("/v1/people/b/images/3/crop")
    assert refused.json()["detail"] == "no crop of image 3 of 'b' is kept"


def test_an_export_of_a_person_has_them(client):
    kept = client.get("/v1/people/a/images/2/crop").content
    with zipfile.ZipFile(io.BytesIO(client.get("/v1/people/a/export").content)) as archive:
        said = json.loads(archive.read("person.json"))
        assert [one["image"] for one in said["images"]] == [1, 2]
        assert [name for name in archive.namelist() if name.endswith(".png")] == [
            "crops/1.png",
            "crops/2.png",
        ]
        assert archive.read("crops/2.png") == kept
