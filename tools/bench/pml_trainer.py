"""pytorch-metric-learning's own trainer, fed as its users feed it: Pillow and torchvision.

Same model, loss, miner, optimizer and batches (P x K) as the trainer that it is compared with; the
augmentation is a flip on both sides.
"""

import copy
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from facever.data.manifest import Manifest

LOSS = {
    "name": "pml:TripletMarginLoss",
    "parameters": {"margin": 0.3},
    "miner": "BatchHardMiner",
}
"""The head that has this trainer's loss."""


class Images(Dataset[tuple[Tensor, int]]):
    """Images of a manifest as a short script reads them."""

    def __init__(self, manifest: Manifest, preprocessing: Any) -> None:
        self.paths = [str(manifest.root / path) for path in manifest.frame["path"]]
        self.labels = np.unique(manifest.frame["identity"].astype(str), return_inverse=True)[1]
        self.transform = v2.Compose(
            [
                v2.Resize(preprocessing.size),
                v2.RandomHorizontalFlip(0.5),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(preprocessing.mean, preprocessing.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB")), int(self.labels[index])


def pml_seconds(
    manifest: Manifest,
    embedder: nn.Module,
    batch: int,
    each: int,
    workers: int,
    warm_up: int,
    updates: int,
) -> float:
    """Return seconds per image of the trainer, after `warm_up` updates.

    Args:
        manifest: The images.
        embedder: A copy is trained; it takes floating point images.
        batch: Images per update.
        each: Images per identity in it.
        workers: Processes that load.
        warm_up: Updates that are not counted.
        updates: All updates.
    """
    from pytorch_metric_learning import losses, miners, samplers, trainers

    model = copy.deepcopy(embedder)
    device = next(model.parameters()).device
    dataset = Images(manifest, model.preprocessing)
    began = 0.0

    def clock(trainer: Any) -> None:
        nonlocal began
        if trainer.iteration + 1 == warm_up:
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()

    trainer = trainers.MetricLossOnly(
        models={"trunk": model},
        optimizers={"trunk_optimizer": torch.optim.AdamW(model.parameters(), lr=1e-4)},
        batch_size=batch,
        loss_funcs={"metric_loss": losses.TripletMarginLoss(**LOSS["parameters"])},
        mining_funcs={"tuple_miner": miners.BatchHardMiner()},
        dataset=dataset,
        sampler=samplers.MPerClassSampler(dataset.labels, each, batch, len(dataset)),
        iterations_per_epoch=updates,
        data_device=device,
        dataloader_num_workers=workers,
        end_of_iteration_hook=clock,
    )
    trainer.train(num_epochs=1)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / ((updates - warm_up) * batch)
