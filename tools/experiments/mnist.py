"""The field's claims about heads, tried on small trainings on MNIST with five seeds.

    python tools/experiments/mnist.py RESULTS [NAME ...]

Each training writes RESULTS/NAME/seed-S.json, and one that is there is not repeated, so the same
command goes on after an interruption. At the end the tables are printed and RESULTS/tables.md and
RESULTS/results.json written.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from learning import SEEN, Training, learn, load_digits, measure
from tables import markdown, mean_text

from facever.core.console import say
from facever.core.files import write_text
from facever.core.json_files import write_json
from facever.evaluation.statistics.paired import Difference, holm, over_seeds

SEEDS = range(5)
LOOKS = (5, 10, 20, 50, 100, 200, 400)
CENTER = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def one(name: str, **parameters: Any) -> tuple[dict[str, Any], ...]:
    return ({"name": name, **parameters},)


def with_center(weight: float) -> tuple[dict[str, Any], ...]:
    return ({"name": "softmax"}, {"name": "center", "weight": weight})


def batches_of_pairs(name: str, **parameters: Any) -> Training:
    return Training(one(name, **parameters), SEEN, per_digit=9, batch=63)


TRAININGS: dict[str, Training] = {
    "softmax": Training(one("softmax")),
    "cosine": Training(one("cosine")),
    "rbf": Training(one("rbf"), looks=LOOKS),
    **{f"center-{weight:g}": Training(with_center(weight)) for weight in CENTER},
    **{f"cosine-s{s}": Training(one("cosine", scale=float(s))) for s in (1, 4, 10)},
    **{f"asoftmax-m{m}": Training(one("asoftmax", margin=float(m))) for m in (1, 2, 3, 4)},
    "seen-softmax": Training(one("softmax"), SEEN),
    "seen-cosine": Training(one("cosine"), SEEN),
    "seen-rbf": Training(one("rbf"), SEEN),
    "seen-batch-hard": batches_of_pairs(
        "triplet", mining="batch_hard", soft_margin=True, margin=0.0, distance="plain"
    ),
    "seen-batch-hard-0.2": batches_of_pairs("triplet", mining="batch_hard"),
    "seen-class-triplet": batches_of_pairs("class_triplet"),
}


def run(folder: Path, names: Sequence[str]) -> None:
    """Make the trainings that are not there yet, seed by seed."""
    data = load_digits()
    for seed in SEEDS:
        for name in names:
            file = folder / name / f"seed-{seed}.json"
            if file.is_file():
                continue
            done = learn(TRAININGS[name], seed, data)
            figures = measure(TRAININGS[name], done)
            write_json(file, {"figures": figures, "looks": done.looks})
            say(f"{name}, seed {seed}: {done.seconds:.0f} s, loss {done.loss:.4f}")


class Results:
    """The figures of all trainings, seed by seed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tested: list[tuple[str, Difference]] = []

    def has(self, *names: str) -> bool:
        return all((self._folder / n / f"seed-{s}.json").is_file() for n in names for s in SEEDS)

    def read(self, name: str) -> list[dict[str, Any]]:
        files = [self._folder / name / f"seed-{seed}.json" for seed in SEEDS]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    def values(self, name: str, figure: str) -> list[float]:
        return [each["figures"][figure] for each in self.read(name)]

    def looks(self, name: str, update: int, figure: str) -> list[float]:
        return [
            next(look[figure] for look in each["looks"] if look["update"] == update)
            for each in self.read(name)
        ]


def compared(
    results: Results, names: Sequence[str], base: str, figure: str, digits: int = 3
) -> dict[str, str]:
    """Return each training's difference from the base, p by Holm over the table."""
    found = {
        name: over_seeds(results.values(base, figure), results.values(name, figure))
        for name in names
        if name != base
    }
    corrected = dict(zip(found, holm([d.p for d in found.values() if d]), strict=True))
    texts = {base: "(base)"}
    for name, d in found.items():
        assert d is not None
        texts[name] = (
            f"{d.mean:+.{digits}f} [{d.interval.low:+.{digits}f}, {d.interval.high:+.{digits}f}], "
            f"p {corrected[name]:.2g}"
        )
    return texts


def table_of(
    results: Results, title: str, names: Sequence[str], base: str, figures: Mapping[str, int]
) -> str:
    """Return the means of some figures; the first one compared with the base."""
    first, digits = next(iter(figures.items()))
    differences = compared(results, names, base, first, digits)
    rows = [
        [
            name,
            *(mean_text(results.values(name, f), d) for f, d in figures.items()),
            differences[name],
        ]
        for name in names
    ]
    return markdown(title, ["training", *figures, f"{first}: minus {base} [95 %], p"], rows)


