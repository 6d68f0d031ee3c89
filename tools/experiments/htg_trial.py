"""Adversarial hard triplets after a long pre-training: does HTG help where triplets have run out?

    python tools/experiments/htg_trial.py CONFIG RESULTS [key=value ...] [--seeds 0 1 2 3 4]

CONFIG is htg_trial_market.yaml or htg_trial_lfw.yaml of this folder, of the pre-training. It is
one for all seeds: random triplets and unbiased softmax, until fewer than `VIOLATING` of the random
triplets of its last epoch violate the margin. Every (seed, arm) starts from it: `PLAYED` updates of
the generator G and the discriminator D on features that the pre-trained embedder has made once,
then `UPDATES` updates of the embedder at a constant low rate, on the same batches for all arms of a
seed. The last weights are judged on other people; nobody is chosen by.

Each (seed, arm) writes RESULTS/ARM/seed-S.json, and one that is there is not repeated: the same
command goes on after any stop. RESULTS/hardness.json has the share of violating triplets and the
mean margin loss of mined and generated triplets on the same features. At the end, and with
`--table` without training, all tables are printed and written to RESULTS/tables.md, their numbers
to RESULTS/summary.json.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison import HEADERS, Records, comparisons
from htg import PLAIN, fork, trained
from judged import judge
from records import arguments, publish, read_records, record_file, resumable
from tables import markdown, mean_text
from torch import Tensor

from facever.config import load as load_config
from facever.core.console import say
from facever.core.json_files import read_json, write_json
from facever.core.run_folder import RunFolder, read_metrics
from facever.core.seeding import derive
from facever.data.manifest import Manifest
from facever.data.samplers import PKSampler
from facever.data.sources import load as load_data
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import TrainingError
from facever.heads.common.mining import Miner, Mining, Triplets
from facever.models.loading import load_model
from facever.models.precision import choose_device
from facever.models.saving import save_embedder
from facever.training.batches import make_batches
from facever.training.building import make_embedder, make_step
from facever.training.computing.precision import Precision, require_named
from facever.training.config import TrainConfig
from facever.training.htg import losses
from facever.training.htg.diagnosis import hardness, kept, relative_offset
from facever.training.htg.normalization import frozen
from facever.training.htg.step import AdversarialStep
from facever.training.run import Run
from facever.training.selection.selection import select
from facever.training.supervision.targets import prepare

VIOLATING = 0.2
PLAYED, UPDATES, LAST = 500, 600, 100
"""Updates of G and D alone; of the embedder; the last ones whose figures are averaged."""
LOW = (
    "optimizer.lr=1.0e-4",
    "schedule.name=constant",
    "schedule.warmup_epochs=0",
    "epochs=1",
    "batch.size=32",
)
"""The embedder's constant rate in the arms, a tenth of the pre-training's; half of its batch."""

THROUGH_G = "adversarial.pretraining=0"
WITHOUT_D = "adversarial.without_discriminator=true"
UNTRAINED = "adversarial.generator.optimizer={name: sgd, lr: 1.0e-30, weight_decay: 0}"
"""G stays as it was made: such a step is below the last bit of every weight."""
IDENTITY = ("adversarial.generator_start=identity", "adversarial.last_activation=none")

RANDOM, HARD = "adversarial.mining=random", "adversarial.mining=batch_hard"
ARMS: dict[str, tuple[str, ...]] = {
    "random": (PLAIN, RANDOM),
    "batch-hard": (PLAIN, HARD),
    "htg-random": (THROUGH_G, RANDOM),
    "htg-batch-hard": (THROUGH_G, HARD),
    "htg-random-untrained": (THROUGH_G, RANDOM, WITHOUT_D, UNTRAINED),
    "htg-random-without-d": (THROUGH_G, RANDOM, WITHOUT_D),
}
PAIRS = [
    ("htg-random", "random"),
    ("htg-batch-hard", "batch-hard"),
    ("htg-random-untrained", "random"),
    ("htg-random-without-d", "random"),
    ("htg-random", "htg-random-untrained"),
    ("htg-random", "htg-random-without-d"),
    ("batch-hard", "random"),
    ("htg-random", "batch-hard"),
]
"""What is compared: the first minus the second."""

GENERATORS: dict[str, tuple[str, ...]] = {
    "untrained": (WITHOUT_D, UNTRAINED),
    "with D": (),
    "without D": (WITHOUT_D,),
    "with D, from identity": IDENTITY,
}
MINERS: tuple[Mining, ...] = ("random", "semi_hard", "batch_hard")
FIGURES = ("violation", "margin_loss", "kept", "offset")

Figures = dict[str, float]


class Trial:
    """The trainings of one configuration, and their records in a folder.

    Args:
        path: The configuration's file.
        overrides: Each "dotted.key=value", for the pre-training and all arms.
        folder: RESULTS.
    """

    def __init__(self, path: Path, overrides: Sequence[str], folder: Path) -> None:
        self._start = load_config(TrainConfig, path, [*overrides, PLAIN, RANDOM])
        self._device = choose_device(self._start.device)
        self.folder = folder

    @cached_property
    def shared(self) -> Run:
        """The finished pre-training.

        Raises:
            TrainingError: Too many random triplets violate the margin in its last epoch.
        """
        run = trained(Run(self.folder / "pretraining"), self._start)
        share = last_violation(run)
        if share >= VIOLATING:
            raise TrainingError(
                f"{run.path}: {share:.1%} of the random triplets of the last epoch violate the "
                f"margin (wanted: under {VIOLATING:.0%}): use another RESULTS and more epochs"
            )
        return run

    @cached_property
    def _images(self) -> Manifest:
        config = self._start
        manifest = load_data(config.data.root, None, config.data.layout)
        return select(manifest, config.data, config.batch, config.seed)[0]

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Embeddings [N, L] of the training images, not normalised, and their labels [N]."""
        out = self.folder / "features"
        if not out.is_dir():
            model = load_model(self.shared.path, device=self._start.device)
            model.extract(self._images, out, workers=self._start.workers, on_error="raise")
        faces = EmbeddingSet.load(out)
        lengths = faces.rows["norm"].to_numpy(np.float32)[:, None]
        labels = torch.from_numpy(np.asarray(self._images.labels(), np.int64))
        features = torch.from_numpy(np.asarray(faces.vectors) * lengths)
        return features.to(self._device), labels.to(self._device)

    def run(self, seed: int) -> None:
        """Train and judge all arms of a seed whose records are not there."""
        missing = [arm for arm in ARMS if not record_file(self.folder, arm, seed).is_file()]
        if not missing:
            return
        steps = {arm: self.step(ARMS[arm], seed) for arm in missing}
        for arm, step in steps.items():
            if THROUGH_G in ARMS[arm]:
                self.play(step, self._config(*ARMS[arm]), seed)
        told, seconds = self._train(steps, seed)
        for arm, step in steps.items():
            folder = RunFolder(self.folder / "runs" / f"seed-{seed}" / arm)
            folder.path.mkdir(parents=True, exist_ok=True)
            save_embedder(step.embedder, folder.model, metric=step.metric)
            found = judge(folder.path, self._start)
            record = {"seed": seed, "arm": arm, **found, "last": told[arm]}
            write_json(record_file(self.folder, arm, seed), {**record, "cpu_seconds": seconds[arm]})
            said = ", ".join(f"{name} {value:.4f}" for name, value in found["figures"].items())
            say(f"{arm}, seed {seed}: {said}")

    def step(self, arm: Sequence[str], seed: int) -> AdversarialStep:
        """Return the step of an arm: the pre-trained embedder and heads, new adversaries."""
        config = self._config(*arm)
        torch.manual_seed(derive(seed, "htg trial"))
        config, targets = prepare(config, self._images, self._device)
        step = make_step(
            config,
            make_embedder(config.model, resumed=True),
            len(self._images.identities),
            UPDATES,
            Precision(require_named(config.precision), self._device),
            targets,
        )
        assert isinstance(step, AdversarialStep)
        fork(step, self.shared)
        return step

    def play(self, step: AdversarialStep, config: TrainConfig, seed: int) -> dict[str, Figures]:
        """Train G and D on the features of the pre-trained embedder.

        Returns:
            `FIGURES` of "mined" and of "generated", means over the last updates.
        """
        features, labels = self.features
        adversarial, each = config.adversarial, config.batch.images_per_identity
        assert adversarial is not None
        assert each is not None
        sampler = PKSampler(
            labels.cpu().numpy(), config.batch.size // each, each, seed=derive(seed, "htg features")
        )
        torch.manual_seed(derive(seed, "htg features"))  # of the miner
        miner = Miner(
            adversarial.mining, features.shape[1], squared=True, margin=adversarial.margin
        )
        generator, prototypes = step.generator.network, step.heads.prototypes
        assert prototypes is not None
        told: dict[str, list[list[float]]] = {"mined": [], "generated": []}
        for number, rows in enumerate(islice(_endless(sampler), PLAYED)):
            real, who = features[rows], labels[rows]
            between = losses.square_distances(real)
            triplets = miner(between, who)
            miner.step_completed()
            step.train_adversaries(real, who, triplets, number)
            if number < PLAYED - LAST:
                continue
            with torch.no_grad(), frozen(generator):
                made = generator(real)
            for name, x in (("mined", real), ("generated", made)):
                hard = _hardness(losses.square_distances(x), triplets, adversarial.margin)
                still = kept(x, prototypes.weight.detach(), who).item()
                told[name].append([*hard, still, relative_offset(real, x).item()])
        return {
            name: dict(zip(FIGURES, np.mean(values, 0).tolist(), strict=True))
            for name, values in told.items()
        }

    def hardness(self, seeds: Sequence[int]) -> dict[str, dict[str, Figures]]:
        """Return `FIGURES` by miner and by what makes the triplets, means over seeds."""
        file = self.folder / "hardness.json"
        if file.is_file():
            return dict(read_json(file))
        found: dict[str, dict[str, Figures]] = {}
        for miner in MINERS:
            found[miner] = {}
            for name, overrides in GENERATORS.items():
                arm = (*overrides, THROUGH_G, f"adversarial.mining={miner}")
                told = [self.play(self.step(arm, seed), self._config(*arm), seed) for seed in seeds]
                found[miner]["mined"] = _mean([one["mined"] for one in told])
                found[miner][f"G {name}"] = _mean([one["generated"] for one in told])
        write_json(file, found)
        return found

    def start(self) -> Figures:
        """Return what the pre-training alone reached on the test people."""
        file = self.folder / "start.json"
        if not file.is_file():
            write_json(file, judge(self.shared.path, self._start)["figures"])
        return dict(read_json(file))

    def _train(
        self, steps: Mapping[str, AdversarialStep], seed: int
    ) -> tuple[dict[str, Figures], dict[str, float]]:
        """Train all arms on the same batches.

        Returns:
            The means of their figures over the last updates, and the CPU seconds of their updates.
        """
        config = self._config(PLAIN, f"seed={derive(seed, 'htg trial batches')}")
        batches = make_batches(config, self._images, self._device)
        told: dict[str, list[Figures]] = {arm: [] for arm in steps}
        seconds = dict.fromkeys(steps, 0.0)
        try:
            for number, batch in enumerate(islice(_endless(batches), UPDATES)):
                for arm, step in steps.items():
                    torch.manual_seed(derive(seed, "htg trial dropout", number))
                    began = time.process_time()
                    stats = step.update([batch], number)
                    seconds[arm] += time.process_time() - began
                    if number >= UPDATES - LAST:
                        told[arm].append({name: value.item() for name, value in stats.items()})
                if (number + 1) % LAST == 0:
                    say(f"seed {seed}: {number + 1} of {UPDATES} updates of {len(steps)} arms")
        finally:
            batches.close()
        return {arm: _mean(values) for arm, values in told.items()}, seconds

    def _config(self, *overrides: str) -> TrainConfig:
        """Return the configuration of an arm: the pre-training's own, with changes."""
        return load_config(TrainConfig, self.shared.config, [*LOW, *overrides])


