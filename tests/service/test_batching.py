"""The micro-batcher: nothing waits in vain, nothing mixes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facever.errors import ModelError, UnavailableError
from facever.service.batching import BatchedModel, Batcher
from tests.http_photos import coded, files, shot


def numbered(value: int, count: int = 1) -> list[np.ndarray]:
    return [np.full((1, 1, 3), value % 251, np.uint8) for _ in range(count)]


def first_pixels(images) -> np.ndarray:
    return np.array([[image[0, 0, 0]] for image in images], np.float32)


class Gated:
    """A model that waits until it may compute; it keeps the sizes of its batches."""

    def __init__(self) -> None:
        self.open, self.begun, self.sizes = threading.Event(), threading.Event(), []

    def __call__(self, images):
        self.sizes.append(len(images))
        self.begun.set()
        assert self.open.wait(10)
        return first_pixels(images)


def test_a_lone_request_does_not_wait():
    batcher = Batcher(first_pixels, most=32)
    took = []
    for value in range(50):
        began = time.perf_counter()
        assert batcher.submit(numbered(value)).tolist() == [[value]]
        took.append(time.perf_counter() - began)
    assert np.median(took) < 0.005  # a batcher that waits for others would take longer
    batcher.close()


def test_what_waits_becomes_full_batches():
    run = Gated()
    batcher = Batcher(run, most=8)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(batcher.submit, numbered(0))
        assert run.begun.wait(10)
        others = [pool.submit(batcher.submit, numbered(value)) for value in range(1, 20)]
        while batcher.waiting < 19:
            time.sleep(0.001)
        run.open.set()
        assert [one.result().tolist() for one in [first, *others]] == [[[v]] for v in range(20)]
    batcher.close()
    assert run.sizes == [1, 8, 8, 3]


def test_a_large_request_is_a_batch_of_its_own():
    run = Gated()
    batcher = Batcher(run, most=4)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batcher.submit, numbered(0))
        assert run.begun.wait(10)
        large = pool.submit(batcher.submit, numbered(1, 9))
        while batcher.waiting < 9:
            time.sleep(0.001)
        small = pool.submit(batcher.submit, numbered(2))
        while batcher.waiting < 10:
            time.sleep(0.001)
        run.open.set()
        assert [len(one.result()) for one in (first, large, small)] == [1, 9, 1]
    batcher.close()
    assert run.sizes == [1, 9, 1]
    with pytest.raises(UnavailableError, match="stops"):
        batcher.submit(numbered(3))


def test_sixteen_threads_get_their_own_rows():
    batcher = Batcher(first_pixels, most=16)

    def ask(thread: int) -> None:
        random = np.random.default_rng(thread)
        for _ in range(100):
            value, count = int(random.integers(251)), int(random.integers(1, 5))
            assert batcher.submit(numbered(value, count)).tolist() == [[value]] * count

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    batcher.close()


def test_one_request_that_fails_fails_no_other():
    run = Gated()

    def compute(images):
        rows = run(images)
        if (rows == 13).any():
            raise ModelError("unlucky")
        return rows

    batcher = Batcher(compute, most=8)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.submit, numbered(0))
        assert run.begun.wait(10)
        others = [pool.submit(batcher.submit, numbered(value)) for value in (12, 13, 14)]
        while batcher.waiting < 3:
            time.sleep(0.001)
        run.open.set()
        assert first.result().tolist() == [[0]]
        assert others[0].result().tolist() == [[12]]
        with pytest.raises(ModelError, match="unlucky"):
            others[1].result()
        assert others[2].result().tolist() == [[14]]
    batcher.close()


def test_a_batched_model_is_the_model():
    class Colours:
        fingerprint, dimension, metric = "colours", 3, "dot"

        def embed(self, images):
            return np.array([image.mean(axis=(0, 1)) for image in images])

    model = BatchedModel(Colours(), most=4)
    images = [np.full((2, 2, 3), value, np.uint8) for value in (1, 200)]
    assert model.embed(images).tolist() == [[1, 1, 1], [200, 200, 200]]  # not normalised
    assert (model.fingerprint, model.metric) == ("colours", "dot")
    assert not hasattr(model, "alignment")
    model.close()


def test_answers_of_sixteen_clients_never_mix(client):
    people = "abcdefghijklmnop"
    for person in people:
        client.post(f"/v1/people/{person}/images", files=files(shot(person)))
    alone = {
        person: client.post("/v1/search", files=files(shot(person, 2))).json()["answers"]
        for person in people
    }

    def ask(person: str) -> None:
        for _ in range(8):
            said = client.post("/v1/search", json={"images": [coded(shot(person, 2))]})
            assert said.json()["answers"] == alone[person]
            assert said.json()["answers"][0]["candidates"][0]["person"] == person

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, people))


def test_requests_of_one_caller_are_bounded(start):
    from tests.squares import AlignedColours

    run = Gated()

    class Slow(AlignedColours):
        def embed(self, images):
            run(images)
            return super().embed(images)

    client = start(Slow(), limits={"requests_each": 1})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/search", files=files(shot("a")))
        assert run.begun.wait(10)
        refused = client.get("/v1/people")
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        run.open.set()
        assert first.result().status_code == 200
    assert client.get("/v1/people").status_code == 200
