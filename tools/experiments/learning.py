"""Small trainings on arrays: one light loop over facever's heads, and what is measured of each."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facever.core.seeding import derive, stream
from facever.data.arrays import open_array
from facever.data.samplers import BatchSampler, PKSampler, ShuffleSampler
from facever.data.sources import find
from facever.evaluate import verification
from facever.heads import WeightedSum, create_head
from facever.heads.classes.similarities import squared_distances

ALL, SEEN, UNSEEN = tuple(range(10)), tuple(range(7)), (7, 8, 9)
FAR = 0.01


@dataclass(frozen=True)
class Training:
    """One training; what is not named is the same for all.

    Args:
        heads: Configurations of the heads, summed.
        digits: Which digits are trained on.
        dimension: D.
        per_digit: K of a P x K batch with P = all digits trained on; 0: any batch.
        looks: After which updates the training images are looked at.
        norm: BatchNorm after the last Linear (neck linear_bn), or nothing (neck linear).
    """

    heads: tuple[dict[str, Any], ...]
    digits: tuple[int, ...] = ALL
    dimension: int = 32
    per_digit: int = 0
    looks: tuple[int, ...] = ()
    norm: bool = False
    epochs: int = 5
    images: int = 6000
    batch: int = 64
    lr: float = 2e-3
    warmup: int = 94  # updates: one epoch of all digits; 1: none


@dataclass(frozen=True)
class Digits:
    """Images float32 [N, 1, 28, 28] in -1..1 and labels int64 [N]."""

    images: Tensor
    labels: Tensor

    def of(self, digits: tuple[int, ...]) -> "Digits":
        chosen = torch.isin(self.labels, torch.tensor(digits))
        return Digits(self.images[chosen], self.labels[chosen])

    def at(self, rows: Any) -> "Digits":
        return Digits(self.images[rows], self.labels[rows])


def load_digits() -> Digits:
    root = find("mnist")
    pixels = np.array(open_array(str(root / "t10k-images-idx3-ubyte.gz")))
    labels = np.array(open_array(str(root / "t10k-labels-idx1-ubyte.gz")))
    images = torch.from_numpy(pixels)[:, None].float() / 127.5 - 1
    return Digits(images, torch.from_numpy(labels.astype(np.int64)))


def split_digits(data: Digits, count: int, seed: int) -> tuple[Digits, Digits]:
    """Return `count` images to train on and the rest, drawn by the seed."""
    order = torch.from_numpy(stream(seed, "digits").permutation(len(data.labels)))
    return data.at(order[:count]), data.at(order[count:])


def embedder(dimension: int, norm: bool = False) -> nn.Module:
    """Three convolutions, the whole feature map, and a Linear: 60,000 weights and more."""

    def block(inside: int, outside: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        return [convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(1, 16, 2), *block(16, 32, 2), *block(32, 64, 2), nn.Flatten(),
        nn.Linear(64 * 16, dimension, bias=False),
        *([nn.BatchNorm1d(dimension)] if norm else []),
    )  # fmt: skip


Look = Callable[[nn.Module, WeightedSum, Digits], dict[str, float]]


@dataclass
class Trained:
    """A finished training."""

    network: nn.Module
    heads: WeightedSum
    train: Digits
    test: Digits
    loss: float
    seconds: float
    looks: list[dict[str, float]] = field(default_factory=list)


def learn(plan: Training, seed: int, data: Digits, look: Look | None = None) -> Trained:
    """Train by AdamW, warm-up and cosine schedule; equal seeds give equal starts and batches.

    `look` measures something at `plan.looks`; None: how distance and K vary.
    """
    started = time.perf_counter()
    train, test = split_digits(data, plan.images, seed)
    train = train.of(plan.digits)
    torch.manual_seed(derive(seed, "weights"))
    network = embedder(plan.dimension, plan.norm)
    heads = WeightedSum(
        create_head(embedding_size=plan.dimension, identities=len(plan.digits), **config)
        for config in plan.heads
    )
    kept = heads.no_weight_decay()
    decayed = [*network.parameters(), *(p for n, p in heads.named_parameters() if n not in kept)]
    groups = [
        {"params": decayed, "weight_decay": 1e-4},
        {"params": [p for n, p in heads.named_parameters() if n in kept], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=plan.lr)
    sampler: BatchSampler = ShuffleSampler(len(train.labels), plan.batch, seed=seed)
    if plan.per_digit:
        sampler = PKSampler(train.labels, len(plan.digits), plan.per_digit, seed=seed)
    updates = plan.epochs * len(sampler)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda it: min((it + 1) / plan.warmup, 0.5 + 0.5 * math.cos(math.pi * it / updates)),
    )
    losses: list[float] = []
    looks = []
    for epoch in range(plan.epochs):
        sampler.set_epoch(epoch)
        for rows in sampler:
            network.train()
            batch = train.at(torch.tensor(rows))
            loss = heads(network(batch.images), batch.labels).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            heads.step_completed()
            schedule.step()
            losses.append(float(loss.detach()))
            if len(losses) in plan.looks:
                found = (look or own_distances)(network, heads, train)
                looks.append({"update": len(losses), **found})
    last = float(np.mean(losses[-len(sampler) :]))
    return Trained(network, heads, train, test, last, time.perf_counter() - started, looks)


@torch.no_grad()
def embed(network: nn.Module, images: Tensor) -> Tensor:
    network.eval()
    return torch.cat([network(part) for part in images.split(500)])


def own_distances(network: nn.Module, heads: WeightedSum, data: Digits) -> dict[str, float]:
    """Return how much the own-class distance and K vary over images: sd / mean."""
    x = embed(network, data.images[:2000])
    head = heads.heads[0]
    weight = head.prototypes.weight.detach()
    squares = squared_distances(x, weight).gather(1, data.labels[:2000, None])[:, 0]
    kernel = torch.exp(-squares / head.gamma)
    return {
        "distance": float(squares.sqrt().std() / squares.sqrt().mean()),
        "squared distance": float(squares.std() / squares.mean()),
        "K": float(kernel.std() / kernel.mean()),
        "mean K": float(kernel.mean()),
    }


def variance_ratio(x: np.ndarray, labels: np.ndarray) -> float:
    """Return the variance within identities over the variance between their means (traces)."""
    names = np.unique(labels)
    means = np.stack([x[labels == name].mean(0) for name in names])
    counts = np.array([(labels == name).sum() for name in names])
    within = sum(
        np.square(x[labels == name] - m).sum() for name, m in zip(names, means, strict=True)
    )
    between = (counts * np.square(means - x.mean(0)).sum(1)).sum()
    return float(within / between)


def measure(plan: Training, done: Trained) -> dict[str, float]:
    """Return every figure that a training can give, by name."""
    figures = {"loss": done.loss, "seconds": done.seconds}
    test = done.test.of(plan.digits)
    x = embed(done.network, test.images)
    own = done.heads.prototypes
    if own is not None:
        weight = own.weight.detach()
        metric = done.heads.metric
        if metric == "euclidean":
            scores = -squared_distances(x, weight)
        else:
            unit = nn.functional.normalize(weight) if metric == "cosine" else weight
            scores = x @ unit.T
        figures["accuracy"] = float((scores.argmax(1) == test.labels).float().mean())
        for name, part in (("test", test), ("train", done.train)):
            cosines = nn.functional.cosine_similarity(
                embed(done.network, part.images), weight[part.labels]
            )
            figures[f"target angle ({name})"] = float(cosines.clamp(-1, 1).acos().rad2deg().mean())
    values, labels = x.numpy(), test.labels.numpy()
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    figures["variance ratio"] = variance_ratio(values, labels)
    figures["variance ratio (unit)"] = variance_ratio(values / np.maximum(lengths, 1e-12), labels)
    judged = test if plan.digits == ALL else done.test.of(UNSEEN)
    figures |= verify(
        embed(done.network, judged.images[:1000]).numpy(), judged.labels[:1000].numpy()
    )
    return figures


def verify(x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return AUC and TAR at FAR 1e-2 over all pairs, by each similarity."""
    norms = np.maximum(np.linalg.norm(x, axis=1), 1e-12)
    faces = {"vectors": x / norms[:, None], "identity": labels.astype(str), "norm": norms}
    figures = {}
    for similarity in ("cosine", "euclidean", "dot"):
        result = verification(faces, far=[FAR], similarity=similarity)
        figures[f"AUC ({similarity})"] = result.auc.value
        figures[f"TAR at FAR 1e-2 ({similarity})"] = result.at(FAR).tar
    return figures
