"""What an answer leaves in the log of uses."""

import json
import sqlite3
import zipfile
from io import BytesIO

import pytest

from facever.gallery.gallery import Gallery
from facever.gallery.use_tables import FILE
from facever.gallery.uses import ERASED, UseLog
from facever.service.tokens import Tokens, new_token
from tests.http_photos import coded, files, shot
from tests.squares import AlignedColours


@pytest.fixture
def log(client, gallery_path):
    with UseLog(gallery_path) as opened:
        yield opened


def test_every_probe_has_a_row(client, log, gallery_path, many, make_point):
    with Gallery.open(gallery_path) as gallery:
        gallery.add_operating_point("door", many)
        gallery.add_operating_point("pairs", make_point())
        identifier, change = gallery.identifier, gallery.change
    images = [shot("a", 5), shot("z"), shot("b")[:-30]]
    client.post("/v1/search", files=files(*images), headers={"X-Request-ID": "r-1"})
    known, unknown, failed = log.rows()
    assert (known.kind, known.outcome, known.person) == ("search", "known", "a")
    assert known.score > 0.9
    assert known.point == many.summary
    assert (unknown.outcome, unknown.person) == ("unknown", None)
    assert unknown.score is not None
    assert (failed.outcome, failed.person, failed.score) == ("failed", None, None)
    for row, image in zip((known, unknown, failed), images, strict=True):
        assert row.image == log.hash_of(image)
        assert (row.caller, row.request, row.gallery) == ("local", "r-1", identifier)
        assert (row.fingerprint, row.change) == (AlignedColours.fingerprint, change)
        assert row.began <= row.ended
    client.post("/v1/verify", files=files(shot("a", 5), shot("b")), data={"person": "a"})
    assert [(one.kind, one.outcome, one.person) for one in log.rows()[3:]] == [
        ("verify", "same", "a"),
        ("verify", "different", "a"),
    ]
    client.post("/v1/verify", files=files(shot("a"), shot("b")))
    assert [(one.kind, one.outcome, one.person) for one in log.rows()[5:]] == [
        ("compare", "different", None)
    ] * 2
    counts = client.get("/metrics").text
    assert 'facever_answers_total{decision="known",kind="search"} 1.0' in counts


def test_the_token_is_who_asked(start, gallery_path, tmp_path):
    token = new_token(tmp_path / "tokens.json", "search", "the door")
    client = start(tokens=Tokens(tmp_path / "tokens.json"))
    asked = {"embeddings": [[1.0] + [0.0] * 11], "fingerprint": AlignedColours.fingerprint}
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/v1/search", json=asked, headers=headers).status_code == 200
    with UseLog(gallery_path) as log:
        [row] = log.rows()
    assert (row.caller, row.outcome, row.image) == ("the door", "undecided", None)
    assert token not in str(row)


def test_erasing_a_person_takes_their_id_out_of_the_log(client, log):
    client.post("/v1/search", files=files(shot("a", 5)))
    archive = zipfile.ZipFile(BytesIO(client.get("/v1/people/a/export").content))
    assert [one["person"] for one in json.loads(archive.read("uses.json"))] == ["a"]
    client.delete("/v1/people/a")
    assert log.rows()[0].person.startswith(ERASED)


def test_a_person_removed_while_the_answer_was_made(client, log, monkeypatch):
    add = UseLog.add

    def removed_before(self, rows):
        client.delete("/v1/people/a")
        add(self, rows)

    monkeypatch.setattr(UseLog, "add", removed_before)
    said = client.post("/v1/search", files=files(shot("a", 5))).json()
    assert said["answers"][0]["candidates"][0]["person"] == "a"
    assert log.rows()[0].person.startswith(ERASED)


def test_nothing_is_answered_that_cannot_be_recorded(client, gallery_path):
    with sqlite3.connect(gallery_path / FILE) as db:
        db.execute("DROP TABLE uses")
    refused = client.post("/v1/search", files=files(shot("a")))
    assert refused.status_code == 503
    assert "answers" not in refused.json()
    assert "log of uses" in refused.json()["detail"]


def test_a_service_without_a_log(start, gallery_path):
    client = start(log_days=0)
    client.post("/v1/people/a/images", json={"images": [coded(shot("a"))]})
    assert client.post("/v1/search", files=files(shot("a"))).status_code == 200
    assert not (gallery_path / FILE).exists()
    assert client.get("/v1/info").json()["log_days"] == 0
