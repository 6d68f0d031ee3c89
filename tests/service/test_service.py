"""The service's gallery: written by others, locked, replaced, migrated, full."""

import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing, suppress

import numpy as np
import pytest

from facever.errors import GalleryError, UnavailableError
from facever.gallery.gallery import Gallery
from facever.gallery.records import Binding
from facever.gallery.uses import UseLog
from facever.service.service import Service
from tests.http_photos import files, shot
from tests.squares import AlignedColours, SquareCropper


def found(client) -> list[str]:
    said = client.post("/v1/search", files=files(shot("a", 4))).json()
    return [one["person"] for one in said["answers"][0]["candidates"]]


def test_a_gallery_that_others_write_is_followed(client, gallery_path):
    assert found(client) == ["a", "b"]
    with Gallery.open(gallery_path) as other:
        other.remove("a")
        other.enroll(np.eye(12)[:1], "c", fingerprint=AlignedColours.fingerprint)
    assert set(found(client)) == {"b", "c"}


def test_a_locked_store_is_503_and_changes_nothing(start, gallery_path):
    client = start(wait=0.1)
    with closing(sqlite3.connect(gallery_path / "gallery.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        refused = client.post("/v1/people/a/images", files=files(shot("a")))
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert "another process is writing" in refused.json()["detail"]
        assert client.get("/v1/people").json()["people"] == []  # readers do not wait
        writer.execute("ROLLBACK")
    assert client.post("/v1/people/a/images", files=files(shot("a"))).status_code == 201


def test_a_restored_gallery_is_opened_again(client, gallery_path, tmp_path):
    backup = tmp_path / "backup"
    with Gallery.open(gallery_path) as gallery:
        gallery.export(backup)
    client.delete("/v1/people/a")
    assert found(client) == ["b"]
    restored = tmp_path / "restored"
    with Gallery.create(restored, AlignedColours()) as gallery:
        gallery.import_(backup)
    gallery_path.rename(tmp_path / "old")
    restored.rename(gallery_path)
    assert found(client) == ["a", "b"]
    with UseLog(gallery_path) as log:  # that of the restored gallery
        assert len(log.rows()) == 1
    assert client.post("/v1/people/c/images", files=files(shot("c"))).status_code == 201
    with Gallery.open(gallery_path) as gallery:
        assert gallery.check() == []
        assert gallery.info().people == 3


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB, where this user may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_503_and_nothing_is_lost(disk, start):
    path = disk / "gallery"
    Gallery.create(path, AlignedColours()).close()
    client = start(path=path)
    for person in "ab":
        client.post(f"/v1/people/{person}/images", files=files(shot(person)))
    assert found(client) == ["a", "b"]
    with (disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    statuses = set()
    for row in range(200):  # the logs have some room left
        reply = client.post("/v1/people/c/images", files=files(shot("c", row % 50)))
        statuses.add(reply.status_code)
        if reply.status_code == 503:
            assert "full" in reply.json()["detail"]
            break
    assert 503 in statuses
    assert client.get("/v1/people").status_code == 200
    (disk / "filling").unlink()
    assert {"a", "b"} <= set(found(client))
    assert client.post("/v1/people/d/images", files=files(shot("d"))).status_code == 201
    with Gallery.open(path) as gallery:
        assert gallery.check() == []


def test_a_migrated_gallery_is_not_answered_for(client, gallery_path):
    with Gallery.open(gallery_path) as gallery:
        gallery.begin_migration(Binding("another model", 2))
        numbers = [one.image for one in gallery.pending_images()]
        rows = np.tile(np.float32([[1, 0]]), (len(numbers), 1))
        gallery.add_migrated(numbers, rows, [1.0] * len(numbers), fingerprint="another model")
        gallery.finish_migration("another model")
    refused = client.post("/v1/search", files=files(shot("a")))
    assert refused.status_code == 503
    assert "restart" in refused.json()["detail"]
    assert client.get("/v1/health/ready").status_code == 503


def test_a_gallery_of_another_model_is_refused_at_the_start(tmp_path):
    Gallery.create(tmp_path / "other", fingerprint="another", dimension=12).close()
    with pytest.raises(GalleryError, match="fingerprint"):
        Service(AlignedColours(), tmp_path / "other", cropper=SquareCropper)
    with pytest.raises(GalleryError, match="no gallery"):
        Service(AlignedColours(), tmp_path / "none", cropper=SquareCropper)
    shutil.rmtree(tmp_path / "other")  # nothing holds it open


def test_a_replaced_gallery_is_closed_when_its_last_answer_is_given(gallery_path, tmp_path):
    others = set(threading.enumerate())  # of services of other tests
    service = Service(AlignedColours(), gallery_path, cropper=SquareCropper)
    with service.gallery() as before:
        gallery_path.rename(tmp_path / "old")
        Gallery.create(gallery_path, AlignedColours()).close()
        with service.gallery() as after:
            assert after is not before
            assert after.info().people == 0
        with pytest.raises(UnavailableError, match=r"replaced|gone"):
            before.info()  # still open, and says what happened
    with pytest.raises(UnavailableError, match="closed"):
        before.info()
    with service.gallery() as now:
        assert now is after
    service.close()
    begun = set(threading.enumerate()) - others
    assert "facever-model" not in [one.name for one in begun]
