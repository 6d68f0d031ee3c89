"""How near the trainer and the extractor come to what this machine allows.

In one run, in turns: t_model, forward + backward + step on a batch that lies in memory; t_loader,
decode + augment + collate alone, in this process and without any seeding; a bare loop, torch's
loader over the same images and bare updates, as in a short script; and the real trainer.
Where both share the CPU's cores the machine allows 1 / (t_model + t_loader) images per second, with
a GPU 1 / max(t_model, t_loader). The same for extraction, with the forward pass alone. The ratios
are medians over rounds. A machine's speed drifts by more than what is looked for within half a
minute: where no worker processes load ahead, rounds are short and many.

`--recipe triplet` trains P x K batches by the triplet loss and miner of pytorch-metric-learning,
and times that package's own trainer in the same rounds (pml_trainer.py says how it is fed).

    python tools/bench/training.py --json
    python tools/bench/training.py --recipe triplet
    python tools/bench/training.py data.cache=always optimizer.fused=false
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _figures import Figure, Rounds, as_json, as_table, at_least
from pml_trainer import LOSS, pml_seconds
from torch import Tensor
from torch.utils.data import DataLoader

from facever.config import load
from facever.data.augmentation import Augmentation
from facever.data.loading import Batch, plain_batches, worker_count
from facever.data.manifest import Manifest
from facever.data.readers import read
from facever.data.sources import find
from facever.data.synthesize import synthesize
from facever.errors import DataError
from facever.models.loading import load_model
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.trainer import Trainer

WANTED, WANTED_OVER_PML = 0.95, 1.1
PER_IDENTITY = 4
UNUSED = ("crop", "affine", "color", "grey", "blur", "downscale", "jpeg", "erase")
BARE, LOADED = 3, 4  # updates and batches of the parts alone, in each round


class Length(NamedTuple):
    """Updates of each loop in a round, before those that are counted and with them; rounds."""

    warm_up: int
    counted: int
    rounds: int

    @property
    def together(self) -> int:
        return self.warm_up + self.counted

    @classmethod
    def of(cls, workers: int) -> "Length":
        return cls(6, 16, 6) if workers else cls(1, 6, 16)


RECIPES: dict[str, dict[str, Any]] = {
    "cosface": {"heads": [{"name": "cosface"}]},
    "triplet": {
        "heads": [LOSS],
        "batch": {"images_per_identity": PER_IDENTITY},
        "augmentation": {
            "flip": {"probability": 0.5},
            **{key: {"probability": 0} for key in UNUSED},
        },
    },
}


def images_for_it(folder: Path, most: int) -> Manifest:
    """Return LFW where it is at hand, else generated faces."""
    try:
        manifest = read(find("lfw"))
    except DataError:
        manifest = synthesize(
            folder / "faces", identities=most // 4, images_per_identity=4, size=112
        )
    return manifest.select(range(min(most, len(manifest))))


def trainer_for(manifest: Manifest, folder: Path, options: argparse.Namespace) -> Trainer:
    """Return a trainer of the recipe's kind that never evaluates."""
    listed = folder / "bench.csv"
    manifest.save(listed)
    values = {
        "data": {"root": str(listed), "development_share": 0, "cache": "never"},
        "model": {
            "backbone": options.backbone,
            "preprocessing": {"size": [options.size, options.size]},
        },
        **RECIPES[options.recipe],
        "precision": options.precision,
        "workers": options.workers,
        "epochs": 1000,
        "ema_decay": 0.999,
        "tensorboard": False,
    }
    values["batch"] = {"size": options.batch, **values.get("batch", {})}
    written = folder / "bench.yaml"
    written.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return Trainer.start(load(TrainConfig, written, options.overrides), folder / "run")


def seconds_of(action: Callable[[], object], times: int) -> float:
    """Return the median seconds of an action."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def unseeded() -> Iterator[None]:
    """Let the augmentation draw on without seeding each sample."""
    seed = Augmentation._seed
    Augmentation._seed = lambda self, *key: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Augmentation._seed = seed  # type: ignore[method-assign]


def loader_seconds(trainer: Trainer, keys: Sequence[tuple[int, list[int]]]) -> float:
    """Return seconds per image of loading alone, in this process."""
    dataset = trainer._batches._loader.dataset  # type: ignore[union-attr]
    with unseeded():
        start = time.perf_counter()
        images = sum(len(dataset[key].labels) for key in keys)
        return (time.perf_counter() - start) / images


def update_barely(trainer: Trainer, images: Tensor, labels: Tensor) -> None:
    """Make an update without checks, statistics, average or checkpoint."""
    step = trainer.step
    step._optimizer.zero_grad(set_to_none=True)
    with step._precision.autocast():
        embeddings = step.embedder(images)
    step.heads(embeddings, labels).loss.backward()
    step._optimizer.step()


def on_device(trainer: Trainer, batch: Batch) -> tuple[Tensor, Tensor]:
    images = batch.images.to(trainer.device, non_blocking=True)
    labels = batch.labels.to(trainer.device, non_blocking=True)
    return images.contiguous(memory_format=trainer.step._memory_format), labels


def model_seconds(trainer: Trainer, batch: Batch, updates: int) -> float:
    """Return seconds per image of a bare forward + backward + step."""
    images, labels = on_device(trainer, batch)
    update_barely(trainer, images, labels)
    return seconds_of(lambda: update_barely(trainer, images, labels), updates) / len(labels)


def loop_seconds(
    trainer: Trainer, keys: Sequence[tuple[int, list[int]]], workers: int, warm_up: int
) -> float:
    """Return seconds per image of torch's loader and bare updates in turns, as in a short script.

    The first batches, while which the worker processes start and load ahead, are not counted. The
    clock starts after an update, so that there is a load for each update that counts.
    """
    dataset = trainer._batches._loader.dataset  # type: ignore[union-attr]
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        collate_fn=_unchanged,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )
    images, began = 0, 0.0
    with unseeded():
        for number, batch in enumerate(loader, 1):
            update_barely(trainer, *on_device(trainer, batch))
            images += len(batch.labels)
            if number == warm_up:
                synchronize()
                images, began = 0, time.perf_counter()
    synchronize()
    return (time.perf_counter() - began) / images


def _unchanged(batch: Batch) -> Batch:
    return batch


@dataclass
class Round:
    """Seconds per image, measured one right after the other: a machine's speed drifts."""

    model: float
    loader: float
    real: float
    loop: float = float("nan")
    pml: float = float("nan")

    @property
    def reached(self) -> float:
        return allowed_seconds(self.model, self.loader) / self.real