def tables(results: Results) -> list[str]:
    """Return the table of every question whose trainings are all there."""
    ratio = {"variance ratio": 3, "variance ratio (unit)": 3, "accuracy": 4}
    centers = [f"center-{weight:g}" for weight in CENTER]
    margins = [f"asoftmax-m{m}" for m in (1, 2, 3, 4)]
    angles = {"target angle (test)": 2, "target angle (train)": 2, "accuracy": 4}
    pairs = ["seen-batch-hard", "seen-batch-hard-0.2", "seen-class-triplet"]
    by_cosine = {"TAR at FAR 1e-2 (cosine)": 3, "AUC (cosine)": 3}
    found = []
    if results.has("softmax", "cosine", "rbf", "center-0.03"):
        names = ["softmax", "cosine", "rbf", "center-0.03"]
        found.append(table_of(results, "Variance within over between", names, "softmax", ratio))
    if results.has("rbf"):
        found.append(own_class_table(results))
    if results.has("cosine-s1", "cosine-s4", "cosine-s10"):
        found.append(bound_table(results))
    if results.has(*margins):
        found.append(table_of(results, "Target angle and m", margins, margins[0], angles))
    if results.has("softmax", *centers):
        names = ["softmax", *centers]
        found.append(table_of(results, "Center loss: lambda", names, "softmax", ratio))
        right = {"accuracy": 4, "TAR at FAR 1e-2 (cosine)": 3}
        found.append(table_of(results, "Center loss: lambda, accuracy", names, "softmax", right))
    if results.has(*pairs):
        found.append(
            table_of(results, "C-triplet and batch-hard triplet", pairs, pairs[0], by_cosine)
        )
    if results.has("seen-softmax", "seen-cosine", "seen-rbf"):
        found.append(mismatch_table(results))
    return found


def own_class_table(results: Results) -> str:
    rows = []
    for update in LOOKS:
        values = {f: results.looks("rbf", update, f) for f in ("distance", "squared distance", "K")}
        d = over_seeds(values["distance"], values["K"])
        assert d is not None
        rows.append(
            [str(update), *(mean_text(v) for v in values.values()),
             mean_text(results.looks("rbf", update, "mean K")),
             f"{d.mean:+.3f} [{d.interval.low:+.3f}, {d.interval.high:+.3f}], p {d.p:.2g}"]
        )  # fmt: skip
    headers = ["update", "d", "d²", "K", "mean K", "K minus d [95 %], p"]
    return markdown("Own-class distance and K: sd / mean over images", headers, rows)


def bound_table(results: Results) -> str:
    from facever.heads.common.bounds import lowest_loss

    rows = [
        [f"{s}", f"{lowest_loss(s, 10):.4f}", mean_text(results.values(f"cosine-s{s}", "loss"), 4),
         mean_text(results.values(f"cosine-s{s}", "accuracy"), 4)]
        for s in (1, 4, 10)
    ]  # fmt: skip
    headers = ["s", "bound", "training loss, last epoch", "accuracy"]
    return markdown("NormFace's bound, 10 digits", headers, rows)


def mismatch_table(results: Results) -> str:
    rows = []
    for name in ("seen-softmax", "seen-cosine", "seen-rbf"):
        cosine = results.values(name, "TAR at FAR 1e-2 (cosine)")
        for similarity in ("cosine", "euclidean", "dot"):
            tar = results.values(name, f"TAR at FAR 1e-2 ({similarity})")
            d = over_seeds(cosine, tar)
            assert d is not None
            low, high = d.interval.low, d.interval.high
            said = f"{d.mean:+.3f} [{low:+.3f}, {high:+.3f}], p {d.p:.2g}"
            auc = mean_text(results.values(name, f"AUC ({similarity})"))
            said = "(base)" if similarity == "cosine" else said
            rows.append([name, similarity, mean_text(tar), auc, said])
    headers = ["training", "compared by", "TAR at FAR 1e-2", "AUC", "TAR: minus cosine [95 %], p"]
    return markdown("Trained on 0 to 6, pairs of 7 to 9", headers, rows)


def main() -> None:
    folder, *wanted = sys.argv[1:]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    run(Path(folder), wanted or list(TRAININGS))
    results = Results(Path(folder))
    text = "\n".join(tables(results))
    names = [name for name in TRAININGS if results.has(name)]
    write_text(Path(folder) / "tables.md", text)
    write_json(Path(folder) / "results.json", {name: results.read(name) for name in names})
    print(text)


if __name__ == "__main__":
    main()
