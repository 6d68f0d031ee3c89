"""Verify, search and detect: the answers of the recognizer, over HTTP."""

import json

import numpy as np
import pytest

from facever.gallery.gallery import Gallery
from facever.recognizer import Recognizer
from tests.http_photos import CropColours, coded, file_of, files, shot
from tests.squares import AlignedColours, SquareCropper, patch, photo

PHOTO = coded(shot("a"))


@pytest.fixture
def recognizer(gallery_path):
    with Gallery.open(gallery_path) as gallery:
        yield Recognizer(AlignedColours(), gallery, photos=SquareCropper())


def vector(person: str, row: int = 0) -> list[float]:
    [found] = Recognizer(AlignedColours(), photos=SquareCropper()).model.embed(
        [
            SquareCropper()
            .crop(photo((10 + row, 20 - row, 30 + row, patch(ord(person)))), (16, 16))
            .pixels
        ]
    )
    return (found / np.linalg.norm(found)).tolist()


def test_a_search_answers_as_the_recognizer(client, recognizer):
    probes = [shot("b", 3), shot("c", 1), shot("a", 2)]
    said = client.post("/v1/search", files=files(*probes), data={"k": "2"}).json()
    expected = recognizer.search(probes, 2)
    assert [
        [(one["person"], one["score"]) for one in answer["candidates"]]
        for answer in said["answers"]
    ] == [[(one.person, one.score) for one in answer.candidates] for answer in expected]
    assert said["note"] == expected.note
    assert said["fingerprint"] == AlignedColours.fingerprint
    assert said["answers"][0]["face"]["box"] == [13, 17, 33, 33]
    assert said["answers"][0]["face"]["landmarks"][0] == [46, 17]


def test_json_and_multipart_are_the_same(client):
    probes = [shot("b", 3), shot("c")]
    form = client.post("/v1/search", files=files(*probes), data={"k": "1"})
    as_json = client.post("/v1/search", json={"images": list(map(coded, probes)), "k": 1})
    assert form.json() == as_json.json()


def test_unknown_is_an_answer_and_an_outgrown_point_says_why(client, recognizer, many):
    recognizer.gallery.add_operating_point("door", many)
    said = client.post("/v1/search", files=files(shot("a", 5), shot("z"))).json()
    assert [(one["decision"], one["person"]) for one in said["answers"]] == [
        ("known", "a"),
        ("unknown", None),
    ]
    assert said["operating_point"] == many.model_dump(mode="json")
    for person in "cdefghijkl":
        client.post(f"/v1/people/{person}/images", files=files(shot(person)))
    said = client.post("/v1/search", files=files(shot("a", 5))).json()
    assert said["answers"][0]["decision"] is None
    assert said["answers"][0]["candidates"][0]["person"] == "a"
    assert "12" in said["note"]


def test_an_operating_point_is_named_never_given(client, many):
    probe = {"images": [coded(shot("a"))]}
    for more, word in (
        ({"threshold": 0.1}, "threshold"),
        ({"operating_point": many.model_dump(mode="json")}, "operating_point"),
        ({"operating_point": "dor"}, "dor"),
    ):
        for route in ("/v1/search", "/v1/verify"):
            person = {"person": "a"} if route == "/v1/verify" else {}
            refused = client.post(route, json={**probe, **more, **person})
            assert refused.status_code == 422
            assert word in refused.json()["detail"]


def test_every_face_of_a_photo_is_searched(client):
    both = file_of(photo((5, 5, 30, patch(ord("b"))), (50, 40, 20, patch(ord("a")))))
    said = client.post(
        "/v1/search", files=files(file_of(photo()), both), data={"face": "all"}
    ).json()
    assert [(one["image"], one["error"]) for one in said["answers"]] == [
        (0, "no face found"),
        (1, None),
        (1, None),
    ]
    assert [one["candidates"][0]["person"] for one in said["answers"][1:]] == ["b", "a"]


def test_too_many_faces_are_a_failure(start):
    crowd = file_of(photo(*((20 * i, 5, 8 + i, patch(i)) for i in range(4))))
    client = start(limits={"faces": 3})
    said = client.post("/v1/detect", files=files(crowd)).json()
    assert "4 faces" in said["photos"][0]["error"]
    assert (
        len(
            client.post("/v1/detect", files=files(crowd), data={"face": "largest"}).json()[
                "photos"
            ][0]["faces"]
        )
        == 1
    )


