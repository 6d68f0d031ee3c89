"""People and their images: list, add, change, remove, export."""

import io
import json
import zipfile
from urllib.parse import quote

import numpy as np
import pytest

from facever.data.given import pixels_of
from facever.gallery.gallery import Gallery
from tests.http_photos import coded, files, shot
from tests.squares import AlignedColours, SquareCropper


def test_people_in_pages(client):
    for person in "cde":
        made = client.post("/v1/people", json={"person": person, "metadata": {"site": "A"}})
        assert made.status_code == 201
    seen, url = [], "/v1/people?limit=2"
    while url:
        page = client.get(url)
        seen += [(one["person"], one["images"]) for one in page.json()["people"]]
        assert len(page.json()["people"]) <= 2
        assert ("link" in page.headers) == (page.json()["next"] is not None)
        url = page.links["next"]["url"] if "link" in page.headers else None
    assert seen == [("a", 2), ("b", 2), ("c", 0), ("d", 0), ("e", 0)]
    found = client.get("/v1/people", params={"where": '{"site": "A"}', "limit": 2}).json()
    assert [one["person"] for one in found["people"]] == ["c", "d"]
    client.delete("/v1/people/d")  # a removal between two pages
    rest = client.get(
        "/v1/people", params={"where": '{"site": "A"}', "limit": 2, "after": found["next"]}
    ).json()
    assert [one["person"] for one in rest["people"]] == ["e"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=5000", "after=-1", "where=[1]", "where={", "limit=x"]
)
def test_a_wrong_page_is_refused(client, query):
    refused = client.get(f"/v1/people?{query}")
    assert refused.status_code == 422
    assert query.partition("=")[0] in refused.json()["detail"]


@pytest.mark.parametrize("person", ["a/b", "%2F", "..", "x/images", "a b", "<script>", "á?#&", "%"])
def test_any_id_is_reached(client, person):
    path = f"/v1/people/{quote(person, safe='')}"
    if person == "..":
        path = "/v1/people/%2E%2E"
    made = client.post(f"{path}/images", files=files(shot("q")))
    assert made.status_code == 201, made.text
    assert client.get(path).json()["person"] == person
    assert client.get(f"{path}/images").json()["images"][0]["image"] == 5
    assert client.delete(f"{path}/images/5").json() == {"images": 1}
    assert client.delete(path).status_code == 200
    assert client.get(path).status_code == 404


def test_an_id_that_is_not_utf8(client):
    assert client.get("/v1/people/%ff").status_code == 422


def test_changes(client):
    assert client.post("/v1/people", json={"person": "a"}).status_code == 409
    changed = client.patch(
        "/v1/people/a", json={"person": "ada", "metadata": {"site": "A", "n": 3}}
    ).json()
    assert changed == {"person": "ada", "images": 2, "metadata": {"site": "A", "n": 3}}
    assert client.get("/v1/people/a").status_code == 404
    assert client.patch("/v1/people/ada", json={"person": "b"}).status_code == 409
    left = client.patch("/v1/people/ada", json={"remove": ["n"]}).json()
    assert left["metadata"] == {"site": "A"}
    numbers = [one["image"] for one in client.get("/v1/people/ada/images").json()["images"]]
    split = client.post("/v1/people/ada/split", json={"images": numbers[:1], "person": "eve"})
    assert (split.status_code, split.json()) == (201, {"images": 1})
    assert (
        client.post("/v1/people/eve/split", json={"images": [999], "person": "x"}).status_code
        == 404
    )
    assert client.post("/v1/people/eve/merge", json={"into": "ada"}).json() == {"images": 1}
    assert client.get("/v1/people/ada").json()["images"] == 2
    assert client.delete("/v1/people/ada").json() == {"images": 2}
    found = client.post("/v1/search", files=files(shot("a"))).json()["answers"][0]["candidates"]
    assert [one["person"] for one in found] == ["b"]


def test_enrolment_reports(client, many, gallery_path):
    again = client.post("/v1/people/a/images", files=files(shot("a")))
    assert (again.status_code, again.json()["images"]) == (200, 0)
    assert again.json()["duplicates"][0]["known_as"] == "a"
    body = {"images": [coded(shot("a"))], "duplicates": "refuse"}
    assert client.post("/v1/people/a/images", json=body).status_code == 409
    done = client.post("/v1/people/c/images", files=files(shot("c"), shot("c", 1)[:-40])).json()
    assert (done["images"], done["new_people"], done["given"]) == (1, 1, 2)
    assert "truncated" in done["failed"][0][1]
    with Gallery.open(gallery_path) as gallery:
        gallery.add_operating_point("door", many)
    taken = client.post(
        "/v1/people/d/images", files=files(shot("a", 6)), data={"conflicts": "refuse"}
    )
    assert taken.status_code == 409
    assert "nothing was enrolled" in taken.json()["detail"]
    assert client.get("/v1/people/d").status_code == 404
    refused = client.post("/v1/people/d/images", files=files(shot("d")), data={"face": "all"})
    assert refused.status_code == 422


def test_a_track_is_one_image(client, gallery_path):
    track = [shot("t", row) for row in (1, 4, 9)]
    damaged = shot("t", 2)[:-40]
    asked = {"track": "true", "camera": "hall"}
    said = client.post("/v1/people/t/images", files=files(*track, damaged), data=asked).json()
    assert (said["images"], said["given"], said["new_people"]) == (1, 4, 1)
    assert [name for name, _ in said["failed"]] == ["image 3"]
    [image] = client.get("/v1/people/t/images").json()["images"]
    assert image["camera"] == "hall"
    again = client.post("/v1/people/t/images", files=files(*track, damaged), data=asked)
    assert (again.status_code, again.json()["images"]) == (200, 0)
    model = AlignedColours()
    crops = [SquareCropper().crop(pixels_of(one), (16, 16)).pixels for one in track]
    units = [row / np.linalg.norm(row) for row in model.embed(crops).astype(float)]
    mean = np.mean(units, axis=0)
    with Gallery.open(gallery_path) as gallery:
        ids, vectors = gallery.entries()
    stored = vectors[ids.index("t")]
    assert stored == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    refused = client.post(
        "/v1/people/t/images",
        json={"track": True, "embeddings": [stored.tolist()], "fingerprint": model.fingerprint},
    )
    assert (refused.status_code, refused.json()["detail"]) == (422, "track: it takes images")


def test_a_wrong_time_is_refused_and_nothing_is_enrolled(client):
    before = client.get("/v1/people/a/images").json()
    refused = client.post(
        "/v1/people/a/images", files=files(shot("a", 9)), data={"taken": "2026-11-01 08:00"}
    )
    assert refused.status_code == 422
    assert "ISO 8601 with an offset from UTC" in refused.json()["detail"]
    assert client.get("/v1/people/a/images").json() == before


def test_embeddings_are_enrolled(client):
    row = np.zeros(12)
    row[3] = 1
    body = {
        "embeddings": [row.tolist()],
        "fingerprint": AlignedColours.fingerprint,
        "metadata": {"site": "B"},
    }
    assert client.post("/v1/people/v/images", json=body).status_code == 201
    assert client.get("/v1/people/v").json() == {
        "person": "v",
        "images": 1,
        "metadata": {"site": "B"},
    }
    body["fingerprint"] = "another"
    assert client.post("/v1/people/v/images", json=body).status_code == 422


def test_the_export_of_a_person_is_all_that_is_kept(client, gallery_path):
    client.patch("/v1/people/a", json={"metadata": {"site": "A"}})
    reply = client.get("/v1/people/a/export")
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        said = json.loads(archive.read("person.json"))
        vectors = np.load(io.BytesIO(archive.read("vectors.npy")), allow_pickle=False)
    with Gallery.open(gallery_path) as gallery:
        ids, entries = gallery.entries()
        records = gallery.images("a")
    np.testing.assert_array_equal(vectors, entries[[one == "a" for one in ids]])
    assert said["metadata"] == {"site": "A"}
    assert [one["hash"] for one in said["images"]] == [one.hash for one in records]
    assert all(one["landmarks"] for one in said["images"])
    assert "b" not in said
    assert client.get("/v1/people/nobody/export").status_code == 404
