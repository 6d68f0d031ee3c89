import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facever.config import parse
from facever.data.preprocessing import Preprocessing
from facever.errors import ConfigError


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_of_the_right_size_is_left_alone():
    image = noise(12, 10)
    np.testing.assert_array_equal(Preprocessing(size=(12, 10)).apply(image), image)


def test_area_averages_blocks_when_it_shrinks():
    image = noise(16, 36)
    blocks = image.reshape(4, 4, 12, 3, 3).mean(axis=(1, 3))
    small = Preprocessing(size=(4, 12)).apply(image)
    assert np.abs(small - blocks).max() <= 0.51


def test_area_is_bilinear_when_it_grows():
    image = noise(8, 9)
    grown = Preprocessing(size=(20, 21)).apply(image)
    expected = Preprocessing(size=(20, 21), interpolation="bilinear").apply(image)
    np.testing.assert_array_equal(grown, expected)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0.05, 1),
    st.sampled_from(["rgb", "bgr", "grey"]),
    st.sampled_from(["area", "bilinear", "bicubic"]),
)
def test_every_image_becomes_the_size_asked_for(height, width, size, crop, color, interpolation):
    chosen = Preprocessing(size=size, crop=crop, color=color, interpolation=interpolation)
    result = chosen.apply(noise(height, width))
    assert result.shape == (size, size, 3)
    assert result.dtype == np.uint8


def test_the_crop_keeps_the_centre():
    image = noise(10, 20)
    result = Preprocessing(size=(5, 10), crop=0.5).apply(image)
    np.testing.assert_array_equal(result, image[2:7, 5:15])


def test_colour_orders():
    image = noise(6, 6)
    bgr = Preprocessing(size=6, color="bgr").apply(image)
    np.testing.assert_array_equal(bgr, image[..., ::-1])
    grey = Preprocessing(size=6, color="grey").apply(image)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey - luma[..., None]).max() <= 1
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()


def test_one_number_is_a_square():
    assert parse(Preprocessing, {"size": 64}).size == (64, 64)
    assert parse(Preprocessing, {"size": [128, 64]}).size == (128, 64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "'size.0' is 0"),
        ({"crop": 0}, "'crop' is 0"),
        ({"crop": 1.5}, "'crop' is 1.5"),
        ({"std": (0.5, 0, 0.5)}, "'std.1' is 0"),
        ({"color": "grya"}, "'color' is 'grya'"),
        ({"interpolaton": "area"}, "did you mean 'interpolation'?"),
    ],
)
def test_refuses_what_cannot_be(values, message):
    with pytest.raises(ConfigError) as caught:
        parse(Preprocessing, values)
    assert message in str(caught.value)
