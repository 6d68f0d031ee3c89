"""Random streams are reproducible and independent."""

import numpy as np

from facever.core.seeding import derive, stream


def test_the_same_path_of_keys_gives_the_same_numbers() -> None:
    assert stream(1, "a", 2).integers(2**40, size=8).tolist() == (
        stream(1, "a", 2).integers(2**40, size=8).tolist()
    )


def test_other_seeds_and_keys_give_other_numbers() -> None:
    streams = [
        stream(1),
        stream(2),
        stream(1, "a"),
        stream(1, "b"),
        stream(1, "a", 0),
        stream(1, 0),
    ]
    drawn = {tuple(s.integers(2**40, size=4)) for s in streams}
    assert len(drawn) == len(streams)


def test_streams_are_not_correlated() -> None:
    a, b = (stream(7, "x", epoch).standard_normal(20_000) for epoch in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(20_000)


def test_derive_fits_torch() -> None:
    assert 0 <= derive(3, "weights") < 2**63
    assert derive(3, "weights") != derive(4, "weights")
