"""Shapes that several parts of a synthetic face are made of: points [N, 2] of x, y."""

import numpy as np

from facever.data.synthetic.canvas import Points
from facever.data.synthetic.identity import Identity

_TURN = np.linspace(0, 2 * np.pi, 25)[:-1]
CIRCLE: Points = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_FINE = np.linspace(0, 2 * np.pi, 41)[:-1]
_FINE_CIRCLE: Points = np.stack([np.cos(_FINE), np.sin(_FINE)], axis=1)
_HALF = np.linspace(0, np.pi, 13)
ARC: Points = np.stack([-np.cos(_HALF), np.sin(_HALF)], axis=1)  # left to right; y 0 to 1 to 0


def points(*pairs: tuple[float, float]) -> Points:
    """Return x, y pairs as an array."""
    return np.array(pairs, dtype=np.float64)


def oval(x: float, y: float, width: float, height: float) -> Points:
    """Return an ellipse with these half axes."""
    return CIRCLE * (width, height) + (x, y)


def outline(identity: Identity) -> Points:
    """Return the outline of a head: a round crown, a jaw between square and pointed."""
    x, y = _FINE_CIRCLE.T
    bend = np.where(y < 0, 0.9, identity.jaw)
    height = np.where(y < 0, identity.crown, identity.chin)
    return np.stack([np.sign(x) * np.abs(x) ** bend * identity.head_width, y * height], axis=1)


def jaw(identity: Identity) -> Points:
    """Return the lower half of the outline, from right to left."""
    return outline(identity)[1:20]