def test_a_filter_by_metadata(client):
    client.patch("/v1/people/a", json={"metadata": {"site": "A"}})
    for where, people in (({"site": ["A", "B"]}, ["a"]), ({"site": "C"}, [])):
        said = client.post("/v1/search", json={"images": [coded(shot("b"))], "where": where}).json()
        assert [one["person"] for one in said["answers"][0]["candidates"]] == people
        form = client.post("/v1/search", files=files(shot("b")), data={"where": json.dumps(where)})
        assert form.json()["answers"] == said["answers"]


def test_a_filter_of_images(client):
    """Persons a and b have images without cameras already."""
    for person, row, camera, hour in (("a", 11, "hall", 8), ("b", 13, "yard", 9)):
        given = {"camera": camera, "taken": f"2026-11-01T{hour:02}:00:00+01:00"}
        path = f"/v1/people/{person}/images"
        assert client.post(path, files=files(shot(person, row)), data=given).status_code == 201
        listed = client.get(path).json()["images"]
        assert [one["camera"] for one in listed] == [None] * (len(listed) - 1) + [camera]
        assert listed[-1]["taken"] == f"2026-11-01T{hour - 1:02}:00:00+00:00"
    late = {"from": "2026-11-01T07:30:00Z"}
    for where, people in (
        (None, ["a", "b"]),
        ({"camera": "hall"}, ["a"]),
        ({"taken": late}, ["b"]),
        ({"camera": ["hall", "yard"]}, ["a", "b"]),
        ({"camera": ["hall"], "taken": late}, []),
    ):
        asked = {"images": [coded(shot("a", 11))], "where_images": where}
        said = client.post("/v1/search", json=asked).json()
        assert [one["person"] for one in said["answers"][0]["candidates"]] == people
        assert said["searched"] == len(people)
        form = {} if where is None else {"where_images": json.dumps(where)}
        again = client.post("/v1/search", files=files(shot("a", 11)), data=form)
        assert again.json() == said


def test_embeddings_in_the_place_of_images(client):
    asked = {"embeddings": [vector("a", 2), vector("z")], "fingerprint": AlignedColours.fingerprint}
    of_images = client.post("/v1/search", files=files(shot("a", 2), shot("z"))).json()
    of_vectors = client.post("/v1/search", json=asked).json()
    for one, other in zip(of_images["answers"], of_vectors["answers"], strict=True):
        assert one["candidates"] == other["candidates"]
    pair = client.post("/v1/verify", json=asked).json()
    expected = float(np.dot(*np.array(asked["embeddings"], np.float32).astype(float)))
    assert pair["score"] == pytest.approx(expected, abs=1e-6)
    assert (
        client.post("/v1/verify", json={**asked, "person": "a"}).json()["probes"][0]["score"] > 0.99
    )


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"embeddings": [[1.0] + [0.0] * 11]}, "fingerprint"),
        ({"embeddings": [[1.0] + [0.0] * 11], "fingerprint": "another"}, "another"),
        ({"embeddings": [[1.0, 0.0]], "fingerprint": "aligned colours"}, "dimension"),
        ({"embeddings": [[2.0] + [0.0] * 11], "fingerprint": "aligned colours"}, "length"),
        ({"embeddings": [[1.0], [1.0, 2.0]], "fingerprint": "aligned colours"}, "numbers"),
        ({"embeddings": [], "fingerprint": "aligned colours"}, "at least one"),
        ({"embeddings": [[1.0] + [0.0] * 11], "images": ["AAAA"]}, "either"),
        ({}, "either"),
        ({"images": ["!"]}, "base64"),
        ({"images": [], "k": 3}, "at least one"),
        ({"images": ["AAAA"], "face": "left"}, "face"),
        ({"images": ["AAAA"], "k": 0}, "k"),
        ({"images": [PHOTO], "where_images": {"lens": 1}}, "unknown key of a filter of images"),
        ({"images": [PHOTO], "where_images": {"taken": {"from": "noon"}}}, "ISO 8601"),
        ({"images": [PHOTO], "where_images": "hall"}, "where_images"),
    ],
)
def test_wrong_use_is_one_line(client, asked, word):
    refused = client.post("/v1/search", json=asked)
    assert refused.status_code == 422, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert word in refused.json()["detail"]
    assert "\n" not in refused.json()["detail"]


