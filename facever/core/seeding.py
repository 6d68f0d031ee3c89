"""Random streams: one seed and a path of keys give one independent generator."""

import zlib

import numpy as np


def stream(seed: int, *keys: int | str) -> np.random.Generator:
    """Return the NumPy generator of (seed, *keys), independent of every other path of keys.

    Args:
        seed: The run's seed, 0 or larger.
        keys: Purpose of the stream, for example ("augment", epoch, index).
    """
    words = [zlib.crc32(key.encode()) if isinstance(key, str) else key for key in keys]
    # As a spawn key: in the entropy itself a trailing key of 0 would change nothing.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(words)))


def derive(seed: int, *keys: int | str) -> int:
    """Return a 63-bit seed for a library that wants a single integer."""
    return int(stream(seed, *keys).integers(2**63 - 1))
