"""How often do the intervals hold the truth? Many populations, one truth, one table.

    python tools/soak/coverage.py [--populations 2000] [--people 30 60 200] [--far 1e-2]

Faces are drawn from one world: a person is a point, an image a point near by, a score a cosine.
People differ in how much their images vary and in how crowded their neighbourhood is, so that
pairs which share a person are alike. The truth is counted once on a large population.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from facever.evaluation.one_to_one.measure import measure, most_wanted
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.statistics.intervals import (
    Moving,
    clopper_pearson,
    dyadic_rate,
    fmr_interval,
    tar_interval,
)
from facever.seeding import stream

DIMENSION, IMAGES = 8, 4


@dataclass(frozen=True)
class Truth:
    threshold: float
    far: float
    tar: float
    auc: float


def draw(people: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a population: unit vectors [people * IMAGES, D] and the people's numbers."""
    centres = random.standard_normal((people, DIMENSION))
    centres[:, 0] += 0.7  # the crowd leans one way, so that some people look like many others
    spread = random.uniform(0.3, 0.9, (people, 1, 1))
    rows = centres[:, None] + spread * random.standard_normal((people, IMAGES, DIMENSION))
    rows = rows.reshape(-1, DIMENSION)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), np.repeat(np.arange(people), IMAGES)


def trials_of(people: int, random: np.random.Generator, fars: list[float]) -> StreamedTrials:
    vectors, codes = draw(people, random)
    pairs = AllPairs(make_scorer(vectors), codes)
    return StreamedTrials(pairs, most_wanted(fars, pairs.impostor))


def find_truth(far: float, seed: int, people: int = 4000, worlds: int = 24) -> Truth:
    """Average over large populations, whose error is small beside that of the small ones."""
    found = []
    for world in range(worlds):
        trials = trials_of(people, stream(seed, "truth", world), [far])
        result = measure(trials, [far], protocol="truth", intervals=False)
        point = result.at(far)
        found.append((point.threshold, point.far, point.tar, result.auc.value))
    return Truth(*(float(value) for value in np.mean(found, axis=0)))


def coverage(
    truth: Truth, people: int, populations: int, far: float, seed: int
) -> dict[str, float]:
    """Return the share of populations whose interval holds the truth, by statistic."""
    held: dict[str, list[bool]] = {}

    def note(name: str, interval, value: float) -> None:  # type: ignore[no-untyped-def]
        held.setdefault(name, []).append(interval.low <= value <= interval.high)

    for population in range(populations):
        trials = trials_of(people, stream(seed, "population", people, population), [far])
        found = dyadic_rate(trials.error_sums(truth.threshold), trials.dyads)
        note("FMR", fmr_interval(found), truth.far)
        errors = int(found.errors)
        note("FMR, i.i.d.", clopper_pearson(errors, trials.impostor), truth.far)
        accepted, genuine = trials.accepted_by_person(np.array([truth.threshold]))
        interval = tar_interval(Moving.fixed(accepted[:, 0], genuine))
        note("FNMR", interval, truth.tar)
        result = measure(trials, [far], protocol="drawn")
        note("AUC", result.auc_interval, truth.auc)
        note("TAR@FAR", result.at(far).interval, truth.tar)
    return {name: float(np.mean(values)) for name, values in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--populations", type=int, default=2000)
    parser.add_argument("--people", type=int, nargs="+", default=[30, 60, 200])
    parser.add_argument("--far", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth = find_truth(options.far, options.seed)
    print(
        f"truth: FMR {truth.far:.4g} at {truth.threshold:.4f}, TAR {truth.tar:.4f}, "
        f"AUC {truth.auc:.4f}"
    )
    for people in options.people:
        expected = options.far * people * (people - 1) / 2 * IMAGES**2
        found = coverage(truth, people, options.populations, options.far, options.seed)
        shown = "  ".join(f"{name} {value:.1%}" for name, value in found.items())
        print(f"{people} people, {expected:.0f} false accepts expected: {shown}", flush=True)


if __name__ == "__main__":
    main()
