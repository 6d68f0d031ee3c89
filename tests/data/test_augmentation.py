import pickle
import random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facever.config import parse
from facever.data.augmentation import Augmentation, AugmentationConfig
from facever.errors import ConfigError

SIZE = (32, 24)
NAMES = sorted(set(AugmentationConfig.model_fields) - {"transforms"})
NONE = {name: {"probability": 0} for name in NAMES}


def picture(seed: int = 0) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    return cv2.resize(rough, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def only(name: str, **strengths: object) -> Augmentation:
    values = NONE | {name: {"probability": 1, **strengths}}
    return Augmentation(parse(AugmentationConfig, values), SIZE)


EVERYTHING = Augmentation(
    parse(AugmentationConfig, {name: {"probability": 0.7} for name in NAMES}), SIZE
)


@given(
    st.tuples(st.integers(0, 2**63), st.integers(0, 10**6), st.integers(0, 10**9)),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=3),
)
@settings(max_examples=30, deadline=None)
def test_the_result_depends_on_the_key_alone(key, before):
    image = picture()
    expected = Augmentation(EVERYTHING.config, SIZE)(image, *key)
    for other in before:
        EVERYTHING(picture(1), *other)
    random.seed(sum(key))
    np.random.seed(sum(key) % 2**32)
    np.testing.assert_array_equal(EVERYTHING(image, *key), expected)


@pytest.mark.parametrize("name", NAMES)
def test_each_transform_alone_draws_from_nothing_but_the_key(name):
    augmentation, image = only(name), picture()
    first = [augmentation(image, 1, 2, index) for index in range(20)]
    augmentation(picture(1), 9, 9, 9)
    again = [augmentation(image, 1, 2, index) for index in reversed(range(20))][::-1]
    np.testing.assert_array_equal(first, again)
    assert any((one != image).any() for one in first), "it changes nothing"
    if name not in ("flip", "grey"):  # nothing to choose once they are applied
        assert any((one != first[0]).any() for one in first), "it is always the same"


def test_seed_epoch_index_and_repeat_each_change_the_result():
    image, key = picture(), (3, 4, 5, 6)
    base = EVERYTHING(image, *key)
    for place in range(4):
        other = [number + (position == place) for position, number in enumerate(key)]
        assert (EVERYTHING(image, *other) != base).any(), place
    assert (EVERYTHING(image, 4, 3, 5, 6) != base).any()


def test_probabilities_are_kept():
    augmentation = Augmentation(
        parse(AugmentationConfig, NONE | {"grey": {"probability": 0.3}}), SIZE
    )
    image = picture()
    grey = sum(bool((augmentation(image, 0, 0, i) != image).any()) for i in range(1000))
    assert 240 <= grey <= 360  # 300 +- 4 standard deviations


def test_probability_zero_everywhere_returns_the_image_itself():
    image = picture()
    assert Augmentation(parse(AugmentationConfig, NONE), SIZE)(image, 0, 0, 0) is image


def test_an_absent_transform_is_not_in_the_pipeline():
    pipeline = only("blur")._pipeline
    assert [type(one).__name__ for one in pipeline] == ["GaussianBlur"]
    assert len(list(EVERYTHING._pipeline)) == len(NAMES)


def test_all_transforms_share_the_two_generators():
    for transform in EVERYTHING._pipeline:
        assert transform.py_random is EVERYTHING._python
        assert transform.random_generator.bit_generator is EVERYTHING._bits


def test_size_and_input_are_kept():
    image = picture()
    before = image.copy()
    for index in range(50):
        result = EVERYTHING(image, 0, 0, index)
        assert result.shape == (*SIZE, 3)
        assert result.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_a_copy_in_another_process_does_the_same():
    copy = pickle.loads(pickle.dumps(EVERYTHING))
    image = picture()
    np.testing.assert_array_equal(copy(image, 1, 2, 3), EVERYTHING(image, 1, 2, 3))


def test_flip_mirrors():
    image = picture()
    np.testing.assert_array_equal(only("flip")(image, 0, 0, 0), image[:, ::-1])


def test_grey_has_equal_channels():
    result = only("grey")(picture(), 0, 0, 0)
    assert (result == result[..., :1]).all()


