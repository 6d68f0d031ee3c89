import pickle
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from facever.config import parse
from facever.data.augmentation import Augmentation, AugmentationConfig
from facever.data.decode import ImageError, decode
from facever.data.loading import BatchDataset, plain_batches, training_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.samplers import PKSampler, ShuffleSampler
from facever.errors import ConfigError

SMALL = Preprocessing(size=24)
STRONG = parse(
    AugmentationConfig,
    {n: {"probability": 0.7} for n in AugmentationConfig.model_fields if n != "transforms"},
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    """Two identities x 9 images of 32 x 28 pixels."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    rows = []
    for number in range(18):
        rough = random.integers(0, 256, (8, 7, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f"{number}.png"), cv2.resize(rough, (28, 32)))
        rows.append({"path": f"{number}.png", "identity": "ba"[number % 2]})
    return Manifest.from_frame(pd.DataFrame(rows), root, "small")


@pytest.fixture
def broken(manifest, tmp_path) -> Manifest:
    """The same with a text file as image 3 and a missing image 10."""
    (tmp_path / "text.jpg").write_text("not an image")
    frame = manifest.frame.copy()
    frame["path"] = [str(manifest.root / path) for path in frame["path"]]
    frame.loc[3, "path"], frame.loc[10, "path"] = "text.jpg", "missing.jpg"
    return Manifest.from_frame(frame, tmp_path, "broken")


def train(manifest: Manifest, workers: int = 0, on_error="raise", sampler=None):
    sampler = sampler or ShuffleSampler(len(manifest), 4, seed=1, drop_last=False)
    return training_batches(
        manifest, SMALL, STRONG, sampler, seed=7, workers=workers, on_error=on_error
    )


def assert_same(first, second) -> None:
    first, second = list(first), list(second)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for left, right in zip(one[:3], other[:3], strict=True):
            assert torch.equal(left, right)
        assert one.failed == other.failed


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_batches_in_every_epoch(manifest, workers):
    alone, helped = train(manifest), train(manifest, workers)
    for epoch in (0, 1, 5):
        alone.set_epoch(epoch)
        helped.set_epoch(epoch)
        assert_same(alone, helped)
    helped.close()


def test_workers_live_through_the_epochs_and_an_iteration_left_early(manifest):
    batches = train(manifest, workers=1)
    next(iter(batches))
    [worker] = batches._loader._iterator._workers
    batches.set_epoch(3)
    alone = train(manifest)
    alone.set_epoch(3)
    assert_same(alone, batches)
    assert worker.is_alive()
    assert [worker] == batches._loader._iterator._workers
    batches.close()
    worker.join(10)
    assert not worker.is_alive()


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs sigwaitinfo")
def test_workers_obey_only_the_main_process(manifest):
    batches = train(manifest, workers=1)
    first = list(batches)
    [worker] = batches._loader._iterator._workers
    for number in ("INT", "TERM"):  # from another process, as for a whole group
        subprocess.run(["sh", "-c", f"kill -{number} {worker.pid}"], check=True)
    assert_same(first, batches)
    worker.terminate()  # what multiprocessing does at the end of a run that closed nothing
    worker.join(10)
    assert not worker.is_alive()


def test_pixels_are_decoded_preprocessed_and_augmented_by_their_key(manifest):
    batches = train(manifest)
    augmentation = Augmentation(STRONG, SMALL.size)
    for epoch in (0, 2):
        batches.set_epoch(epoch)
        seen = []
        for batch in batches:
            assert batch.images.dtype == torch.uint8
            for pixels, label, index in zip(*batch[:3], strict=True):
                image = SMALL.resize(decode(manifest.locate(int(index))))
                expected = augmentation(image, 7, epoch, int(index))
                np.testing.assert_array_equal(pixels.numpy(), expected.transpose(2, 0, 1))
                assert label == manifest.labels()[index]
                assert manifest.identities[label] == manifest.frame["identity"][int(index)]
                seen.append(int(index))
        assert sorted(seen) == list(range(18))


def test_another_epoch_changes_the_pixels_of_every_image_order_aside(manifest):
    def pixels(epoch):
        batches = train(manifest)
        batches.set_epoch(epoch)
        return {
            int(index): image
            for batch in batches
            for index, image in zip(batch.indices, batch.images, strict=True)
        }

    first, second = pixels(0), pixels(1)
    assert sum(not torch.equal(first[index], second[index]) for index in first) >= 15


def test_a_resume_in_mid_epoch_is_the_uninterrupted_tail(manifest):
    whole, resumed = train(manifest), train(manifest)
    whole.set_epoch(2)
    resumed.set_epoch(2)
    resumed.start_at(3)
    assert_same(list(whole)[3:], resumed)
    assert len(resumed) == len(whole) == 5


def test_images_repeated_in_a_batch_are_augmented_differently(manifest):
    few = manifest.at_most(2)
    [batch] = train(few, sampler=PKSampler(few.labels(), 2, 4, seed=0))
    assert sorted(batch.indices.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({image.numpy().tobytes() for image in batch.images}) == 8


def test_without_augmentation_pixels_are_only_preprocessed(manifest):
    preprocessing = Preprocessing(size=(20, 16), color="bgr", crop=0.9)
    batches = plain_batches(manifest, preprocessing, batch_size=7)
    assert [len(batch.labels) for batch in batches] == [7, 7, 4]
    images = torch.cat([batch.images for batch in batches])
    for index, image in enumerate(images):
        expected = preprocessing.apply(decode(manifest.locate(index)))
        np.testing.assert_array_equal(image.numpy(), expected.transpose(2, 0, 1))


def test_plain_batches_begin_at_any_row(manifest):
    batches = plain_batches(manifest, SMALL, batch_size=4, runs=[range(9, len(manifest))])
    assert [batch.indices.tolist() for batch in batches] == [
        [9, 10, 11, 12],
        [13, 14, 15, 16],
        [17],
    ]


@pytest.mark.parametrize("workers", [0, 1])
def test_skip_leaves_unreadable_images_out_and_names_them(broken, workers):
    batches = list(plain_batches(broken, SMALL, batch_size=6, workers=workers, on_error="skip"))
    kept = [index for batch in batches for index in batch.indices.tolist()]
    assert kept == [index for index in range(18) if index not in (3, 10)]
    for batch in batches:
        np.testing.assert_array_equal(batch.labels, broken.labels()[batch.indices])
        for image, index in zip(batch.images, batch.indices, strict=True):
            expected = SMALL.apply(decode(broken.locate(int(index))))
            np.testing.assert_array_equal(image.numpy(), expected.transpose(2, 0, 1))
    [(first, text), (second, missing)] = [one for batch in batches for one in batch.failed]
    assert (first, second) == (3, 10)
    assert text.startswith(str(broken.root / "text.jpg"))
    assert missing.startswith(str(broken.root / "missing.jpg"))


def test_a_batch_of_unreadable_images_is_empty(broken):
    batch = list(plain_batches(broken, SMALL, batch_size=1, on_error="skip"))[3]
    assert batch.images.shape == (0, 3, 24, 24)
    assert len(batch.failed) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_raise_ends_with_one_line_that_names_the_image(broken, workers):
    batches = iter(plain_batches(broken, SMALL, batch_size=2, workers=workers))
    assert next(batches).indices.tolist() == [0, 1]
    with pytest.raises(ImageError) as caught:
        next(batches)
    assert str(caught.value).startswith(str(broken.root / "text.jpg"))
    assert "\n" not in str(caught.value)


def test_loading_leaves_the_global_generators_alone(manifest):
    torch.manual_seed(0)
    np.random.seed(0)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    for workers in (0, 1):
        list(train(manifest, workers))
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_the_dataset_survives_the_way_to_a_spawned_process(manifest):
    dataset = BatchDataset(manifest, SMALL, Augmentation(STRONG, SMALL.size), 7, "raise")
    copy = pickle.loads(pickle.dumps(dataset))
    assert_same([dataset[2, [0, 5, 5]]], [copy[2, [0, 5, 5]]])


def test_only_batches_for_a_gpu_lie_in_its_memory(manifest, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # though the CPU trains
    for to_gpu in (False, True):
        plain = plain_batches(manifest, SMALL, batch_size=4, to_gpu=to_gpu)
        drawn = training_batches(
            manifest, SMALL, None, ShuffleSampler(18, 4, seed=1), seed=7, to_gpu=to_gpu
        )
        assert plain._loader.pin_memory is drawn._loader.pin_memory is to_gpu


def test_several_processes_of_a_machine_do_not_take_all_cores_each(manifest, monkeypatch):
    threads = cv2.getNumThreads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 3)
    try:
        for processes, expected in (("1", threads), ("2", threads + 3)):
            monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
            plain_batches(manifest, SMALL, batch_size=4)
            assert cv2.getNumThreads() == expected
    finally:
        cv2.setNumThreads(threads)


def test_refuses_an_unknown_way_with_errors(manifest):
    with pytest.raises(ConfigError, match="on_error is 'ignore'"):
        plain_batches(manifest, SMALL, batch_size=2, on_error="ignore")


def test_closed_batches_say_so(manifest):
    batches = plain_batches(manifest, SMALL, batch_size=2)
    batches.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(batches))


@pytest.mark.real
def test_lfw_loads(real_data: Path):
    folder = real_data / "lfw" / "images"
    some = sorted(folder.glob("A*/*.jpg"))[:6]
    frame = pd.DataFrame(
        {"path": [str(p) for p in some], "identity": [p.parent.name for p in some]}
    )
    [batch] = plain_batches(Manifest.from_frame(frame, folder, "lfw"), SMALL, batch_size=6)
    assert batch.images.shape == (6, 3, 24, 24)
    assert not batch.failed
