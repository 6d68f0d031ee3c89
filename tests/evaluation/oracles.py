"""Scores and thresholds computed by hand, for the tests of the room."""

import numpy as np


def cosines(first, second):
    """Return the cosine of every row of one matrix with every row of another, float32 [N, M]."""
    sides = [np.asarray(side, np.float64) for side in (first, second)]
    lengths = [np.sqrt((side**2).sum(axis=1)) for side in sides]
    return (sides[0] @ sides[1].T / np.outer(*lengths)).astype(np.float32)


def half_way_above(impostor, genuine, k):
    """Return half way from the (k + 1)-th largest impostor score to the next score of any sort."""
    score = float(sorted(impostor, reverse=True)[k])
    return (score + min(float(s) for s in (*impostor, *genuine) if s > score)) / 2
