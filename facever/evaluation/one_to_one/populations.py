"""Figures in bootstrap populations, for comparisons over people.

The same seed draws the same people for every model, so that draws can be subtracted.
"""

import numpy as np

from facever.evaluation.one_to_one.measure import moving_threshold
from facever.evaluation.scoring.similarity import Doubles
from facever.evaluation.scoring.trials import Trials
from facever.evaluation.statistics.intervals import (
    DRAWS,
    Moving,
    dyadic_rate,
    tar_draws,
    weighted_sums,
)


def tar_over_people(trials: Trials, far: float, *, draws: int = DRAWS, seed: int = 0) -> Doubles:
    """Return TAR at a FAR in drawn populations, float64 [draws]; each draw has its threshold."""
    return tar_draws(moving_threshold(trials, far), draws=draws, seed=seed)


def balanced_accuracy(trials: Trials, threshold: float) -> float:
    """Return (TAR + 1 - FAR) / 2 at a threshold."""
    far = trials.false_accepts(threshold) / trials.impostor
    return (trials.true_accepts(threshold) / trials.genuine + 1 - far) / 2


def accuracy_over_people(
    trials: Trials, threshold: float, *, draws: int = DRAWS, seed: int = 0
) -> Doubles:
    """Return the balanced accuracy at a fixed threshold in drawn populations, float64 [draws].

    A draw changes the FAR by sum_i (w_i - 1) l_i, where l_i is the contribution of person i, scaled
    to the dyadic variance.
    """
    assert trials.dyads is not None
    accepted, genuine = trials.accepted_by_person(np.array([threshold]))
    tars = tar_draws(Moving.fixed(accepted[:, 0], genuine), draws=draws, seed=seed)
    found = dyadic_rate(trials.error_sums(threshold), trials.dyads)
    length = float(np.linalg.norm(found.per_person))
    scale = np.sqrt(found.variance) / length if length else 0.0
    shifts = weighted_sums(found.per_person * scale, draws=draws, seed=seed)
    return (tars + 1 - np.clip(found.rate + shifts, 0, 1)) / 2
