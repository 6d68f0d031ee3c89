"""Purge and the log of uses over HTTP, and the files of the page."""

from facever.gallery.gallery import Gallery
from facever.service.routes import page
from tests.http_photos import files, shot


def test_purge_erases_what_was_removed(client, gallery_path) -> None:
    with Gallery.open(gallery_path) as gallery:
        vector = gallery.person_export("a").vectors[0].tobytes()
    assert vector in b"".join(one.read_bytes() for one in gallery_path.rglob("gallery.db*"))
    assert client.delete("/v1/people/a").status_code == 200
    done = client.post("/v1/purge", json={})
    assert done.status_code == 200
    assert done.json() == {"images": 2}
    content = b"".join(one.read_bytes() for one in gallery_path.rglob("*") if one.is_file())
    assert vector not in content
    assert client.post("/v1/purge", json={"all": True}).status_code == 422


def test_the_log_has_the_newest_uses_first(client) -> None:
    for person in "ab":
        assert client.post("/v1/search", files=files(shot(person, 2))).status_code == 200
    said = client.get("/v1/uses?last=1").json()
    assert said["kept"]
    assert [one["person"] for one in said["uses"]] == ["b"]
    assert len(client.get("/v1/uses?person=a").json()["uses"]) == 1
    assert client.get("/v1/uses?last=100000").status_code == 422


def test_a_service_without_a_log_says_so(start) -> None:
    assert start(log_days=0).get("/v1/uses").json() == {"uses": [], "kept": False}


def test_the_page_is_served_with_a_strict_policy(client) -> None:
    for path in page.PATHS:
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
    assert " on" not in client.get("/").text.replace(" only", "")  # no handler, no inline script
    assert "<script>" not in client.get("/").text
    for path in ("/page/missing.js", "/page/..%2fapp.py", "/page/__init__.py"):
        assert client.get(path).status_code == 404