def test_two_images_are_decided_by_the_only_point(client, recognizer, make_point):
    recognizer.gallery.add_operating_point("pairs", make_point())
    same = client.post("/v1/verify", files=files(shot("a"), shot("a", 4))).json()
    other = client.post("/v1/verify", files=files(shot("a"), shot("b"))).json()
    assert (same["same"], other["same"]) == (True, False)
    assert same["operating_point"]["dataset"] == "squares"
    expected = recognizer.verify(shot("a"), shot("b"))
    assert other["score"] == expected.score
    recognizer.gallery.add_operating_point("strict", make_point(threshold=0.99999))
    assert client.post("/v1/verify", files=files(shot("a"), shot("b"))).json()["same"] is None
    named = {"operating_point": "pairs"}
    said = client.post("/v1/verify", files=files(shot("a"), shot("b")), data=named).json()
    assert said["same"] is False


def test_a_photo_without_a_face_is_an_error_not_a_no(client):
    refused = client.post("/v1/verify", files=files(shot("a"), file_of(photo())))
    assert refused.status_code == 422
    assert "no face found" in refused.json()["detail"]
    missing = client.post("/v1/verify", files=files(shot("a")), data={"person": "nobody"})
    assert missing.status_code == 404
    assert "nobody" in missing.json()["detail"]


def test_one_damaged_image_stops_no_other(client):
    said = client.post("/v1/search", files=files(shot("a")[:-30], shot("b"))).json()
    assert "truncated" in said["answers"][0]["error"]
    assert said["answers"][1]["candidates"][0]["person"] == "b"
    alone = client.post("/v1/search", files=files(shot("a")[:-30]))
    assert alone.status_code == 422
    assert "truncated" in alone.json()["detail"]


def test_crops_of_a_model_without_faces(start, tmp_path):
    path = tmp_path / "crops"
    Gallery.create(path, CropColours()).close()
    client = start(CropColours(), path, cropper=None)
    noise = np.random.default_rng(0)
    people = {person: np.tile(np.uint8(patch(ord(person))), (40, 20, 1)) for person in "ab"}
    crops = {
        person: [
            file_of(np.uint8(np.clip(base + noise.normal(0, 25, base.shape), 0, 255)))
            for _ in range(4)
        ]
        for person, base in people.items()
    }
    for person, images in crops.items():
        asked = {"images": [coded(images[0])], "metadata": {"camera": person}}
        assert client.post(f"/v1/people/{person}/images", json=asked).status_code == 201
    said = client.post("/v1/search", files=files(*crops["a"][1:])).json()
    assert [one["candidates"][0]["person"] for one in said["answers"]] == ["a"] * 3
    assert all(one["face"] is None for one in said["answers"])
    rows = np.stack([CropColours().embed([decoded(one)])[0] for one in crops["a"][1:]])
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    [enrolled] = CropColours().embed([decoded(crops["a"][0])])
    cosine = mean @ enrolled / np.linalg.norm(mean) / np.linalg.norm(enrolled)
    track = client.post("/v1/search", files=files(*crops["a"][1:]), data={"track": "true"}).json()
    assert len(track["answers"]) == 1
    assert track["answers"][0]["candidates"][0] == {
        "person": "a",
        "score": pytest.approx(cosine, abs=1e-6),
        "probability": None,
    }
    assert "mean of 3 images" in track["note"]
    only = {"images": [coded(crops["a"][1])], "where": {"camera": "b"}}
    found = client.post("/v1/search", json=only).json()["answers"][0]["candidates"]
    assert [one["person"] for one in found] == ["b"]
    refused = client.post("/v1/search", json={**only, "face": "largest"})
    assert refused.status_code == 422
    assert "face" in refused.json()["detail"]
    assert client.post("/v1/detect", files=files(crops["a"][0])).status_code == 422


def decoded(data: bytes) -> np.ndarray:
    from facever.data.decode import decode_bytes

    return decode_bytes(data)


def test_detection_lists_faces_best_first(client):
    both = file_of(photo((5, 5, 30, patch(1)), (50, 40, 20, patch(2))))
    said = client.post("/v1/detect", files=files(both, file_of(photo()), both[:-20])).json()[
        "photos"
    ]
    assert [[face["box"] for face in one["faces"]] for one in said] == [
        [[5, 5, 30, 30], [50, 40, 20, 20]],
        [],
        [],
    ]
    assert said[0]["faces"][0]["quality"] == 30
    assert said[0]["faces"][0]["quality_reasons"] == ["small"]
    assert said[1]["error"] is None
    assert "truncated" in said[2]["error"]
