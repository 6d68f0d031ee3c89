"""Backups of a gallery while a service writes it, by the commands of docs/service.md."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from facever.gallery.gallery import Gallery
from facever.gallery.uses import UseLog
from tests.http_photos import files, shot
from tests.squares import AlignedColours

GUIDE = (Path(__file__).parents[2] / "docs" / "service.md").read_text()
MANY = 2000  # images; an index of fewer than 1,000 has no file


def run(word: str, without: str = "no line", **places: Path) -> None:
    """Run the commands of the guide's block that has a word, with other places.

    Args:
        word: In the block.
        without: In the lines of the block that are not run.
        places: What takes the place of the names in capitals.
    """
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    (block,) = [one for one in blocks if word in one]
    lines = [line for line in block.splitlines() if without not in line]
    script = "\n".join(lines)
    for name, place in places.items():
        script = re.sub(rf"\b{name}\b", str(place), script)
    script = re.sub("^facever ", f"{sys.executable} -m facever ", script, flags=re.MULTILINE)
    script = re.sub("^python ", f"{sys.executable} ", script, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{script}: {done.stderr}"


class Writer(threading.Thread):
    """Enrols people with two images each, and asks after each of them, until it is stopped."""

    def __init__(self, client):
        super().__init__()
        self.client, self.sent, self.done = client, [], []
        self._stop_now, self.statuses = threading.Event(), set()

    def run(self):
        while not self._stop_now.is_set():
            name = f"new-{len(self.sent)}"
            self.sent.append(name)
            rows = unit(np.random.default_rng(len(self.sent)).normal(size=(2, 12))).tolist()
            body = {"embeddings": rows, "fingerprint": AlignedColours.fingerprint}
            path = f"/v1/people/{name}/images"
            self.statuses.add(
                self.client.post(path, json={**body, "duplicates": "keep"}).status_code
            )
            self.statuses.add(self.client.post("/v1/search", json=body).status_code)
            self.done.append(name)

    def wait_for(self, count):
        while len(self.done) < count:
            assert self.is_alive()

    def stop(self):
        self._stop_now.set()
        self.join()
        assert self.statuses == {200, 201}


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def writing(start, gallery_path):
    """A service that is asked for an image, and then written without end."""
    with Gallery.open(gallery_path) as gallery:
        rows = unit(np.random.default_rng(0).normal(size=(MANY, gallery.dimension)))
        names = [f"old-{number // 2}" for number in range(MANY)]
        gallery.enroll(rows, names, fingerprint=gallery.fingerprint)
    client = start()
    assert client.post("/v1/search", files=files(shot("a"))).status_code == 200
    writer = Writer(client)
    writer.start()
    yield writer
    writer.stop()


def check_restored(path: Path, before: list[str], after: list[str]) -> None:
    """Check people (all of `before`, perhaps some of `after`), index and answers of a backup."""
    with Gallery.open(path) as gallery:
        assert gallery.check() == []
        people = {one.person: one.images for one in gallery.people()}
        assert set(people.values()) == {2}  # one enrolment, completely or not at all
        new = {name for name in people if name.startswith("new")}
        assert len(people) - len(new) == MANY // 2
        assert set(before) <= new <= set(after)
        rows = unit(np.random.default_rng(0).normal(size=(MANY, gallery.dimension)))[::200]
        found = gallery.search(rows, 1, fingerprint=gallery.fingerprint)
        assert [one.candidates[0].person for one in found] == [
            f"old-{n}" for n in range(0, 1000, 100)
        ]
    assert (path / "index.snapshot").is_file()


def test_a_copy_of_the_files(writing, gallery_path, tmp_path):
    backup = tmp_path / "backup"
    writing.wait_for(5)
    before = list(writing.done)
    run("sqlite3", GALLERY=gallery_path, BACKUP=backup)
    after = list(writing.sent)
    writing.wait_for(len(after) + 3)  # it goes on
    assert sorted(one.name for one in backup.iterdir()) == ["gallery.db", "uses.db"]
    with UseLog(backup) as log, UseLog(gallery_path) as live:
        rows = log.rows()
        assert 1 + 2 * len(before) <= len(rows) <= 1 + 2 * len(after)
        assert log.hash_of(b"image") == live.hash_of(b"image")
        assert rows[0].image == live.hash_of(shot("a"))
    check_restored(backup, before, after)

    # it takes the place of the old one while the service runs
    writing.stop()
    gallery_path.rename(tmp_path / "old")
    backup.rename(gallery_path)
    client = writing.client
    with Gallery.open(gallery_path) as gallery:
        assert client.get("/v1/info").json()["gallery"]["images"] == gallery.info().images
    with UseLog(gallery_path) as log:
        count = len(log.rows())
        assert client.post("/v1/search", files=files(shot("a"))).status_code == 200
        assert len(log.rows()) == count + 1
    assert client.post("/v1/people/z/images", files=files(shot("z"))).status_code == 201


def test_an_export(writing, gallery_path, tmp_path):
    export, restored = tmp_path / "export", tmp_path / "restored"
    writing.wait_for(5)
    before = list(writing.done)
    Gallery.create(restored, AlignedColours()).close()
    run("EXPORT", "gallery create", GALLERY=gallery_path, EXPORT=export, RESTORED=restored)
    after = list(writing.sent)
    writing.wait_for(len(after) + 3)  # it goes on
    check_restored(restored, before, after)