def training(
    trainer: Trainer, workers: int, length: Length, others: Callable[[], float]
) -> list[Round]:
    """Stop the real trainer now and then to measure the bare model and the bare loader.

    A round is some updates of the trainer, before them as many as a pause may have filled the
    loader's queue with, and then the bare measurements, during which its clock stands still.
    `others` gives the seconds per image of another trainer.
    """
    done: list[Round] = []
    keys = [(0, indices) for indices in islice(cycle(trainer._batches._sampler), length.together)]
    update = trainer.step.update
    count, images, began = 0, 0, 0.0

    class Enough(Exception):  # noqa: N818
        pass

    def watched(batches: Sequence[Batch], number: int, *rest: Any) -> dict[str, Tensor]:
        nonlocal count, images, began
        if count == length.warm_up:
            synchronize()
            images, began = 0, time.perf_counter()
        elif count == length.together:
            synchronize()
            real = (time.perf_counter() - began) / images
            model = model_seconds(trainer, batches[0], BARE)
            loader = loader_seconds(trainer, keys[:LOADED])
            loop = loop_seconds(trainer, keys, workers, length.warm_up)
            done.append(Round(model, loader, real, loop, others()))
            count = 0
            if len(done) == length.rounds:
                raise Enough
        count += 1
        images += sum(len(batch.labels) for batch in batches)
        return update(batches, number, *rest)

    trainer.step.update = watched  # type: ignore[method-assign]
    with suppress(Enough):
        trainer.fit()
    trainer.step.update = update  # type: ignore[method-assign]
    return done


def extraction(
    run: Run, manifest: Manifest, folder: Path, workers: int | str, rounds: int
) -> list[Round]:
    """Measure the forward pass alone, loading alone and `extract`, in turn."""
    extractor = load_model(run.path)
    done = []
    for number in range(rounds):
        batches = plain_batches(
            manifest, extractor.embedder.preprocessing, batch_size=extractor.batch_size
        )
        start = time.perf_counter()
        loaded = [batch.images for batch in batches]
        loader = (time.perf_counter() - start) / len(manifest)
        start = time.perf_counter()
        with torch.inference_mode():
            for images in loaded:
                extractor.embedder(images.to(extractor.device))
        synchronize()
        model = (time.perf_counter() - start) / len(manifest)
        start = time.perf_counter()
        extractor.extract(manifest, folder / f"embeddings-{number}", workers=workers)
        done.append(Round(model, loader, (time.perf_counter() - start) / len(manifest)))
    return done


def reached_by_loop(rounds: Sequence[Round]) -> float:
    return Rounds([allowed_seconds(one.model, one.loader) / one.loop for one in rounds])


def allowed_seconds(model: float, loader: float) -> float:
    """Return the seconds per image that the machine allows."""
    return max(model, loader) if torch.cuda.is_available() else model + loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="key=value of the training's configuration")
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--recipe", choices=RECIPES, default="cosface")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, help="default: 16, or 6 with workers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.workers = options.workers if options.workers == "auto" else int(options.workers)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = images_for_it(folder, options.images)
        trainer = trainer_for(manifest, folder, options)
        workers = worker_count(options.workers, trainer.device.type == "cuda")
        length = Length.of(workers)
        length = length._replace(rounds=options.rounds or length.rounds)

        def others() -> float:
            if options.recipe != "triplet":
                return float("nan")
            return pml_seconds(
                manifest,
                trainer.step.embedder,
                options.batch,
                PER_IDENTITY,
                workers,
                length.warm_up,
                length.together,
            )

        trained = training(trainer, workers, length, others)
        trainer._best.export()
        embedded = extraction(trainer.run, manifest, folder, options.workers, 3)

    figures: list[Figure] = []
    for name, rounds in (("training", trained), ("extraction", embedded)):
        for part in ("model", "loader", "real"):
            seconds = statistics.median(getattr(one, part) for one in rounds)
            label = "facever" if part == "real" else f"bare {part}"
            figures.append(Figure(f"{name}: {label}", 1 / seconds, "images/s"))
        reached = Rounds([one.reached for one in rounds])
        figures.append(at_least(f"{name}: facever over machine", reached, "ratio", WANTED))
    loop = Rounds([one.loop / one.real for one in trained])
    figures.append(Figure("training: bare loop over machine", reached_by_loop(trained), "ratio"))
    figures.append(at_least("training: facever over a bare loop", loop, "ratio", WANTED))
    if options.recipe == "triplet":
        pml = Rounds([one.pml / one.real for one in trained])
        name = "training: facever over pytorch-metric-learning's trainer"
        figures.append(at_least(name, pml, "ratio", WANTED_OVER_PML))
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
