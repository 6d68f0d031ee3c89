"""How often do the intervals hold the truth? Many populations, one truth, one table.

    python tools/soak/coverage.py --out coverage.jsonl [--populations 2000] [--people 30 60 200]

Faces are drawn from one world: a person is a point, an image a point near by, a score a cosine.
People differ in how much their images vary and in how crowded their neighbourhood is, so that
pairs which share a person are alike. The truth is counted once on large populations. Every
population is written down as soon as it is judged: the same command goes on where it stopped.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from facever.core.files import write_text
from facever.core.seeding import stream
from facever.evaluation.one_to_one.groups import rates_by_group
from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import most_wanted
from facever.evaluation.statistics import curve_intervals
from facever.evaluation.statistics.intervals import (
    Moving,
    clopper_pearson,
    dyadic_rate,
    fmr_interval,
    tar_interval,
)
from facever.evaluation.statistics.roc import Roc
from facever.operating_point import Interval

DIMENSION, IMAGES = 8, 4
EXPECTED = 30  # false accepts that a population should have for its interval to be judged


@dataclass(frozen=True)
class Truth:
    threshold: float
    far: float
    tar: float
    auc: float
    eer: float


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
        found.append((point.threshold, point.far, point.tar, result.auc.value, result.eer.value))
    return Truth(*(float(value) for value in np.mean(found, axis=0)))


def judge(truth: Truth, people: int, population: int, far: float, seed: int) -> dict[str, bool]:
    """Draw a population and say of each interval whether it holds the truth."""
    trials = trials_of(people, stream(seed, "population", people, population), [far])
    found = dyadic_rate(trials.error_sums(truth.threshold), trials.dyads)
    accepted, genuine = trials.accepted_by_person(np.array([truth.threshold]))
    result = measure(trials, [far], protocol="drawn")
    intervals: dict[str, tuple[Interval | None, float]] = {
        "FMR": (fmr_interval(found), truth.far),
        "FMR, i.i.d.": (clopper_pearson(int(found.errors), trials.impostor), truth.far),
        "FNMR": (tar_interval(Moving.fixed(accepted[:, 0], genuine)), truth.tar),
        "AUC": (result.auc_interval, truth.auc),
        "EER": (result.eer_interval, truth.eer),
        "TAR@FAR": (result.at(far).interval, truth.tar),
        **_sampled(trials, truth),
        **_grouped(trials, truth, people, far),
    }
    return {
        name: interval is not None and interval.low <= value <= interval.high
        for name, (interval, value) in intervals.items()
    }


def _sampled(trials: StreamedTrials, truth: Truth) -> dict[str, tuple[Interval | None, float]]:
    """Take a quarter of the rows as a sample, as if there were too many trials to keep."""
    roc, kept = Roc(trials), curve_intervals._COLUMNS
    trials.whole, curve_intervals._COLUMNS = False, len(trials.pairs.first.codes) // 8
    auc, eer = curve_intervals.curve_intervals(trials, roc)
    trials.whole, curve_intervals._COLUMNS = True, kept
    return {"AUC, sampled": (auc, truth.auc), "EER, sampled": (eer, truth.eer)}


def _grouped(
    trials: StreamedTrials, truth: Truth, people: int, far: float
) -> dict[str, tuple[Interval | None, float]]:
    """Divide the people into two groups of one world, whose rates are those of all."""
    half = people // 2
    if far * half * (half - 1) / 2 * IMAGES**2 < EXPECTED:
        return {}
    group = pd.Series(np.arange(people).repeat(IMAGES) % 2)
    within, across, _ = rates_by_group(trials, [group], truth.threshold)
    return {
        "FMR in a group": (within.fmr_interval, truth.far),
        "FNMR in a group": (within.fnmr_interval, 1 - truth.tar),
        "FMR across groups": (across.fmr_interval, truth.far),
    }


def coverage(
    truth: Truth, people: int, populations: int, far: float, seed: int
) -> dict[str, float]:
    """Return the share of populations whose interval holds the truth, by statistic."""
    return shares(judge(truth, people, each, far, seed) for each in range(populations))


def shares(judged: Iterable[dict[str, bool]]) -> dict[str, float]:
    table = pd.DataFrame(list(judged)).astype(float)
    return {str(name): float(share) for name, share in table.mean().items()}


def read(path: Path) -> Iterator[dict]:
    """Yield the lines of a file; a last one that was cut off is left out."""
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="what was judged, one line each")
    parser.add_argument("--populations", type=int, default=2000)
    parser.add_argument("--people", type=int, nargs="+", default=[30, 60, 200])
    parser.add_argument("--far", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = {"far": options.far, "seed": options.seed}
    lines = list(read(options.out))
    if not lines:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"settings": settings, "truth": asdict(find_truth(options.far, options.seed))}]
    if lines[0]["settings"] != settings:
        sys.exit(f"{options.out} was made with other settings: choose another file")
    truth = Truth(**lines[0]["truth"])
    judged = {(line["people"], line["population"]): line["held"] for line in lines[1:]}
    write_text(options.out, "".join(json.dumps(line) + "\n" for line in lines))
    with options.out.open("a") as file:
        for people in options.people:
            for each in range(options.populations):
                if (people, each) in judged:
                    continue
                held = judge(truth, people, each, options.far, options.seed)
                judged[people, each] = held
                line = {"people": people, "population": each, "held": held}
                print(json.dumps(line), file=file, flush=True)
    print(
        f"truth: FMR {truth.far:.4g} at {truth.threshold:.4f}, TAR {truth.tar:.4f}, "
        f"AUC {truth.auc:.4f}, EER {truth.eer:.4f}"
    )
    for people in options.people:
        expected = options.far * people * (people - 1) / 2 * IMAGES**2
        found = shares(judged[people, each] for each in range(options.populations))
        shown = "  ".join(f"{name} {value:.1%}" for name, value in found.items())
        print(f"{people} people, {expected:.0f} false accepts expected: {shown}", flush=True)


if __name__ == "__main__":
    main()
