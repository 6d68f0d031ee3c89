"""How generator and discriminator fare with fixed features: settings to choose before a training.

    facever embed RUN DATA --subset train --out EMBEDDINGS
    python tools/experiments/htg_players.py EMBEDDINGS [--updates 858] [--seed 0]

The embedder stands still and only G and D learn, so that a setting takes seconds. EMBEDDINGS are of
the people who are trained on: nothing is chosen on others. Each row is the mean of the last quarter
of the updates; docs/htg.md says how to read the figures.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import markdown
from torch import Tensor

from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.heads.common.mining import Miner
from facever.training.htg import diagnosis, losses
from facever.training.htg.discriminator import Discriminator
from facever.training.htg.generator import Generator
from facever.training.htg.normalization import frozen

PEOPLE, EACH, MARGIN = 16, 4, 0.2

SETTINGS: list[dict[str, Any]] = [
    {"beta": 1, "gamma": 1, "rate_g": 1e-3, "rate_d": 1e-3},
    {"beta": 1, "gamma": 1, "rate_g": 1e-3, "rate_d": 1e-2},
    {"beta": 1, "gamma": 1, "rate_g": 1e-2, "rate_d": 1e-2},
    {"beta": 0.1, "gamma": 1, "rate_g": 1e-3, "rate_d": 1e-2},
    {"beta": 0.1, "gamma": 0.1, "rate_g": 1e-3, "rate_d": 1e-2},
    {"beta": 0.3, "gamma": 0.1, "rate_g": 3e-4, "rate_d": 1e-2},
    {"beta": 0.3, "gamma": 0.1, "rate_g": 1e-3, "rate_d": 1e-2, "last": "none"},
]
FIGURES = (
    "real_accuracy", "generated_accuracy", "told_apart", "mined_violation",
    "generated_violation", "mined_margin", "generated_margin", "real_kept", "generated_kept",
    "offset",
)  # fmt: skip


def played(
    features: Tensor, labels: Tensor, updates: int, seed: int, *, beta: float, gamma: float,
    rate_g: float, rate_d: float, last: str = "relu",
) -> dict[str, float]:  # fmt: skip
    """Return the figures of the last quarter of the updates of G and D.

    Args:
        features: float32 [N, L], not normalised.
        labels: int64 [N], from 0 on; everyone has two images or more.
        updates: Of G and of D, in turn.
        seed: Of the networks and of the batches.
        beta, gamma: Weights in equations 4 and 5.
        rate_g, rate_d: Learning rates (AdamW, no decay).
        last: G's last activation.
    """
    torch.manual_seed(seed)
    random, size = stream(seed, "htg players"), features.shape[1]
    rows = [np.flatnonzero(labels.numpy() == label) for label in range(int(labels.max()) + 1)]
    means = torch.stack([features[torch.from_numpy(of)].mean(0) for of in rows])
    generator, discriminator = Generator(size, last).train(), Discriminator(size, len(rows)).train()
    g, d = (
        torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0)
        for network, rate in ((generator, rate_g), (discriminator, rate_d))
    )
    miner = Miner("batch_hard", size, squared=True, margin=MARGIN)
    told = []
    for _ in range(updates):
        chosen = [random.choice(rows[i], EACH, replace=len(rows[i]) < EACH)
                  for i in random.choice(len(rows), PEOPLE, replace=False)]  # fmt: skip
        batch = torch.from_numpy(np.concatenate(chosen))
        real, who = features[batch], labels[batch]
        between = losses.square_distances(real)
        triplets = miner(between, who)
        shares = losses.shares(triplets, len(who), real.dtype)
        with torch.no_grad(), frozen(generator):
            fake = generator(real)
        judged = discriminator(real), discriminator(fake)
        _descend(d, losses.discriminator_loss(*judged, who, shares, beta))
        moved = generator(real)
        among = losses.square_distances(moved)
        with frozen(discriminator):
            kept = losses.cross_entropy(discriminator(moved), who, shares)
        hard = losses.generator_triplet(among, triplets, MARGIN)
        _descend(g, losses.generator_loss(hard, kept, gamma))
        with torch.no_grad():
            figures = (
                *diagnosis.verdicts(*judged, who),
                *_interleaved(diagnosis.hardness(between, triplets, MARGIN),
                              diagnosis.hardness(among, triplets, MARGIN)),
                diagnosis.kept(real, means, who),
                diagnosis.kept(moved, means, who),
                diagnosis.relative_offset(real, moved),
            )  # fmt: skip
        told.append([float(figure) for figure in figures])
    mean = np.mean(told[-max(1, updates // 4) :], axis=0)
    return dict(zip(FIGURES, mean.tolist(), strict=True))


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _interleaved(mined: tuple[Tensor, ...], generated: tuple[Tensor, ...]) -> list[Tensor]:
    return [value for pair in zip(mined, generated, strict=True) for value in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--updates", type=int, default=858)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    faces = EmbeddingSet.load(asked.embeddings)
    lengths = faces.rows["norm"].to_numpy(np.float32)[:, None]
    features = torch.from_numpy(np.asarray(faces.vectors) * lengths)
    _, labels = np.unique(faces.identities, return_inverse=True)
    rows = []
    for setting in SETTINGS:
        found = played(features, torch.from_numpy(labels), asked.updates, asked.seed, **setting)
        said = ", ".join(f"{name} {value}" for name, value in setting.items())
        rows.append([said, *(f"{value:.2f}" for value in found.values())])
    print(markdown("Generator and discriminator alone", ["setting", *FIGURES], rows))


if __name__ == "__main__":
    main()
