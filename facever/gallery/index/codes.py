"""An int8 copy of vectors, with a bound on its error, to select candidates of an exact search.

A vector v is stored as codes r, such that v = step · r + e. The step is the same for all vectors;
it comes from a sample. For a probe q = width · t + f with integers t, the product q · v differs
from step · width · (t · r) by at most |q| |e| + |f| |step · r|, by the Cauchy-Schwarz inequality.
`Codes.error` is the largest |e| of the vectors that the step fits. The others, at most 1 %, are
always compared in float32.

Where vectors lie in a narrow cone, their products differ by much less than that. With the cone's
axis c, |c| = 1, and v = a c + w, the codes are then those of v' = (w, 16 times weight (a - level)),
and a probe is q' = (q - (q · c) c, 16 times (q · c) / (16 weight)), so that
q · v = (q · c) level + q' · v', where |q'| and |v'| are as small as the cone is narrow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.core.seeding import stream
from facever.gallery.records import Keys, Vectors

LEAST = 4096  # vectors: fewer are searched as fast in float32
SAMPLE = 4096  # vectors that determine the scale
LARGEST = 127  # of the codes
_ROWS = 1024  # encoded at once: they fit into the cache
_OUTSIDE = 100  # at most one vector in so many is outside the scale
_TAIL = 1.05  # a vector fits if its error is at most so many times that of 99 % of all
_STEPS = (0.5, 0.9, 0.99, 1.0)  # quantiles of the vectors' largest values, tried for the step
_CONE = 0.25  # length of the mean vector from which the vectors count as a cone
_COLUMNS = 16  # the codes' width is a multiple of it; additional columns of a cone
_ROUNDING = 2.0**-24

Integers = NDArray[np.int8]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """How vectors become codes.

    Args:
        step: The width of a code.
        axis: Axis of the cone, float32 [D]; None if there is no cone.
        level: The mean of v · axis.
        weight: Factor of v · axis - level in the additional columns.
    """

    step: float
    axis: Vectors | None = None
    level: float = 0.0
    weight: float = 1.0

    @classmethod
    def of(cls, sample: Vectors) -> "Scale":
        """Return the scale for vectors like those of a sample, float32 [S, D]."""
        with np.errstate(over="ignore", invalid="ignore"):
            usable = sample[np.einsum("nd,nd->n", sample, sample) < 2]  # not damaged
        usable = usable if len(usable) else np.zeros((1, sample.shape[1]), np.float32)
        scale = cls._of_cone(usable)
        moved = scale.moved(usable)
        largest, step, least = np.abs(moved).max(axis=1), 1.0 / LARGEST, np.inf
        for tried in np.unique(np.quantile(largest, _STEPS).astype(np.float32) / LARGEST):
            if tried > 0:
                error = float(np.quantile(encoded(moved, float(tried))[1], 0.99))
                if error < least:
                    step, least = float(tried), error
        return cls(step, scale.axis, scale.level, scale.weight)

    @classmethod
    def _of_cone(cls, vectors: Vectors) -> "Scale":
        mean = vectors.mean(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(mean))
        if length < _CONE:
            return cls(1.0)
        axis = (mean / length).astype(np.float32)
        along = vectors.astype(np.float64) @ axis
        across = np.maximum(np.einsum("nd,nd->n", vectors, vectors) - along**2, 0)
        radius = max(float(np.sqrt(across.mean())), 1e-3)
        return cls(1.0, axis, float(along.mean()), 1 / (2 * radius))

    def moved(self, vectors: Vectors) -> Vectors:
        """Return v' of vectors [N, D], float32 [N, W]."""
        if self.axis is None:
            padding = -vectors.shape[1] % _COLUMNS
            return np.pad(vectors, ((0, 0), (0, padding))) if padding else vectors
        along = vectors.astype(np.float64) @ self.axis
        across = (vectors - along[:, None] * self.axis).astype(np.float32)
        further = (self.weight * (along - self.level)).astype(np.float32)
        widened: Vectors = self._widened(across, further)
        return widened

    def moved_queries(self, queries: Vectors) -> tuple[Doubles, Doubles]:
        """Return q' of queries [Q, D], float64 [Q, W], and (q · c) level, float64 [Q]."""
        if self.axis is None:
            return self.moved(queries).astype(np.float64), np.zeros(len(queries))
        doubles, axis = queries.astype(np.float64), self.axis.astype(np.float64)
        along = doubles @ axis
        across = doubles - along[:, None] * axis
        return self._widened(across, along / (_COLUMNS * self.weight)), along * self.level

    @staticmethod
    def _widened(across: NDArray[np.floating], further: NDArray[np.floating]) -> Any:
        padding = np.zeros((len(across), -across.shape[1] % _COLUMNS), across.dtype)
        columns = np.repeat(further.astype(across.dtype)[:, None], _COLUMNS, axis=1)
        return np.concatenate([across, columns, padding], axis=1)


