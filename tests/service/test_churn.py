"""Searches while people are enrolled and removed: every answer is one that the gallery gives."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from facever.gallery.gallery import Gallery
from tests.http_photos import coded, files, shot

STAYING, PASSING = "abcdefgh", "uvwxyz"
ROUNDS = 10  # each of three people is enrolled and removed


def test_nobody_is_found_after_their_removal_was_acknowledged(start, gallery_path):
    client = start(limits={"requests_each": 256})
    for person in STAYING:
        client.post(f"/v1/people/{person}/images", files=files(shot(person), shot(person, 1)))
    alone = {
        person: scores_of(
            client.post("/v1/search", files=files(shot(person, 3)), data={"k": "20"}).json()
        )
        for person in STAYING
    }
    removed: dict[str, float] = {}  # since when; a person who is enrolled again is not there
    lock = threading.Lock()
    counts = {"searches": 0}
    ended = threading.Event()

    def ask(number: int) -> None:
        person = STAYING[number % len(STAYING)]
        body = {"images": [coded(shot(person, 3)), coded(shot(PASSING[number % 6], 2))], "k": 20}
        while not ended.is_set():
            with lock:
                gone = dict(removed)
            said = client.post("/v1/search", json=body).json()
            found = scores_of(said)
            # of people who come meanwhile, the gallery may take the places of the last ones
            staying = [one for one in found if one in STAYING]
            assert len(staying) >= len(STAYING) - 3
            assert staying[0] == person
            assert all(found[one] == alone[person][one] for one in staying)
            with lock:
                still = {one for one, since in gone.items() if removed.get(one) == since}
                counts["searches"] += 1
            for answer in said["answers"]:
                assert not still & {one["person"] for one in answer["candidates"]}

    def change(person: str) -> None:
        for _ in range(ROUNDS):
            with lock:
                removed.pop(person, None)
            added = client.post(f"/v1/people/{person}/images", files=files(shot(person)))
            assert added.status_code == 201, added.text
            assert client.delete(f"/v1/people/{person}").status_code == 200
            with lock:
                removed[person] = time.monotonic()
            time.sleep(0.02)

    with ThreadPoolExecutor(16) as pool:
        tasks = [pool.submit(ask, number) for number in range(13)]
        changes = [pool.submit(change, person) for person in PASSING[:3]]
        try:
            for task in changes:
                task.result()
        finally:
            ended.set()
        for task in tasks:
            task.result()
    assert counts["searches"] > 2 * ROUNDS
    with Gallery.open(gallery_path) as gallery:
        assert gallery.check() == []
        assert [one.person for one in gallery.people()] == list(STAYING)


def scores_of(said: dict) -> dict[str, float]:
    """The scores of the first probe by person."""
    return {one["person"]: one["score"] for one in said["answers"][0]["candidates"]}
