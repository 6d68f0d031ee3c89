"""Decoded images in memory: the same batches bit for bit, decoded once, and only where they fit."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.core.processes import rank
from facever.data import decoded, loading
from facever.data.augmentation import AugmentationConfig
from facever.data.decode import decode
from facever.data.decoded import DecodedImages, room_for
from facever.data.loading import training_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.samplers import PKSampler
from facever.errors import ConfigError
from tests.processes import in_processes

SMALL = Preprocessing(size=(10, 12), color="bgr")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Six images of two people, the fifth unreadable; some are of the model's size already."""
    draw = np.random.default_rng(0)
    for number in range(6):
        size = (10, 12, 3) if number % 2 else (20, 18, 3)
        cv2.imwrite(str(tmp_path / f"{number}.png"), draw.integers(0, 256, size, dtype=np.uint8))
    (tmp_path / "4.png").write_text("no image")
    paths = [f"{number}.png" for number in range(6)]
    return Manifest(pd.DataFrame({"path": paths, "identity": list("ababab")}), tmp_path, "x")


def batches(manifest: Manifest, cache: decoded.Keep, workers: int = 0) -> loading.Batches:
    sampler = PKSampler(manifest.labels(), 2, 5, seed=0)  # repeats images within a batch
    return training_batches(
        manifest,
        SMALL,
        AugmentationConfig(),
        sampler,
        seed=1,
        workers=workers,
        on_error="skip",
        cache=cache,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batches_are_equal_and_nothing_is_decoded_twice(
    workers: int, manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, kept = batches(manifest, "never"), batches(manifest, "always", workers)
    assert "decoded images are cached in memory: 0.0 MB of " in capsys.readouterr().err
    for epoch in range(4):
        for one in (plain, kept):
            one.set_epoch(epoch)
        first, second = list(plain), list(kept)
        assert len(first) == len(second) > 0
        for ours, theirs in zip(first, second, strict=True):
            np.testing.assert_array_equal(ours.images, theirs.images)
            np.testing.assert_array_equal(ours.indices, theirs.indices)
            assert ours.failed == theirs.failed != []
        if epoch == 0:  # from now on the files are not needed
            for number in (0, 1, 2, 3, 5):
                path = Path(manifest.locate(number))
                path.rename(path.with_suffix(".away"))
            assert {index for batch in list(kept) for index, _ in batch.failed} == {4}
            for number in (0, 1, 2, 3, 5):
                path = Path(manifest.locate(number))
                path.with_suffix(".away").rename(path)
    room = kept._loader.dataset.decoded  # what worker processes put in is here too
    assert room.which(list(range(6))) == {index: index != 4 for index in range(6)}
    for index in (0, 1, 2, 3, 5):
        wanted = SMALL.resize(decode(manifest.locate(index)))
        np.testing.assert_array_equal(room.get(index), wanted)
    kept.close()


def test_what_is_given_out_is_a_copy() -> None:
    room = DecodedImages(2, (2, 3), shared=False)
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert room.which([0, 1]) == {0: False, 1: False}
    room.put(1, image)
    assert room.which([1]) == {1: False}
    room.mark([1])
    assert room.which([1, 0, 1]) == {0: False, 1: True}
    room.get(1)[:] = 0
    np.testing.assert_array_equal(room.get(1), image)


def test_it_is_kept_where_it_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    needed = 1000 * (10 * 20 * 3 + 1)
    monkeypatch.setattr(decoded, "free_memory", lambda shared: 2 * needed)
    assert room_for(1000, (10, 20), "never", 0) is None
    assert capsys.readouterr().err == ""
    assert room_for(1000, (10, 20), "auto", 0) is not None
    said = "decoded images are cached in memory: 0.6 MB of 1.2 MB of free memory\n"
    assert capsys.readouterr().err == said
    monkeypatch.setattr(decoded, "free_memory", lambda shared: 2 * needed - 1)
    assert room_for(1000, (10, 20), "auto", 0) is None
    assert "decoded images are not cached: they need 0.6 MB of 1.2 MB" in capsys.readouterr().err
    assert room_for(1000, (10, 20), "always", 0) is not None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # as much for the other process
    with pytest.raises(ConfigError) as error:
        room_for(1000, (10, 20), "always", 0)
    assert str(error.value) == (
        "data.cache is always, but the decoded images need 1.2 MB of 1.2 MB of free memory: set it "
        "to auto or never, or choose smaller images"
    )


def case_kept(keep: decoded.Keep, free: int) -> bool:
    """Say whether it is kept where the second process finds less free than the first."""
    decoded.free_memory = lambda shared: free - rank()
    try:
        return room_for(10, (10, 20), keep, 0) is not None
    except ConfigError:
        return False


def test_processes_decide_alike_by_the_least_that_one_found() -> None:
    needed = 2 * 10 * (10 * 20 * 3 + 1)
    cases = {
        "half": partial(case_kept, "auto", 2 * needed),
        "more": partial(case_kept, "auto", 2 * needed + 1),
        "all": partial(case_kept, "always", needed),
        "beyond": partial(case_kept, "always", needed + 1),
    }
    answers = in_processes(2, cases)
    kept = {name: answers(name) for name in cases}
    assert kept == {
        "half": [False, False],
        "more": [True, True],
        "all": [False, False],
        "beyond": [True, True],
    }