@dataclass(frozen=True)
class Codes:
    """The int8 copy of vectors.

    Args:
        codes: r of each vector, int8 [N, W], from -127 to 127; 0 for those that do not fit.
        scale: The scale of the codes.
        error: Largest length of v' - step · r, of the vectors that fit.
        reach: Largest length of step · r, of the vectors that fit.
        outside: Rows of the vectors that do not fit, int64 [M], ascending.
    """

    codes: Integers
    scale: Scale
    error: float
    reach: float
    outside: Keys

    @classmethod
    def of(cls, vectors: Vectors) -> "Codes | None":
        """Return the copy of vectors [N, D]; None if they are few, or if no scale fits them."""
        if len(vectors) < LEAST:
            return None
        encoder = Encoder(vectors[sampled_rows(len(vectors))])
        codes = np.concatenate(
            [encoder.encode(vectors[at : at + _ROWS]) for at in range(0, len(vectors), _ROWS)]
        )
        fit = encoder.fit()
        if fit is None:
            return None
        codes[fit[2]] = 0
        return cls(codes, encoder.scale, *fit)

    def bound(self, queries: Doubles, lost: Doubles, dimension: int) -> Doubles:
        """Return the largest difference between q · v and the product of codes, [Q].

        It includes the rounding of the codes' computation.

        Args:
            queries: q', float64 [Q, W].
            lost: Length of f of each query, float64 [Q].
            dimension: D.
        """
        lengths: Doubles = np.linalg.norm(queries, axis=1)
        rounded = (dimension + 64) * _ROUNDING * (self.reach + self.error)
        bound: Doubles = lengths * (self.error + rounded) + lost * self.reach
        # v' of a cone is rounded from vectors of length 1
        return bound if self.scale.axis is None else bound + 16 * _ROUNDING


class Encoder:
    """Encodes vectors block by block.

    Args:
        sample: Some of the vectors, float32 [S, D], at least one: the scale follows them.
    """

    def __init__(self, sample: Vectors) -> None:
        self.scale = Scale.of(sample)
        self._errors: list[NDArray[np.float32]] = []
        self._lengths: list[NDArray[np.float32]] = []

    def encode(self, vectors: Vectors) -> Integers:
        """Return the codes of the next vectors, int8 [n, W]."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = self.scale.moved(vectors)
        codes, errors, lengths = encoded(moved, self.scale.step)
        self._errors.append(errors)
        self._lengths.append(lengths)
        return codes

    def fit(self) -> tuple[float, float, Keys] | None:
        """Return error, reach and the rows outside of all encoded vectors (see `Codes`).

        Returns None if more than 1 % of the vectors have no finite error.
        """
        errors, lengths = np.concatenate(self._errors), np.concatenate(self._lengths)
        place = len(errors) - 1 - len(errors) // _OUTSIDE
        usual = float(np.partition(errors, place)[place])
        if not np.isfinite(usual):
            return None
        fits = errors <= _TAIL * usual
        return float(errors[fits].max()), float(lengths[fits].max()), np.flatnonzero(~fits)


def encoded(
    moved: Vectors, step: float
) -> tuple[Integers, NDArray[np.float32], NDArray[np.float32]]:
    """Return the codes of v' [N, W], and bounds of the lengths of v' - step · r and of step · r.

    The bounds include rounding; they are infinite for vectors with NaN or infinity.
    """
    rounding = _ROUNDING * (moved.shape[1] + 16)
    with np.errstate(over="ignore", invalid="ignore"):
        whole = moved * np.float32(1 / step)
        np.rint(whole, out=whole)
        np.clip(whole, -LARGEST, LARGEST, out=whole)
        codes = np.nan_to_num(whole, copy=False, nan=0).astype(np.int8)
        np.multiply(whole, np.float32(step), out=whole)
        length = np.sqrt(np.einsum("nd,nd->n", whole, whole)) * np.float32(1 + rounding)
        np.subtract(moved, whole, out=whole)
        error = np.sqrt(np.einsum("nd,nd->n", whole, whole)) * np.float32(1 + rounding)
        error += np.float32(4 * _ROUNDING) * (length + error)
    error[~np.isfinite(error)] = np.inf
    return codes, error, length


def sampled_rows(count: int) -> Keys:
    """Return the rows of a sample of vectors that determines a scale, ascending."""
    rows = stream(0, "codes").choice(count, min(count, SAMPLE), replace=False)
    return np.sort(rows)
