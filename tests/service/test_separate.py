"""A model that computes each image separately, in the threads of requests."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facever.data.acquisition import FaceStep
from facever.data.machine import usable_cpus
from facever.models.loading import load_model
from facever.models.onnx.adding import add_model
from facever.service.batching import BatchedModel
from facever.service.separate import SeparateModel
from facever.service.service import Service
from facever.service.turns import Turns
from tests.http_photos import file_of
from tests.squares import SquareCropper, patch, photo


@pytest.fixture
def load(make_onnx, tmp_path):
    """Return a function that loads a small model which takes so many images at once."""

    def loaded(batch: int):
        values = {"size": (24, 16), "mean": (127.5,) * 3, "std": (128.0,) * 3}
        added = add_model(make_onnx("source.onnx", batch=batch), tmp_path / "m.onnx", **values)
        return load_model(added.path)

    return loaded


def crops(count: int) -> list[bytes]:
    return [file_of(photo((0, 0, 60, patch(seed)))) for seed in range(count)]


def test_it_is_the_model(load):
    model, sizes = load(1), []
    separate = SeparateModel(model, Turns(), sizes.append)
    assert (separate.fingerprint, separate.dimension) == (model.fingerprint, model.dimension)
    assert (separate.options, separate.alignment) == (model.options, model.alignment)
    assert not hasattr(separate, "embed_pixels")
    images = crops(9)
    assert separate.embed(images).tolist() == model.features(images).tolist()
    assert sizes == [1] * 9
    assert separate.embed([]).shape == (0, model.dimension)


def test_an_image_that_cannot_be_read_stops_no_other(load):
    model = load(1)
    separate = SeparateModel(model, Turns())
    images = crops(5)
    images[2] = images[2][:50]
    faces = FaceStep(SquareCropper(), (24, 16))
    found = list(separate.blocks(images, workers=0, faces=faces))
    alone = next(iter(model.blocks(images, faces=faces)))
    assert [block.first for block in found] == list(range(5))
    assert [reason for block in found for reason in block.errors] == list(alone.errors)
    assert alone.errors[2] is not None
    assert [said for block in found for said in block.columns or [{}]] == list(alone.columns)
    assert np.concatenate([block.embeddings for block in found]).tolist() == (
        alone.embeddings.tolist()
    )


def test_as_many_compute_at_once_as_there_are_cpus(load):
    model = load(1)
    running, most, lock = 0, 0, threading.Lock()
    full = threading.Barrier(usable_cpus())
    forward = model.embed_batch

    def counted(images):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait(10)  # fails where fewer compute at once
        with lock:
            running -= 1
        return forward(images)

    model.embed_batch = counted
    separate = SeparateModel(model, Turns())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(separate.embed, [crops(usable_cpus())] * 8))
    assert most == usable_cpus()


@pytest.mark.parametrize(("batch", "kind"), [(1, SeparateModel), (4, BatchedModel)])
def test_a_file_of_a_fixed_batch_is_batched(load, tmp_path, batch, kind):
    from facever.gallery.gallery import Gallery

    model = load(batch)
    Gallery.create(tmp_path / "people", model).close()
    service = Service(model, tmp_path / "people")
    try:
        assert type(service.model) is kind
        with service.recognizer() as recognizer:
            assert recognizer.enroll(crops(3), ["a", "b", "c"]).images == 3
            assert [one.candidates[0].person for one in recognizer.search(crops(3))] == list("abc")
    finally:
        service.close()