def test_erase_fills_one_rectangle_of_the_sides_asked_for():
    image = picture()
    for index in range(30):
        changed = (only("erase", sides=(0.25, 0.5))(image, 0, 0, index) != image).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 0.25 * SIZE[0] - 2 <= height <= 0.5 * SIZE[0]
        assert 0.25 * SIZE[1] - 2 <= width <= 0.5 * SIZE[1]


def test_affine_keeps_proportions_and_stays_within_its_bounds():
    corner = np.zeros((*SIZE, 3), np.uint8)
    corner[14:18, 10:14] = 255  # a square in the middle
    for index in range(20):
        moved = only("affine", rotation=0, scale=(1, 2), shift=0.1)(corner, 0, 0, index)
        weight = moved[..., 0] / moved[..., 0].sum()
        row, column = (weight * np.indices(SIZE)).sum(axis=(1, 2))
        assert abs(row - 15.5) <= 0.1 * SIZE[0] + 1.5
        assert abs(column - 11.5) <= 0.1 * SIZE[1] + 1.5
        rows = np.flatnonzero(moved[..., 0].max(axis=1) > 127)
        columns = np.flatnonzero(moved[..., 0].max(axis=0) > 127)
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"flip": {"probability": 1.2}}, "'flip.probability' is 1.2"),
        ({"crop": {"area": (0.9, 0.5)}}, "a range must be (low, high) with low <= high"),
        ({"crop": {"area": (0.5, 1.5)}}, "'crop.area.1' is 1.5"),
        ({"jpeg": {"quality": (0, 90)}}, "'jpeg.quality.0' is 0"),
        ({"erase": {"sides": (0.2, 1)}}, "'erase.sides.1' is 1"),
        ({"colour": {}}, "unknown key 'colour'; did you mean 'color'?"),
        ({"blur": {"sigmas": (1, 2)}}, "unknown key 'blur.sigmas'; did you mean 'sigma'?"),
    ],
)
def test_refuses_what_cannot_be(values, message):
    with pytest.raises(ConfigError) as caught:
        parse(AugmentationConfig, values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "strengths", "size"),
    [
        ("downscale", {"scale": [1e-9, 1e-9]}, (32, 24)),
        ("downscale", {"scale": [0.4, 0.8]}, (1, 1)),
        ("downscale", {"scale": [0.02, 0.9]}, (32, 24)),
        ("crop", {"ratio": [0.02, 0.02]}, (32, 24)),
        ("crop", {"ratio": [80, 80]}, (32, 24)),
    ],
)
def test_what_leaves_no_pixel_is_refused(
    name: str, strengths: dict[str, object], size: tuple[int, int]
) -> None:
    config = parse(AugmentationConfig, NONE | {name: {"probability": 1, **strengths}})
    with pytest.raises(ConfigError, match=f"{name}.*images of {size[0]} x"):
        Augmentation(config, size)
    Augmentation(parse(AugmentationConfig, NONE | {name: {"probability": 0, **strengths}}), size)


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        ("affine", {"scale": [1e-9, 1e-9]}),  # the mirrored border would never end
        ("affine", {"scale": [1, 1e300]}),
        ("crop", {"ratio": [1e-9, 1]}),
        ("crop", {"ratio": [1, 1e9]}),
    ],
)
def test_factors_have_bounds(name: str, strengths: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=name):
        parse(AugmentationConfig, NONE | {name: strengths})


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (7, 2), (3, 64)])
def test_tiny_images_are_changed_or_refused(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    strongest: dict[str, dict[str, object]] = {
        "affine": {"scale": [0.01, 100], "shift": 1, "rotation": 180},
        "blur": {"sigma": [1e-9, 50]},
        "crop": {"area": [1e-12, 1], "ratio": [0.01, 100]},
        "downscale": {"scale": [0.02, 0.99]},
        "erase": {"sides": [1e-9, 0.99]},
    }
    for name in NAMES:
        values = NONE | {name: {"probability": 1, **strongest.get(name, {})}}
        try:
            pipeline = Augmentation(parse(AugmentationConfig, values), size)
        except ConfigError:
            assert name in ("crop", "downscale", "grey")
            continue
        for index in range(5):
            assert pipeline(image, 1, 0, index).shape == image.shape
