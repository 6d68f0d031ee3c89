"""How near the trainer and the extractor come to what this machine allows.

In one run: t_model, forward + backward + step on a batch that lies in memory; t_loader, decode +
augment + collate alone, in this process and without any seeding; then the real trainer. Where both
share the CPU's cores the machine allows 1 / (t_model + t_loader) images per second, with a GPU
1 / max(t_model, t_loader). The same for extraction, with the forward pass alone.

    python tools/bench/training.py --json
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import torch
from facever.data.sources import find
from facever.data.synthesize import synthesize
from facever.embedding.extractor import load_model
from torch import Tensor

from facever.data.augmentation import Augmentation
from facever.data.loading import Batch, plain_batches
from facever.data.manifest import Manifest
from facever.data.readers import read
from facever.errors import DataError
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.trainer import Trainer

WANTED = 0.95
WARM_UP = 5


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


def loader_seconds(trainer: Trainer, batches: int) -> float:
    """Return seconds per image of loading alone, in this process."""
    dataset = trainer._batches._loader.dataset  # type: ignore[union-attr]
    sampler = trainer._batches._sampler
    with unseeded():
        keys = [(0, indices) for indices in islice(cycle(sampler), batches + 2)]
        for key in keys[:2]:
            dataset[key]
        start = time.perf_counter()
        images = sum(len(dataset[key].labels) for key in keys[2:])
        return (time.perf_counter() - start) / images


def model_seconds(trainer: Trainer, batch: Batch, updates: int) -> float:
    """Return seconds per image of a bare forward + backward + step, no checks, no statistics."""
    step = trainer.step
    optimizer, precision = step._optimizer, step._precision
    images = batch.images.to(trainer.device).contiguous(memory_format=step._memory_format)
    labels = batch.labels.to(trainer.device)
    step.embedder.train()

    def bare() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            embeddings = step.embedder(images)
        step.heads(embeddings, labels).loss.backward()
        optimizer.step()

    seconds_of(bare, WARM_UP)
    return seconds_of(bare, updates) / len(labels)


def trainer_seconds(trainer: Trainer, updates: int) -> float:
    """Return seconds per image of the real trainer, from its first steady update to its last."""
    marks: list[float] = []
    images: list[int] = []
    update = trainer.step.update

    class Enough(Exception):  # noqa: N818
        pass

    def watched(batches: Sequence[Batch], number: int) -> dict[str, Tensor]:
        synchronize()
        marks.append(time.perf_counter())
        if len(marks) > updates + WARM_UP:
            raise Enough
        images.append(sum(len(batch.labels) for batch in batches))
        return update(batches, number)

    trainer.step.update = watched  # type: ignore[method-assign]
    try:
        trainer.fit()
    except Enough:
        pass
    finally:
        trainer.step.update = update  # type: ignore[method-assign]
    return (marks[-1] - marks[WARM_UP]) / sum(images[WARM_UP:])


def extraction(run: Run, manifest: Manifest, folder: Path, workers: int | str) -> dict[str, float]:
    """Return seconds per image of the forward pass alone, of loading alone, and of `extract`."""
    extractor = load_model(run.path)
    size = extractor.batch_size
    batches = plain_batches(manifest, extractor.embedder.preprocessing, batch_size=size)
    start = time.perf_counter()
    images = [batch.images for batch in batches]
    loading = (time.perf_counter() - start) / len(manifest)
    with torch.inference_mode():
        batch = images[0].to(extractor.device)
        seconds_of(lambda: extractor.embedder(batch), 3)
        model = seconds_of(lambda: extractor.embedder(batch), 10) / len(batch)
    start = time.perf_counter()
    extractor.extract(manifest, folder / "embeddings", workers=workers)
    return {
        "model": model,
        "loader": loading,
        "real": (time.perf_counter() - start) / len(manifest),
    }


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
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.workers = options.workers if options.workers == "auto" else int(options.workers)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = images_for_it(folder, options.images)
        trainer = trainer_for(manifest, folder, options)
        loader = loader_seconds(trainer, batches=10)
        batch = next(iter(trainer._groups()))[0]
        before = model_seconds(trainer, batch, options.updates // 2)
        real = trainer_seconds(trainer, options.updates)
        model = (before + model_seconds(trainer, batch, options.updates // 2)) / 2
        trainer._export()
        taken = extraction(trainer.run, manifest, folder, options.workers)

    reached = allowed_seconds(model, loader) / real
    extracted = allowed_seconds(taken["model"], taken["loader"]) / taken["real"]
    figures = [
        ("training: bare model", 1 / model, "images/s", None, None),
        ("training: bare loader", 1 / loader, "images/s", None, None),
        ("training: trainer", 1 / real, "images/s", None, None),
        ("training: trainer over machine", reached, "ratio", WANTED, reached >= WANTED),
        ("extraction: bare model", 1 / taken["model"], "images/s", None, None),
        ("extraction: bare loader", 1 / taken["loader"], "images/s", None, None),
        ("extraction: extractor", 1 / taken["real"], "images/s", None, None),
        ("extraction: extractor over machine", extracted, "ratio", WANTED, extracted >= WANTED),
    ]
    names = ("name", "value", "unit", "wanted", "met")
    if options.json:
        print(json.dumps({"figures": [dict(zip(names, row, strict=True)) for row in figures]}))
        return
    for name, value, unit, wanted, met in figures:
        aim = "" if wanted is None else f"  (wanted {wanted}: {'met' if met else 'NOT met'})"
        print(f"{name:36} {value:10.3f} {unit}{aim}")


if __name__ == "__main__":
    main()
