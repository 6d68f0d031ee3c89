"""How near the trainer and the extractor come to what this machine allows.

In one run, in turns: t_model, forward + backward + step on a batch that lies in memory; t_loader,
decode + augment + collate alone, in this process and without any seeding; and the real trainer.
Where both share the CPU's cores the machine allows 1 / (t_model + t_loader) images per second, with
a GPU 1 / max(t_model, t_loader). The same for extraction, with the forward pass alone. The ratios
are medians over rounds.

    python tools/bench/training.py --json
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from _figures import Figure, as_json, as_table, at_least
from torch import Tensor

from facever.data.augmentation import Augmentation
from facever.data.loading import Batch, plain_batches
from facever.data.manifest import Manifest
from facever.data.readers import read
from facever.data.sources import find
from facever.data.synthesize import synthesize
from facever.embedding.extractor import load_model
from facever.errors import DataError
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.trainer import Trainer

WANTED = 0.95
WARM_UP, UPDATES, BARE, LOADED = 6, 16, 8, 4


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
    """Return a trainer of the LFW recipe's kind that never evaluates."""
    listed = folder / "bench.csv"
    manifest.save(listed)
    config = TrainConfig.model_validate(
        {
            "data": {"root": str(listed), "development_share": 0},
            "model": {
                "backbone": options.backbone,
                "preprocessing": {"size": [options.size, options.size]},
            },
            "heads": [{"name": "cosface"}],
            "batch": {"size": options.batch},
            "precision": options.precision,
            "workers": options.workers,
            "epochs": 1000,
            "ema_decay": 0.999,
            "tensorboard": False,
        }
    )
    return Trainer.start(config, folder / "run")


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


def model_seconds(trainer: Trainer, batch: Batch, updates: int) -> float:
    """Return seconds per image of a bare forward + backward + step, no checks, no statistics."""
    step = trainer.step
    optimizer, precision = step._optimizer, step._precision
    images = batch.images.to(trainer.device).contiguous(memory_format=step._memory_format)
    labels = batch.labels.to(trainer.device)

    def bare() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            embeddings = step.embedder(images)
        step.heads(embeddings, labels).loss.backward()
        optimizer.step()

    bare()
    return seconds_of(bare, updates) / len(labels)


@dataclass
class Round:
    """Seconds per image, measured one right after the other: a machine's speed drifts."""

    model: float
    loader: float
    real: float

    @property
    def reached(self) -> float:
        return allowed_seconds(self.model, self.loader) / self.real


def training(trainer: Trainer, rounds: int) -> list[Round]:
    """Stop the real trainer now and then to measure the bare model and the bare loader.

    A round is UPDATES updates of the trainer, before them as many as a pause may have filled the
    loader's queue with, and then the two bare measurements, during which its clock stands still.
    """
    done: list[Round] = []
    keys = [(0, indices) for indices in islice(cycle(trainer._batches._sampler), LOADED)]
    update = trainer.step.update
    count, images, began = 0, 0, 0.0

    class Enough(Exception):  # noqa: N818
        pass

    def watched(batches: Sequence[Batch], number: int, *rest: Any) -> dict[str, Tensor]:
        nonlocal count, images, began
        if count == WARM_UP:
            synchronize()
            images, began = 0, time.perf_counter()
        elif count == WARM_UP + UPDATES:
            synchronize()
            real = (time.perf_counter() - began) / images
            model = model_seconds(trainer, batches[0], BARE)
            done.append(Round(model, loader_seconds(trainer, keys), real))
            count = 0
            if len(done) == rounds:
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


def allowed_seconds(model: float, loader: float) -> float:
    """Return the seconds per image that the machine allows."""
    return max(model, loader) if torch.cuda.is_available() else model + loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.workers = options.workers if options.workers == "auto" else int(options.workers)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = images_for_it(folder, options.images)
        trainer = trainer_for(manifest, folder, options)
        trained = training(trainer, options.rounds)
        trainer._best.export()
        embedded = extraction(trainer.run, manifest, folder, options.workers, 3)

    figures: list[Figure] = []
    for name, rounds in (("training", trained), ("extraction", embedded)):
        for part in ("model", "loader", "real"):
            seconds = statistics.median(getattr(one, part) for one in rounds)
            label = "facever" if part == "real" else f"bare {part}"
            figures.append(Figure(f"{name}: {label}", 1 / seconds, "images/s"))
        reached = statistics.median(one.reached for one in rounds)
        figures.append(at_least(f"{name}: facever over machine", reached, "ratio", WANTED))
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
