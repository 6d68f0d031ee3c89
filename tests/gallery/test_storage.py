import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.storage import (
    bytes_of,
    checked_storage,
    decoded,
    encoded,
    plausible,
)


@pytest.mark.parametrize(
    ("kind", "size", "error"), [("float32", 32, 0), ("float16", 16, 5e-4), ("int8", 8, 5e-3)]
)
def test_vectors_come_back(units, kind: str, size: int, error: float) -> None:
    vectors = units(5000, seed=1)
    blobs = list(encoded(vectors, kind))
    assert {len(blob) for blob in blobs} == {size} == {bytes_of(kind, 8)}
    back = decoded(blobs, kind, 8)
    assert back.dtype == np.float32
    assert np.abs(back - vectors).max() <= error
    assert np.allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    assert plausible(blobs, kind, 8).all()
    assert decoded([], kind, 8).shape == (0, 8)


def test_int8_is_scaled_by_each_vector() -> None:
    """A vector of one direction and one of many small values are both held well."""
    many = np.full((1, 100), 0.1, np.float32)
    blob = next(encoded(many, "int8"))
    assert blob == bytes([127]) * 100
    assert np.allclose(decoded([blob], "int8", 100), many, atol=1e-7)
    slow = [round(float(x) / 0.8 * 127) for x in (0.8, -0.6, 0.0)]
    assert next(encoded(np.float32([[0.8, -0.6, 0]]), "int8")) == np.int8(slow).tobytes()


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_damage_is_found(units, kind: str) -> None:
    blobs = list(encoded(units(5), kind))
    with pytest.raises(ValueError, match="of another dimension"):
        decoded([*blobs, b"x"], kind, 8)
    found = plausible([*blobs[:3], bytes(len(blobs[0])), *blobs[3:]], kind, 8)
    assert found.tolist() == [True, True, True, False, True, True]


def test_a_vector_that_is_none() -> None:
    blobs = [np.float16(row).tobytes() for row in ([1, np.nan], [0, 0], [0.6, 0.8])]
    assert plausible(blobs, "float16", 2).tolist() == [False, False, True]
    finite = np.isfinite(decoded(blobs, "float16", 2)).all(axis=1)
    assert finite.tolist() == [False, False, True]


def test_an_unknown_storage() -> None:
    with pytest.raises(GalleryError, match=r"^storage is 'int4' \(allowed: float32, float16, int8"):
        checked_storage("int4")