def last_violation(run: Run) -> float:
    """Return which share of mined triplets violated the margin in a run's last epoch."""
    lines = [line for line in read_metrics(run.metrics) if line["kind"] == "train"]
    last = [line for line in lines if line["epoch"] == lines[-1]["epoch"]]
    return float(np.mean([line["adversarial/mined_violation"] for line in last]))


def summary(
    start: Figures, records: Records, hard: Mapping[str, Mapping[str, Figures]]
) -> dict[str, Any]:
    """Return the numbers of the tables: figures by arm and seed, without those of each person."""
    arms = {
        arm: {
            str(seed): {name: one[name] for name in ("figures", "last", "cpu_seconds")}
            for seed, one in found.items()
        }
        for arm, found in records.items()
    }
    return {"start": start, "arms": arms, "hardness": hard}


def tables(start: Figures, records: Records, hard: Mapping[str, Mapping[str, Figures]]) -> str:
    """Return all tables: hardness, figures of the arms, their comparisons, the last updates."""
    rows = [
        [miner.replace("_", "-"), name, *(f"{figures[figure]:.3f}" for figure in FIGURES)]
        for miner, of in hard.items()
        for name, figures in of.items()
    ]
    headers = ["triplets", "made by", "violate", "margin loss", "identity kept", "offset"]
    texts = [markdown("Hardness", headers, rows)]
    for figure, value in start.items():
        rows = [["pre-training alone", "1", f"{value:.3f}"]]
        for arm, found in records.items():
            values = [one["figures"][figure] for one in found.values()]
            rows.append([arm, f"{len(values)}", mean_text(values)])
        texts.append(markdown(figure, ["arm", "seeds", "mean ± 95 % over seeds"], rows))
        cells = comparisons(records, PAIRS, figure)
        rows = [[arm, base, *found] for (arm, base), found in cells.items()]
        texts.append(markdown(f"{figure}, compared", ["arm", "minus", *HEADERS], rows))
    names = ("mined_violation", "generated_violation", "triplet", "real_kept", "generated_kept",
             "offset", "told_apart")  # fmt: skip
    rows = []
    for arm, found in records.items():
        means = _mean([one["last"] for one in found.values()])
        values = [means.get(f"adversarial/{name}") for name in names]
        cpu = np.mean([one["cpu_seconds"] for one in found.values()])
        told = ["" if value is None else f"{value:.3f}" for value in values]
        rows.append([arm, *told, f"{cpu:.0f}"])
    texts.append(markdown("The last updates", ["arm", *names, "CPU seconds"], rows))
    return "\n".join(texts)


def _endless(batches: Any) -> Iterator[Any]:
    """Yield the batches of one epoch after another."""
    for epoch in count():
        batches.set_epoch(epoch)
        yield from batches


def _hardness(between: Tensor, triplets: Triplets, margin: float) -> tuple[float, float]:
    """Return the share of triplets that violate the margin, and their mean margin loss."""
    share, _ = hardness(between, triplets, margin)
    return share.item(), losses.embedder_triplet(between, triplets, margin).item()


def _mean(values: Sequence[Figures]) -> Figures:
    """Return the mean of each figure."""
    return {name: float(np.mean([one[name] for one in values])) for name in values[0]}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    asked = parser.parse_intermixed_args()
    with resumable():
        trial = Trial(asked.config, asked.overrides, asked.results)
        for seed in () if asked.table else asked.seeds:
            trial.run(seed)
        records = read_records(asked.results, ARMS)
        hard, start = trial.hardness(asked.seeds), trial.start()
        write_json(asked.results / "summary.json", summary(start, records, hard))
        publish(asked.results, tables(start, records, hard))


if __name__ == "__main__":
    main()
