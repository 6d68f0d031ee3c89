"""The ablation of adversarial hard-triplet generation, on people who were not trained on.

    python tools/experiments/htg.py CONFIG RESULTS [key=value ...] [--seeds 5] [--arms ARM ...]
        [--pretraining-epochs 4]

CONFIG is htg_market.yaml or htg_lfw.yaml of this folder; its `epochs` are those of an arm. All
arms of a seed start from one pre-training (batch-hard triplets and unbiased softmax; the arms with
keypoints from one of their own network), with a new optimizer, and see the same batches: equal
numbers of updates of the embedder and of images. The last weights are judged; nobody is chosen by.

Each (seed, arm) writes RESULTS/ARM/seed-S.json, and one that is there is not repeated; an
interrupted training goes on from its checkpoint, so the same command goes on after any stop. At the
end, and with `--table` without training, the tables of what is there are printed and written to
RESULTS/tables.md. On a GPU at full size:

    timeout 590 python tools/experiments/htg.py tools/experiments/htg_market.yaml RESULTS \
        model.backbone=resnet18 'model.backbone_options={}' model.embedding_size=512 \
        'model.preprocessing.size=[256, 128]' epochs=20 --pretraining-epochs 20
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison import HEADERS, Records, comparisons
from judged import judge
from records import arguments, publish, read_records, record_file, resumable
from tables import markdown, mean_text

from facever.config import load as load_config
from facever.core.console import say
from facever.core.json_files import write_json
from facever.errors import TrainingError
from facever.studies.bakeoff.running import check_kept
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.steps import EmbeddingStep
from facever.training.trainer import Trainer

PLAIN = "adversarial.pretraining=1"
ADVERSARIAL = (
    "adversarial.pretraining=0",
    "adversarial.beta=0.3",
    "adversarial.gamma=0.1",
    "adversarial.generator.optimizer.lr=3.0e-4",
    "adversarial.discriminator.optimizer.lr=0.01",
)
"""Chosen by the diagnosis on people who were trained on: docs/htg.md, "What keeps them at work"."""
KEYPOINTS = "model.local={stages: [3, 4], keypoints: 4}"
ONE_KEYPOINT = "model.local={stages: [3, 4], keypoints: 1}"
BY_CHANNEL = "model.local={stages: [3, 4], pairing: channel}"

ARMS: dict[str, tuple[str, ...]] = {
    "random-negative": (PLAIN, "adversarial.mining=random"),
    "batch-hard": (PLAIN,),
    "htg": ADVERSARIAL,
    "htg-without-d": (*ADVERSARIAL, "adversarial.without_discriminator=true"),
    "htg-biased-softmax": (*ADVERSARIAL, "heads.0.bias=true"),
    "keypoints": (PLAIN, KEYPOINTS),
    "keypoints-htg": (*ADVERSARIAL, KEYPOINTS),
    "keypoints-by-channel": (PLAIN, BY_CHANNEL),
    "keypoints-one": (PLAIN, ONE_KEYPOINT),
}
CONTROL = dict.fromkeys(ARMS, "batch-hard") | {
    "keypoints-htg": "keypoints",
    "keypoints-by-channel": "keypoints",
    "keypoints-one": "keypoints-by-channel",
}
"""What each arm is compared with. The last two have equally many features."""

_LOCAL = {  # pre-trainings of networks with keypoints, by their override
    KEYPOINTS: "pretraining-keypoints",
    BY_CHANNEL: "pretraining-keypoints-by-channel",
    ONE_KEYPOINT: "pretraining-keypoints-one",
}

_NEW = {"parts.softmax.bias"}  # what an arm has and its pre-training has not
_ARM_SEEDS = 1000  # so that an arm's batches are not those of its pre-training


class Ablation:
    """The trainings of one configuration, and their records in a folder.

    Args:
        path: The configuration's file.
        overrides: Each "dotted.key=value", for all arms.
        folder: RESULTS.
        pretraining_epochs: Of the shared pre-training.
    """

    def __init__(
        self, path: Path, overrides: Sequence[str], folder: Path, pretraining_epochs: int
    ) -> None:
        self._path, self._overrides, self.folder = path, list(overrides), folder
        self._pretraining_epochs = pretraining_epochs

    def run(self, arm: str, seed: int) -> None:
        """Train and judge one arm with one seed, unless its record is there."""
        file = record_file(self.folder, arm, seed)
        if file.is_file():
            return
        shared = self.pretrained(arm, seed)
        config = self._config(*ARMS[arm], f"seed={_ARM_SEEDS + seed}")
        run = trained(Run(self.folder / "runs" / f"seed-{seed}" / arm), config, shared)
        found = judge(run.path, config)
        write_json(file, {"seed": seed, "arm": arm, **found, **cost(run)})
        said = ", ".join(f"{name} {value:.4f}" for name, value in found["figures"].items())
        say(f"{arm}, seed {seed}: {said}")

    def pretrained(self, arm: str, seed: int) -> Run:
        """Return the finished pre-training that the arm shares with others of its network."""
        local = [override for override in ARMS[arm] if override in _LOCAL]
        name = _LOCAL[local[0]] if local else "pretraining"
        config = self._config(
            PLAIN, *local, f"seed={seed}", f"epochs={self._pretraining_epochs}",
            "schedule.name=constant",
        )  # fmt: skip
        return trained(Run(self.folder / "runs" / f"seed-{seed}" / name), config)

    def _config(self, *overrides: str) -> TrainConfig:
        return load_config(TrainConfig, self._path, [*self._overrides, *overrides])


def trained(run: Run, config: TrainConfig, shared: Run | None = None) -> Run:
    """Return the run, trained to its end: kept, resumed, or begun from a shared pre-training."""
    check_kept(run, config)
    if run.model.is_file():
        return run
    if run.last.is_file():
        return Trainer.resume(run.path).fit()
    shutil.rmtree(run.path, ignore_errors=True)  # stopped before its first checkpoint
    trainer = Trainer.start(config, run.path)
    if shared is not None:
        fork(trainer.step, shared)
    return trainer.fit()


def fork(step: EmbeddingStep, shared: Run) -> None:
    """Give a new training the embedder and the prototypes of a finished one.

    Raises:
        TrainingError: The networks differ in more than what an arm adds.
    """
    state = load_checkpoint(shared.last)["step"]
    step.embedder.load_state_dict(state["embedder"])
    found = step.heads.load_state_dict(state["heads"], strict=False)
    if found.unexpected_keys or set(found.missing_keys) - _NEW:
        raise TrainingError(f"{shared.path} has other heads than an arm: {found}")


def cost(run: Run) -> dict[str, Any]:
    """Return what a run took, and on what."""
    last = load_checkpoint(run.last)
    environment = json.loads(run.environment.read_text(encoding="utf-8"))
    on = {name: environment[name] for name in ("processor", "threads", "device", "gpu")}
    return {"updates": last["position"]["update"], "seconds": last["seconds"], "on": on}


def table(records: Records, figure: str) -> str:
    """Return one figure of all arms, each compared with its control."""
    pairs = [(arm, CONTROL[arm]) for arm in records if CONTROL[arm] != arm]
    cells = comparisons(records, pairs, figure)
    rows = []
    for arm, found in records.items():
        values = [record["figures"][figure] for record in found.values()]
        seconds = [record["seconds"] for record in found.values()]
        row = [arm, f"{len(found)}", mean_text(values), f"{sum(seconds) / len(seconds):.0f}"]
        compared = cells.get((arm, CONTROL[arm]))
        row += [CONTROL[arm], *compared] if compared else [""] * 4
        rows.append(row)
    headers = ["arm", "seeds", "mean ± 95 % over seeds", "seconds", "minus", *HEADERS]
    return markdown(figure, headers, rows)


def tables(records: Records) -> str:
    """Return every figure's table, and how to read them."""
    first = next(iter(next(iter(records.values())).values()))
    notes = (
        "Over seeds: Student t on seed-by-seed differences, p by Holm over the arms of a figure. "
        "Over test people: paired identity bootstrap of the mean over seeds; intervals are not "
        f"corrected. {first['updates']} updates in each arm after the shared pre-training, "
        f"on {first['on']['gpu'] or first['on']['processor']} ({first['on']['threads']} threads)."
    )
    return "\n".join([*(table(records, figure) for figure in first["figures"]), notes, ""])


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--pretraining-epochs", type=int, default=4)
    asked = parser.parse_intermixed_args()
    with resumable():
        ablation = Ablation(asked.config, asked.overrides, asked.results, asked.pretraining_epochs)
        for seed in range(0 if asked.table else asked.seeds):
            for arm in asked.arms:
                ablation.run(arm, seed)
        publish(asked.results, tables(read_records(asked.results, ARMS)))


if __name__ == "__main__":
    main()
