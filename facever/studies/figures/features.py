"""Figure of two-dimensional embeddings: one panel per head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.config import parse
from facever.core.console import say
from facever.core.seeding import stream
from facever.data.manifest import Manifest
from facever.data.sources import load as load_data
from facever.errors import ConfigError
from facever.evaluation.inputs import vectors_for
from facever.models.loading import load_model
from facever.render.blocks import Drawing, Figure
from facever.render.svg import INK, PAPER, SERIES, printable
from facever.studies.bakeoff.contenders import folder_name
from facever.studies.bakeoff.running import trained
from facever.studies.figures.prototypes import read_prototypes
from facever.training.config import TrainConfig
from facever.training.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HELD_OUT = 0.2  # share of each identity's images that is drawn and not used for training
_DRAWN = 200  # minimum images per identity
_FAR_OUT = 99.5  # percentile of the lengths that limits the axes
_COLORS = (*SERIES, "#3aa0a8", "#7a7f1f", "#d06fb0", "#6b4a2b")
"""Ten colours that can be distinguished on light and on dark backgrounds."""


@dataclass(frozen=True)
class Features:
    """Embeddings of held-out images by one head.

    Attributes:
        label: The contender.
        run: Its run folder.
        metric: Similarity of the embeddings.
        points: float32 [N, 2], not normalised.
        labels: int64 [N].
        identities: The name of each label.
        prototypes: float32 [C, 2]; None if the head has no prototypes.
    """

    label: str
    run: Path
    metric: str
    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    identities: list[str]
    prototypes: NDArray[np.float32] | None

    @property
    def accuracy(self) -> float | None:
        """Share of images that are most similar to their own prototype."""
        if self.prototypes is None:
            return None
        nearest = _similarities(self.points, self.prototypes, self.metric).argmax(1)
        return float((nearest == self.labels).mean())

    def figure(self) -> Figure:
        """Return the drawing."""
        right = self.accuracy
        said = "" if right is None else f"; {right:.2%} are most similar to their own prototype"
        few = np.concatenate([np.flatnonzero(self.labels == k)[:_DRAWN] for k in self._codes])
        return feature_figure(
            f"features-{folder_name(self.label)}",
            self.label,
            self.points[few],
            self.labels[few],
            self.identities,
            self.prototypes,
            metric=self.metric,
            caption=f"{len(self.points):,} held-out images, compared by {self.metric}{said}.",
        )

    @property
    def _codes(self) -> range:
        return range(len(self.identities))


def learn_features(
    contenders: Mapping[str, TrainConfig],
    folder: str | Path,
    *,
    identities: int = 10,
    data: str | Path | None = None,
) -> list[Features]:
    """Train a two-dimensional embedding with each head and embed held-out images.

    The identities with the most images are used. A fifth of the images of each identity is held out
    and drawn, the rest is used for training. The neck is a single Linear, so that the lengths
    depend on the head only.

    Args:
        contenders: Configurations by label; data.train selects the rows.
        folder: Folder of the runs; finished runs are kept, an interrupted run is resumed.
        identities: Number of identities, 2 or more.
        data: The `--data` option.

    Raises:
        ConfigError: There is no contender, `identities` is below 2, or a run in `folder` was made
            with another configuration.
        DataError: Fewer than two identities have enough images.
    """
    folder = Path(folder)
    if not contenders:
        raise ConfigError("no heads: give --heads softmax cosine ...")
    if identities < 2:
        raise ConfigError(f"--identities {identities}: it must be 2 or more")
    first = next(iter(contenders.values()))
    manifest = load_data(first.data.root, data, first.data.layout)
    if first.data.train:
        manifest = manifest.where(**first.data.train)
    images = split_images(manifest, identities, first.seed)
    listed = folder / "images.csv"
    folder.mkdir(parents=True, exist_ok=True)
    images.save(listed)
    found = []
    for label, config in contenders.items():
        say(f"features of {label}")
        run = Run(folder / "runs" / folder_name(label))
        found.append(_embed(label, trained(run, _in_two(config, listed), data), images))
    return found


def split_images(manifest: Manifest, identities: int, seed: int) -> Manifest:
    """Return the identities with the most images, with a column `subset` for the split."""
    counts = manifest.frame["identity"].value_counts()
    wanted = sorted(counts.index[counts >= 2][:identities])
    chosen = manifest.where(identity=wanted).require_identities(2)
    subset = np.full(len(chosen), "train", dtype=object)
    for name, rows in chosen.frame.groupby("identity").indices.items():
        held = max(1, round(HELD_OUT * len(rows)))
        subset[stream(seed, "features", str(name)).permutation(rows)[:held]] = "test"
    frame = chosen.frame.assign(subset=subset)
    return Manifest.from_frame(frame, chosen.root, chosen.dataset)


def feature_figure(
    name: str,
    title: str,
    points: ArrayLike,
    labels: ArrayLike,
    identities: Sequence[str],
    prototypes: ArrayLike | None,
    *,
    metric: str,
    caption: str,
) -> Figure:
    """Draw two-dimensional embeddings of several identities, and the prototypes.

    If embeddings are compared by distance, a prototype is drawn as a point, else as a ray.

    Args:
        name: Unique within a page.
        title: Title of the panel.
        points: [N, 2], not normalised.
        labels: int [N], index of each point's identity in `identities`.
        identities: Names in the legend.
        prototypes: [C, 2]; None if the head has no prototypes.
        metric: "cosine", "euclidean" or "dot".
        caption: Caption of the figure.
    """
    xy, who = np.asarray(points, np.float64), np.asarray(labels)
    own = None if prototypes is None else np.asarray(prototypes, np.float64)
    places = metric == "euclidean"

    def paint(axes: "Axes") -> None:
        reach = float(np.percentile(np.abs(xy), _FAR_OUT)) * 1.1
        if own is not None and places:
            reach = max(reach, 1.1 * float(np.abs(own).max()))
        for label, identity in enumerate(identities):
            color = _COLORS[label % len(_COLORS)]
            mine = xy[who == label]
            axes.plot(
                mine[:, 0], mine[:, 1], "o", color=color, markersize=1.8, alpha=0.55,
                markeredgewidth=0, label=printable(identity),
            )  # fmt: skip
            if own is not None and not places:
                end = own[label] / max(float(np.linalg.norm(own[label])), 1e-12) * reach
                axes.plot([0, end[0]], [0, end[1]], color=color, linewidth=1.4)
        if own is not None and places:
            axes.plot(own[:, 0], own[:, 1], "X", color=INK, markeredgecolor=PAPER, markersize=7)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, fontsize=8.5)

    drawn = "none" if own is None else "as crosses" if places else "as rays"
    alt = f"{title}: {len(xy)} embeddings of {len(identities)} identities, prototypes {drawn}."
    return Figure(title, Drawing(name, alt, paint), caption)


def _in_two(config: TrainConfig, listed: Path) -> TrainConfig:
    """Return the configuration for a two-dimensional embedding of the listed images."""
    values = config.model_dump()
    values["model"] |= {"embedding_size": 2, "neck": "linear", "dropout": 0.0}
    values["data"] |= {
        "root": str(listed.absolute()),
        "layout": "table",
        "train": {"subset": "train"},
        "development": None,
        "development_share": 0.0,
    }
    return parse(TrainConfig, values)


def _embed(label: str, run: Run, images: Manifest) -> Features:
    test = images.where(subset="test")
    extractor = load_model(run.path)
    embeddings = extractor.extract(test, run.embeddings, overwrite=True, photos=False)
    held = embeddings.select(embeddings.acquired)
    names = images.identities
    own = read_prototypes(run.path)
    return Features(
        label=label,
        run=run.path,
        metric=held.meta.metric,
        points=np.asarray(vectors_for(held, "dot"), np.float32),
        labels=np.searchsorted(names, held.identities).astype(np.int64),
        identities=names,
        prototypes=None if own is None else own.weight,
    )


def _similarities(
    points: NDArray[np.float32], prototypes: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Return the similarity of each point to each prototype, [N, C]."""
    if metric == "euclidean":
        distances: NDArray[np.float32] = np.square(points[:, None] - prototypes[None]).sum(2)
        return -distances
    if metric == "cosine":
        prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    products: NDArray[np.float32] = points @ prototypes.T
    return products
